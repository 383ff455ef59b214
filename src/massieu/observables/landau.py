"""Landau's functional from p(K): quasi-particle energies, their interaction, and the effective mass.

For the exact density matrix -ln p(K)/beta is E_K less the free energy.  On labels drawn from p it is fitted with

    E0_q + sum_k eps_k dn_k + 1/2 sum_{k != k'} f_kk' dn_k dn_k',      dn = n - <n>

(Landau, Sov. Phys. JETP 3, 920 (1957)), eps by shells of k^2 = |2 pi (v + t)/L|^2, f by classes of |k - k'| of equal
and of opposite spin, E0 by twist.  A ridge draws eps to the free k^2 and f to zero, with kT as the standard deviation
that either is expected to have: what the samples do not tell gets that error.  At a fixed number of electrons
constants in eps and in f cannot be told apart from others; here eps - k^2 and f average to zero at the Fermi level,
with the weights n(1 - n) of each spin's orbitals.  (Another constant in f would move eps by O(1/N).)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from massieu.principle import Estimate

RIDGE = 1e-9  # at least, of the mean square of a column
MOST_SHELLS = 30
MOST_CLASSES = 30  # of |k - k'|, for each pair of spins
INACTIVE = 1e-3  # orbitals with less of the fluctuation n(1 - n) than this, on the mean of all, are left out


class LandauFit(NamedTuple):
    """Energies in the unit of kT, momenta in that of 1/length.

    k2, eps, eps_error, fluctuation (shells,): k^2, quasi-particle energy, its error, and sum of n(1 - n).
    distance, f, f_error (spins, classes): |k - k'| (nan where there is no pair), f of equal and of opposite spin.
    r2: fraction of the variance of ln p explained; mass: m*/m = 1/(d eps/d k^2) at the Fermi level.
    """

    k2: np.ndarray
    eps: np.ndarray
    eps_error: np.ndarray
    fluctuation: np.ndarray
    distance: np.ndarray
    f: np.ndarray
    f_error: np.ndarray
    r2: float
    mass: Estimate

    def as_dict(self) -> dict[str, Any]:
        """The tables as lists, classes without a pair left out, for the summary of a run."""
        used = np.isfinite(self.distance)
        pairs = [
            {"distance": d[u].tolist(), "f": f[u].tolist(), "error": e[u].tolist()}
            for d, f, e, u in zip(self.distance, self.f, self.f_error, used, strict=True)
        ]
        eps = {"k2": self.k2.tolist(), "eps": self.eps.tolist(), "error": self.eps_error.tolist()}
        return eps | {"interaction": pairs, "r2": self.r2}


class Orbitals(NamedTuple):
    """Integer vectors (M, dim), twists (Q, dim), electrons of each spin, side of the box, energy of k^2 = 1."""

    vectors: np.ndarray
    twists: np.ndarray
    spins: tuple[int, ...]
    length: float
    scale: float = 1.0


class _Terms(NamedTuple):
    """Columns (D, P) of a block of unknowns, the basis (classes, P) they are coordinates in."""

    columns: np.ndarray
    basis: np.ndarray


def fit(labels: np.ndarray, log_prob: np.ndarray, beta: float, orbitals: Orbitals) -> LandauFit | None:
    """Ridge least squares on labels (S, 1 + N) drawn from p and ln p (S,); None if too few different sets were drawn.

    The same K drawn again adds weight, not information: errors are those of a regression on the different K.
    """
    distinct, first, counts = np.unique(labels, axis=0, return_index=True, return_counts=True)
    weight = counts / counts.sum()
    k2 = np.sum((orbitals.vectors + orbitals.twists[:, None]) ** 2, axis=-1) * (2 * np.pi / orbitals.length) ** 2
    n = _occupied(distinct, orbitals)
    mean, active = _means(distinct[:, 0], n, weight, len(orbitals.twists))
    dn = np.where(active, n - mean[distinct[:, 0]], 0.0)
    spread = mean * (1 - mean) * active  # (Q, spins, M)
    if not np.any(spread):
        return None
    free = orbitals.scale * np.einsum("dsm,dm->d", n, k2[distinct[:, 0]])
    shell, shell_k2, shell_weight = _grouped(np.broadcast_to(k2[:, None], spread.shape), spread, MOST_SHELLS)
    linear = _linear(distinct[:, 0], dn, shell, shell_weight)
    pairs, distance = _pairs(dn, spread, orbitals)
    constant = np.eye(len(orbitals.twists))[distinct[:, 0]]
    constant = constant[:, constant.any(axis=0)]
    blocks = [block.columns for block in (linear, *pairs)]
    target = -log_prob[first] / beta - free
    solved = _ridge(constant, np.concatenate(blocks, axis=1), target, weight, 1 / beta)
    if solved is None:
        return None
    values, covariance, residual = solved
    cuts = np.cumsum([0, *(block.shape[1] for block in blocks)])
    shift, shift_cov = _expanded(values, covariance, linear, slice(cuts[0], cuts[1]))
    parts = [
        _expanded(values, covariance, block, slice(a, b))
        for block, a, b in zip(pairs, cuts[1:], cuts[2:], strict=False)
    ]
    total = target + free
    spread_of_target = weight @ (total - weight @ total) ** 2
    return LandauFit(
        shell_k2,
        orbitals.scale * shell_k2 + shift,
        np.sqrt(np.diag(shift_cov)),
        shell_weight,
        distance,
        np.array([value for value, _ in parts]).reshape(distance.shape),
        np.array([np.sqrt(np.diag(cov)) for _, cov in parts]).reshape(distance.shape),
        float(1 - weight @ residual**2 / spread_of_target) if spread_of_target > 0 else 1.0,
        _mass(shell_k2, shell_weight, shift / orbitals.scale, shift_cov / orbitals.scale**2),
    )


def _occupied(labels: np.ndarray, orbitals: Orbitals) -> np.ndarray:
    """Occupation numbers (D, spins, M)."""
    n = np.zeros((len(labels), len(orbitals.spins), len(orbitals.vectors)))
    spin = np.repeat(np.arange(len(orbitals.spins)), orbitals.spins)
    n[np.arange(len(labels))[:, None], spin, labels[:, 1:]] = 1.0
    return n


def _means(q: np.ndarray, n: np.ndarray, weight: np.ndarray, twists: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean occupations (Q, spins, M) at each twist, and the orbitals (spins, M) that fluctuate."""
    share = np.bincount(q, weight, twists)
    at = np.eye(twists)[q] * weight[:, None]
    mean = np.einsum("dq,dsm->qsm", at, n) / np.where(share > 0, share, 1.0)[:, None, None]
    fluctuation = np.einsum("q,qsm->sm", share, mean * (1 - mean))
    return mean, fluctuation > INACTIVE * fluctuation.mean()


def _grouped(values: np.ndarray, weights: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Groups of equal values, neighbours joined by weight to at most `most`.

    Returns the group of each value (-1: no weight), and the mean value and the weight of each group.
    """
    kept = weights > 0
    levels, index = np.unique(np.round(values[kept], 9), return_inverse=True)
    by_level = np.bincount(index.ravel(), weights[kept])
    if len(levels) > most:
        middle = (np.cumsum(by_level) - 0.5 * by_level) / by_level.sum()
        _, joined = np.unique((middle * most).astype(int), return_inverse=True)
        index = joined[index.ravel()]
    group = np.full(values.shape, -1)
    group[kept] = index.ravel()
    total = np.bincount(index.ravel(), weights[kept])
    return group, np.bincount(index.ravel(), weights[kept] * values[kept]) / total, total


def _linear(q: np.ndarray, dn: np.ndarray, shell: np.ndarray, weight: np.ndarray) -> _Terms:
    """sum of dn over each shell (D, shells), in the basis of shifts whose weighted mean is zero."""
    at = shell[q].reshape(len(q), -1)
    columns = np.stack([np.sum(dn.reshape(len(q), -1) * (at == s), axis=1) for s in range(len(weight))], axis=1)
    basis = _without_mean(weight)
    return _Terms(columns @ basis, basis)


def _pairs(dn: np.ndarray, spread: np.ndarray, orbitals: Orbitals) -> tuple[list[_Terms], np.ndarray]:
    """1/2 sum dn dn' over the classes of |k - k'|, for equal and for opposite spins; |k - k'| (spins, classes)."""
    difference = orbitals.vectors[:, None] - orbitals.vectors[None]
    apart = np.linalg.norm(difference, axis=-1) * 2 * np.pi / orbitals.length
    s = spread.mean(axis=0)
    equal = np.einsum("sk,sl->kl", s, s) * ~np.eye(len(apart), dtype=bool)
    kinds = [equal] if len(s) == 1 else [equal, np.outer(s[0], s[1]) + np.outer(s[1], s[0])]
    group, distance, _ = _grouped(apart, sum(kinds), MOST_CLASSES)
    terms, shown = [], np.tile(distance, (len(kinds), 1))
    for opposite, weights in enumerate(kinds):
        other = dn[:, ::-1] if opposite else dn
        classes = [_quadratic(dn, other, (group == c) & (weights > 0)) for c in range(len(distance))]
        of_class = np.bincount(group[group >= 0], weights[group >= 0], len(distance))
        shown[opposite, of_class == 0] = np.nan
        basis = _without_mean(of_class)
        terms.append(_Terms(np.stack(classes, axis=1) @ basis, basis))
    return terms, shown


def _quadratic(dn: np.ndarray, other: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return 0.5 * np.sum((dn @ mask.astype(float)) * other, axis=(1, 2))


def _without_mean(weight: np.ndarray) -> np.ndarray:
    """Orthonormal basis (C, P) of the vectors with zero weighted mean that vanish where the weight does."""
    used = weight > 0
    if used.sum() < 2:
        return np.zeros((len(weight), 0))
    _, _, rows = np.linalg.svd(weight[used][None])
    basis = np.zeros((len(weight), int(used.sum()) - 1))
    basis[used] = rows[1:].T
    return basis


def _expanded(values: np.ndarray, covariance: np.ndarray, block: _Terms, at: slice) -> tuple[np.ndarray, np.ndarray]:
    return block.basis @ values[at], block.basis @ covariance[at, at] @ block.basis.T


def _ridge(constant: np.ndarray, columns: np.ndarray, target: np.ndarray, weight: np.ndarray, expected: float):
    """Coefficients (P,) of the columns, their covariance (P, P) and the residual (D,); None with D <= unknowns.

    The constants are free of the ridge, which is that of coefficients of standard deviation `expected` given the
    residual.  Covariance: sandwich, each different K one observation whose residual is that of a fit without it
    (MacKinnon and White, J. Econometrics 29, 305 (1985)), and what the ridge keeps from the data.
    """
    unknowns = columns.shape[1] + constant.shape[1]
    if columns.shape[1] == 0 or len(target) <= unknowns:
        return None
    share = constant.T @ weight
    a = columns - constant @ ((constant.T @ (weight[:, None] * columns)) / share[:, None])
    y = target - constant @ ((constant.T @ (weight * target)) / share)
    gram, one = a.T @ (weight[:, None] * a), np.eye(columns.shape[1])
    freedom = len(y) / (len(y) - unknowns)
    ridge = RIDGE * max(np.trace(gram) / len(gram), 1e-300)
    residual = y - a @ np.linalg.solve(gram + ridge * one, a.T @ (weight * y))
    ridge += freedom * (weight**2 @ residual**2) / expected**2
    inverse = np.linalg.inv(gram + ridge * one)
    solution = inverse @ (a.T @ (weight * y))
    residual = y - a @ solution
    leverage = np.clip(weight * np.einsum("di,ij,dj->d", a, inverse, a), 0.0, 0.9)
    scores = a * (weight * residual / (1 - leverage))[:, None]
    meat = scores.T @ scores + (ridge * expected) ** 2 * one
    return solution, inverse @ meat @ inverse, residual


def _mass(k2: np.ndarray, weight: np.ndarray, shift: np.ndarray, covariance: np.ndarray) -> Estimate:
    """m*/m from the slope of eps against k^2, shells weighted by n(1 - n): slope = 1 + that of the shift."""
    if len(k2) < 2:
        return Estimate(np.nan, np.nan)
    centred = k2 - weight @ k2 / weight.sum()
    line = weight * centred
    line = line / (line @ k2)
    slope, error = 1 + line @ shift, np.sqrt(line @ covariance @ line)
    return Estimate(float(1 / slope), float(error / slope**2))
