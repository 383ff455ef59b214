"""How much less entropy sum_K p(K) |Phi_K><Phi_K| has than p, because its states are not quite orthogonal.

    S(p) - S(rho) <= E_K[ ln(a/p) + p/a - 1 ] + E_{K,K'~p}[ 1(K' != K) |<Phi_K|Phi_K'>|^2 / sqrt(a(K) a(K')) ]

for any a(K) > 0 (principle.py).  States of different total momentum or twist have no overlap.  The first part, and the
weight of every kind of pair,

    C_r = E_{K,K'~p}[ 1(K, K' share a momentum and differ in r electrons) / sqrt(a a') ],

need labels alone; then sum_r C_r <|<K|K'>|^2>_r is left, over pairs drawn from p p'/sqrt(a a'), which chains measure
without bias (overlap_chains.py): pairs for r = 2, where overlaps are and differ, and all pairs of groups of one
momentum for r > 2, where they are small and there are many.  a = p + eps W, W the probability of the momentum of K:
where p(K) is small, pairs would count more than they can be measured.  W and eps come from sets of their own, so that
a is fixed before the sets that are averaged over are drawn: the bound holds for any, and its estimate has no bias.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from massieu import statistics
from massieu.principle import Estimate, log_tangent

STRATA = ("2", "3", "4 or more")  # electrons in other orbitals; one alone would change the momentum
EXPECTED = np.array([4e-3, 3e-4, 1e-4])  # |<K|K'>|^2 by stratum, or what can be resolved of it
PAIRS = 32  # of the first stratum
GROUPS, MEMBERS = 16, 12  # for the others
FLOORS = np.logspace(-8, -2, 25)  # eps


class Bound(NamedTuple):
    """S(p) - S(rho) at most, with its error; mean |<K|K'>|^2 and weight C by stratum; what labels alone cost."""

    value: Estimate
    squared: dict[str, Estimate]
    weights: dict[str, float]
    of_labels: float

    def as_dict(self) -> dict[str, Any]:
        """For summary.json."""
        return {
            "entropy_loss": self.value.as_dict(),
            "entropy_loss_of_labels": self.of_labels,
            "overlap_squared": {name: mean.as_dict() for name, mean in self.squared.items()},
            "overlap_weights": self.weights,
        }

    def covariance(self, of_sets: np.ndarray) -> float:
        """None of the value with a mean over other sets (G,): its chains are its own."""
        return 0.0


class Pool:
    """Different sets of a sample from p, of one twist and momentum or another, and how many electrons apart they are.

    label (n, 1 + N), ln p(K) at its twist (n,), count (n,): how often each was drawn, of `size` in all.
    """

    def __init__(self, sampled: np.ndarray, log_prob: np.ndarray, vectors: np.ndarray, spins: tuple[int, ...]):
        self.label, first, self.count = np.unique(sampled, axis=0, return_index=True, return_counts=True)
        self.size, self.log_prob = len(sampled), log_prob[first]
        of_sector = np.concatenate([self.label[:, :1], vectors[self.label[:, 1:]].sum(axis=1)], axis=1)
        self.momenta, self.sector = np.unique(of_sector, axis=0, return_inverse=True)
        self.sector = self.sector.ravel()
        places = self.label[:, 1:] + len(vectors) * np.repeat(np.arange(len(spins)), spins)
        occupied = np.zeros((len(self.label), len(vectors) * len(spins)), np.float32)
        np.put_along_axis(occupied, places, 1.0, axis=1)
        order = np.argsort(self.sector, kind="stable")
        self.members = np.split(order, np.flatnonzero(np.diff(self.sector[order])) + 1)
        self.apart = [_apart(occupied[members], self.label.shape[1] - 1) for members in self.members]

    def share_of(self, momenta: np.ndarray) -> np.ndarray:
        """Of twists and momenta (m, 1 + dim), the probability as sampled; of what was not drawn, as if it were next."""
        drawn = np.bincount(self.sector, self.count)
        known = {tuple(row): number for row, number in zip(self.momenta.tolist(), drawn, strict=True)}
        return np.array([known.get(tuple(row), 0) + 1 for row in momenta.tolist()]) / (self.size + 1)


class Weights:
    """What labels alone say: half of the sets choose a, the others are averaged over.

    own (n,): ln(a/p) + p/a - 1 of the sets of `pool`; rows (n, strata): mean over the others of 1/sqrt(a a');
    far (sectors,): how much pairs of more than two electrons weigh in each.
    """

    def __init__(
        self, label: np.ndarray, log_prob: np.ndarray, vectors: np.ndarray, spins: tuple[int, ...], twists: int
    ):
        joint, half = log_prob - np.log(twists), len(label) // 2  # of twist and set: pairs are of one twist
        first = Pool(label[:half], joint[:half], vectors, spins)
        self.pool = Pool(label[half:], joint[half:], vectors, spins)
        self.floor = min(FLOORS, key=lambda floor: _expected(first, _point(first, first, floor)))
        self.a = _point(self.pool, first, self.floor)
        self.own, self.rows = _own(self.pool, self.a), _rows(self.pool, self.a)
        self.mean = self._mean(self.rows)
        self.far = np.array([self.pool.count[m] @ self.rows[m, 1:].sum(axis=1) for m in self.pool.members])

    def _mean(self, values: np.ndarray) -> np.ndarray:
        return self.pool.count @ values / self.pool.size

    def pairs(self, seed: int) -> np.ndarray:
        """Indices (PAIRS, 2) of sets that differ in two electrons, or none, drawn from p p'/sqrt(a a')."""
        rng, chance = np.random.default_rng(seed), self.pool.count * self.rows[:, 0]
        if not chance.any():
            return np.zeros((0, 2), int)
        kets, bras = [], _choice(rng, np.arange(len(chance)), chance, PAIRS)
        for bra in bras:
            number = self.pool.sector[bra]
            members = self.pool.members[number]
            apart = self.pool.apart[number][np.searchsorted(members, bra)]  # members are sorted
            kets.append(_choice(rng, members, (apart == 0) * self._drawn(members), 1)[0])
        return np.stack([bras, kets], axis=1)

    def groups(self, seed: int) -> np.ndarray:
        """Indices (GROUPS, MEMBERS) of sets of one momentum, or none, each drawn from p/sqrt(a)."""
        rng, far = np.random.default_rng(seed), self.far
        if not far.any():
            return np.zeros((0, MEMBERS), int)
        chosen = [self.pool.members[number] for number in _choice(rng, np.arange(len(far)), far, GROUPS)]
        return np.array([_choice(rng, members, self._drawn(members), MEMBERS) for members in chosen])

    def _drawn(self, members: np.ndarray) -> np.ndarray:
        """p/sqrt(a) as the sample has it."""
        return self.pool.count[members] / np.sqrt(self.a[members])

    def bound(self, of_pairs: np.ndarray, groups: np.ndarray, of_groups: np.ndarray) -> Bound:
        """The bound from |<K|K'>|^2 without bias of pairs (L,), and of groups (G, m) for all their pairs (G, m, m)."""
        means = {0: statistics.mean(of_pairs)} if len(of_pairs) else {}
        errors, far = [self.mean[s] * mean.error for s, mean in means.items()], np.zeros(len(groups))
        chosen, apart = self._in_groups(groups)
        for s in range(1, len(STRATA)):
            number = chosen * np.sum(apart == s, axis=(1, 2))
            if number.any():
                total = chosen * np.sum(np.where(apart == s, of_groups, 0.0), axis=(1, 2))
                mean = total.sum() / number.sum()
                influence = (total - mean * number) / number.mean()
                means[s], far = Estimate(float(mean), statistics.mean(influence).error), far + self.mean[s] * influence
            elif self.mean[s]:  # no group has such a pair
                means[s] = Estimate(float(EXPECTED[s]), float(EXPECTED[s]))
                errors.append(self.mean[s] * EXPECTED[s])
        if len(groups):
            errors.append(statistics.mean(far).error)
        value = self._mean(self.own) + sum(self.mean[s] * mean.value for s, mean in means.items())
        # every set is in pairs twice over (Hoeffding, Ann. Math. Stat. 19, 293 (1948))
        of_sets = self.own + 2 * sum((self.rows[:, s] * mean.value for s, mean in means.items()), np.zeros(len(self.a)))
        spread = np.sqrt(self._mean((of_sets - self._mean(of_sets)) ** 2) / self.pool.size)
        return Bound(
            Estimate(float(value), float(np.linalg.norm([spread, *errors]))),
            {STRATA[s]: mean for s, mean in means.items()},
            {name: float(weight) for name, weight in zip(STRATA, self.mean, strict=True)},
            float(self._mean(self.own)),
        )

    def _in_groups(self, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the choice of a group's momentum has to be weighed with (G,), and strata (G, m, m) of its pairs."""
        weights, apart = np.zeros(len(groups)), np.full((*groups.shape, groups.shape[1]), -2)
        for g, group in enumerate(groups):
            number = self.pool.sector[group[0]]
            members = self.pool.members[number]
            weights[g] = np.sum(self._drawn(members)) ** 2 / self.far[number]
            places = np.searchsorted(members, group)
            apart[g] = self.pool.apart[number][places[:, None], places]
        return weights / max(weights.sum(), 1e-300), apart


def _point(pool: Pool, of: Pool, floor: float) -> np.ndarray:
    """a = p + eps W (n,) of the sets of a pool, W as another one has it."""
    return np.exp(pool.log_prob) + floor * of.share_of(pool.momenta)[pool.sector]


def _own(pool: Pool, a: np.ndarray) -> np.ndarray:
    return log_tangent(np.exp(pool.log_prob), a) - pool.log_prob


def _rows(pool: Pool, a: np.ndarray) -> np.ndarray:
    """Mean over the other sets of the sample of 1/sqrt(a a'), by stratum (n, strata)."""
    found, root = np.zeros((len(a), len(STRATA))), 1 / np.sqrt(a)
    for members, apart in zip(pool.members, pool.apart, strict=True):
        others = pool.count[members] * root[members]
        for s in range(len(STRATA)):
            found[members, s] = root[members] * ((apart == s) @ others)
    return found / (pool.size - 1)


def _expected(pool: Pool, a: np.ndarray) -> float:
    """The bound, if overlaps were as they are expected."""
    return float(pool.count @ (_own(pool, a) + _rows(pool, a) @ EXPECTED) / pool.size)


def _choice(rng: np.random.Generator, of: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    return rng.choice(of, count, p=weights / weights.sum())


def _apart(occupied: np.ndarray, electrons: int) -> np.ndarray:
    """Stratum of every pair of sets (n, n), from their occupations; negative for a set with itself."""
    differing = electrons - np.rint(occupied @ occupied.T).astype(np.int8)
    return np.minimum(differing, len(STRATA) + 1) - np.int8(2)
