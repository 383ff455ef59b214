"""How much less entropy sum_K p(K) |Phi_K><Phi_K| has than p, because its states are not quite orthogonal.

    S(rho) >= -E_{K~p}[ ln q(K) ],   q(K) = p(K) + E_{K'~p}[ 1(K' != K) |<Phi_K|Phi_K'>|^2 ]

|<K|K'>|^2 = A_KK' A_K'K with A_KK' = <Phi_K'/Phi_K> over |Phi_K|^2: two independent chains make an unbiased product,
the norms cancel, and so does the Jastrow factor: A is a mean of ratios of determinants.  States of different total
momentum or twist have no overlap.  ln q is bounded without bias by its tangent, ln q <= ln a + (q - a)/a for any a;
noise in q makes the bound weaker, never wrong.  a(K) = p(K) + sum_r m_r W_r(K), with m_r the mean overlap squared
between sets that differ in r electrons and W_r(K) the probability of such sets at the momentum of K: where p(K) is
small, and (q - p)/p noise alone, a is not.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.linear_algebra import inverse_and_log_det
from massieu.principle import Estimate
from massieu.states.correlated import CorrelatedStates

LEAST = 1e-3  # of m_r: where it is smaller, noise would cost more than the bound loses


class Exchange(NamedTuple):
    """Ordered pairs of sets that differ in the same number of electrons of each spin.

    bra, ket (L,): which sets; rows, columns: by spin, (L, r): orbitals of the ket that the bra lacks, and the places
    in the bra of those that they replace.
    """

    bra: np.ndarray
    ket: np.ndarray
    rows: list[np.ndarray]
    columns: list[np.ndarray]

    @property
    def order(self) -> int:
        """Number of electrons in other orbitals."""
        return sum(rows.shape[1] for rows in self.rows)

    def ratios(self, replaced: np.ndarray) -> np.ndarray:
        """Phi_ket/Phi_bra (L,), a mean over samples of the bra; replaced (sets, samples, M, N): `replacements`."""
        total = np.ones((len(self.bra), replaced.shape[1]), complex)
        sample = np.arange(replaced.shape[1])[None, :, None, None]
        for rows, columns in zip(self.rows, self.columns, strict=True):
            if rows.shape[1]:
                bra = self.bra[:, None, None, None]
                minors = replaced[bra, sample, rows[:, None, :, None], columns[:, None, None, :]]
                total *= np.linalg.det(minors.astype(complex))
        return total.mean(axis=1)


class Bound(NamedTuple):
    """E[ln(q/p)] with its error, and what each set (n,) adds to the error, mean zero.

    orders: mean overlap squared by the number of electrons in other orbitals; pairs: number of pairs of equal momentum.
    """

    value: Estimate
    influence: np.ndarray
    orders: dict[int, Estimate]
    pairs: int

    def as_dict(self) -> dict[str, Any]:
        """For summary.json."""
        return {
            "entropy_loss": self.value.as_dict(),
            "overlap_squared": {str(order): mean.as_dict() for order, mean in self.orders.items()},
            "pairs": self.pairs,
        }


def replacements(psi: CorrelatedStates, label: Array, x: Array) -> Array:
    """D with orbital i replaced by another one, over D, for all (M, N) of them at x (N, dim)."""
    zeta = x if psi.backflow is None else psi.backflow(x)
    momenta = jnp.asarray(psi.orbitals) + jnp.asarray(psi.twist)[label[0]]
    orbitals, parts, start = jnp.exp(2j * jnp.pi * momenta @ zeta.T), [], 0
    for count in psi.spins:
        of = slice(start, start + count)
        start += count
        if count:
            parts.append(orbitals[:, of] @ inverse_and_log_det(orbitals[label[1:][of]][:, of])[0])
    return jnp.concatenate(parts, axis=1)


def exchanges(label: np.ndarray, vectors: np.ndarray, spins: tuple[int, ...]) -> list[Exchange]:
    """All ordered pairs of different sets with one twist and one total momentum, of labels (n, 1 + N)."""
    total = np.concatenate([label[:, :1], vectors[label[:, 1:]].sum(axis=1)], axis=1)
    _, sector = np.unique(total, axis=0, return_inverse=True)
    sector = sector.ravel()
    ends = np.cumsum(spins)
    found: dict[tuple[int, ...], list[tuple[Any, ...]]] = {}
    for members in (np.flatnonzero(sector == s) for s in np.unique(sector)):
        for bra in members:
            for ket in members:
                rows, columns = [], []
                for end, count in zip(ends, spins, strict=True):
                    own, other = label[bra, 1 + end - count : 1 + end], label[ket, 1 + end - count : 1 + end]
                    rows.append(np.setdiff1d(other, own, assume_unique=True))
                    columns.append(end - count + np.flatnonzero(~np.isin(own, other)))
                order = tuple(len(r) for r in rows)
                if any(order):
                    found.setdefault(order, []).append((bra, ket, rows, columns))
    return [
        Exchange(
            np.array([pair[0] for pair in pairs]),
            np.array([pair[1] for pair in pairs]),
            [np.array([pair[2][s] for pair in pairs], int).reshape(len(pairs), -1) for s in range(len(spins))],
            [np.array([pair[3][s] for pair in pairs], int).reshape(len(pairs), -1) for s in range(len(spins))],
        )
        for pairs in found.values()
    ]


def bound(groups: list[Exchange], ratios: list[np.ndarray], log_prob: np.ndarray, near: np.ndarray) -> Bound:
    """E[ln q] - E[ln p] from the mean ratios of all pairs and ln p (n,) of independent sets from p; near: `nearby`.

    A U-statistic: every set is a partner K' ~ p of all the others.  Its error is that of the sum of what a set adds as
    K and as K' (Hoeffding, Ann. Math. Stat. 19, 293 (1948)).
    """
    n, p = len(log_prob), np.exp(log_prob)
    squared = [_products(group, ratio) for group, ratio in zip(groups, ratios, strict=True)]
    by_order: dict[int, list[np.ndarray]] = {}
    for group, values in zip(groups, squared, strict=True):
        by_order.setdefault(group.order, []).append(values)
    orders = {order: _mean_of_pairs(np.concatenate(values)) for order, values in sorted(by_order.items())}
    typical = np.full(near.shape[1], LEAST)
    for order, mean in orders.items():
        typical[order] = max(LEAST, mean.value)
    a = p + near @ typical
    own = np.log(a) + p / a - 1 - log_prob
    tangent, partner = np.zeros(n), np.zeros(n)  # of every set as K, and as K'
    for group, values in zip(groups, squared, strict=True):
        np.add.at(tangent, group.bra, values / a[group.bra] / (n - 1))
        np.add.at(partner, group.ket, values / a[group.bra] / (n - 1))
    value = float(np.mean(own + tangent))
    influence = own + tangent + partner
    influence = influence - influence.mean()
    error = float(np.sqrt(influence.var(ddof=1) / n))
    return Bound(Estimate(value, error), influence, orders, sum(len(group.bra) for group in groups) // 2)


def nearby(label: np.ndarray, pool: np.ndarray, vectors: np.ndarray, spins: tuple[int, ...]) -> np.ndarray:
    """W_r(K) (n, N + 1): share of the pool with the twist and momentum of K that differs from it in r > 0 electrons."""
    size = label.shape[1] - 1
    of_spin = np.repeat(np.arange(len(spins)), spins) * len(vectors)
    keys = [np.concatenate([of[:, :1], vectors[of[:, 1:]].sum(axis=1)], axis=1) for of in (label, pool)]
    _, sector = np.unique(np.concatenate(keys), axis=0, return_inverse=True)
    own, others = sector.ravel()[: len(label)], sector.ravel()[len(label) :]
    found = np.zeros((len(label), size + 1))
    for number in np.unique(own):
        rows, columns = np.flatnonzero(own == number), np.flatnonzero(others == number)
        one, other = (of[at][:, 1:] + of_spin for of, at in ((label, rows), (pool, columns)))
        shared = np.sum(one[:, None, :, None] == other[None, :, None], axis=(2, 3))
        for order in range(1, size + 1):
            found[rows, order] = np.sum(size - shared == order, axis=1) / len(pool)
    return found


def _products(group: Exchange, ratio: np.ndarray) -> np.ndarray:
    """Re A_KK' A_K'K for every ordered pair."""
    number = int(max(group.bra.max(), group.ket.max())) + 1
    key, reverse = group.bra * number + group.ket, group.ket * number + group.bra
    order = np.argsort(key)
    back = order[np.searchsorted(key[order], reverse)]
    return (ratio * ratio[back]).real


def _mean_of_pairs(values: np.ndarray) -> Estimate:
    """Every pair is there twice."""
    error = np.sqrt(2) * values.std() / np.sqrt(len(values))
    return Estimate(float(values.mean()), float(error))


def replacements_of(psi: CorrelatedStates, label: Array, x: Array, chunk: int) -> Array:
    """`replacements` of many walkers (B, M, N), in half the precision."""
    found = jax.lax.map(lambda args: replacements(psi, *args).astype(jnp.complex64), (label, x), batch_size=chunk)
    return found
