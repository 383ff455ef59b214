"""Spins that point along vectors: closed forms of rings and chains, and the heat bath of discrete directions.

Potts ring      Z = (e^K + q - 1)^n + (q - 1)(e^K - 1)^n,    K = beta J    (Wu, Rev. Mod. Phys. 54, 235 (1982))
XY ring         Z = (2 pi)^n sum_m I_m(K)^n                                (Joyce, Phys. Rev. 155, 478 (1967))
XY chain        Z = (2 pi)^n I_0(K)^(n - 1)
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from scipy.special import ive, logsumexp

from massieu.exact.annealed import Sites
from massieu.exact.enumeration import check_beta
from massieu.exact.moments import merge, states
from massieu.exact.thermodynamics import Thermodynamics


def potts_ring(n: int, beta: float, j: float = 1.0, q: int = 3) -> Thermodynamics:
    """n >= 2 sites with n bonds -j delta(s, s'), any sign of j; totals; ValueError where its terms cancel.

    The two terms are eigenvalues lambda^n of the transfer matrix; E and C from the derivatives of ln Z.
    """
    check_beta(beta)
    e = math.exp(beta * j)
    lam, signs = np.array([e + q - 1, e - 1]), np.array([1.0, q - 1.0])
    size = signs * (lam / lam[0]) ** n
    share = size / size.sum()
    if size.sum() < 1e-6:
        raise ValueError(f"the two terms of a ring of {n} states cancel at beta j = {beta * j:g}")
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(lam != 0, n * j * e / lam, 0.0)  # d ln lambda^n/d beta
        bend = np.where(lam != 0, slope * j * (1 - e / lam), 0.0)
    first = float(share @ slope)
    second = float(share @ (bend + (slope - first) ** 2))
    lnZ = n * math.log(lam[0]) + math.log(size.sum())
    return Thermodynamics.from_log_partition(lnZ, -first, second, beta, "Potts ring, closed form")


def xy_ring(n: int, beta: float, j: float = 1.0) -> Thermodynamics:
    """n >= 2 angles with n bonds -j cos(theta - theta'), any sign of j; totals."""
    check_beta(beta)
    orders = np.arange(-60 - int(2 * beta * abs(j)), 61 + int(2 * beta * abs(j)))
    log_i, slope, bend = _log_bessel(orders, beta * abs(j))
    sign = np.where((orders % 2 == 1) & (n % 2 == 1) & (j < 0), -1.0, 1.0)
    log_terms = n * log_i
    lnZ, total = logsumexp(log_terms, b=sign, return_sign=True)
    if total <= 0 or lnZ < log_terms.max() - 12:
        raise ValueError(f"the terms of a ring of {n} angles cancel at beta j = {beta * j:g}")
    share = sign * np.exp(log_terms - lnZ)
    first = float(share @ (n * slope))
    second = float(share @ (n * bend + (n * slope - first) ** 2))
    lnZ = n * math.log(2 * math.pi) + float(lnZ)
    return Thermodynamics.from_log_partition(lnZ, -abs(j) * first, j * j * second, beta, "XY ring, closed form")


def xy_chain(n: int, beta: float, j: float = 1.0) -> Thermodynamics:
    """n >= 1 angles with n - 1 bonds; totals."""
    check_beta(beta)
    log_i, slope, bend = (float(found[0]) for found in _log_bessel(np.zeros(1, int), beta * abs(j)))
    lnZ = n * math.log(2 * math.pi) + (n - 1) * log_i
    E, variance = -(n - 1) * abs(j) * slope, (n - 1) * j * j * bend
    return Thermodynamics.from_log_partition(lnZ, E, variance, beta, "XY chain, closed form")


def xy_ring_helicity(n: int, beta: float, j: float = 1.0) -> float:
    """Helicity modulus of a ferromagnetic ring, n d^2 F/d Phi^2 at twist 0: (n/beta) sum m^2 I_m^n/sum I_m^n."""
    orders = np.arange(-60 - int(2 * beta * j), 61 + int(2 * beta * j))
    log_terms = n * _log_bessel(orders, beta * j)[0]
    return float(n / beta * np.exp(log_terms - logsumexp(log_terms)) @ orders**2)


def _log_bessel(orders: np.ndarray, k: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ln I_m(k) of all orders m and its first two derivatives in k; orders without a digit left are -inf, 0, 0."""
    value = ive(orders, k)
    below, above = ive(orders - 1, k), ive(orders + 1, k)
    seen = value > 1e-290
    safe = np.where(seen, value, 1.0)
    slope = np.where(seen, (below + above) / (2 * safe), 0.0)
    second = np.where(seen, (ive(orders - 2, k) + 2 * value + ive(orders + 2, k)) / (4 * safe), 0.0)
    return np.where(seen, np.log(safe) + k, -np.inf), slope, second - slope**2


def vector_sites(couplings: np.ndarray, field: np.ndarray, directions: np.ndarray) -> Sites:
    """q directions (q, r) a site, H = -sum_{i<j} J_ij u_i . u_j - sum_i h_i . u_i, field (n, r); s in 0 .. q - 1."""
    n, q = len(field), len(directions)
    return Sites(
        n * math.log(q),
        lambda rng, walkers: rng.integers(q, size=(n, walkers)),
        partial(_energy, couplings, field, directions),
        partial(_heat_bath, couplings, field, directions),
    )


def _energy(couplings: np.ndarray, field: np.ndarray, directions: np.ndarray, s: np.ndarray) -> np.ndarray:
    u = directions[s]  # (n, W, r)
    force = 0.5 * np.tensordot(couplings, u, axes=1) + field[:, None]
    return -np.sum(u * force, axis=(0, 2))


def _heat_bath(
    couplings: np.ndarray, field: np.ndarray, directions: np.ndarray, s: np.ndarray, beta: float,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """p(s_i) ~ exp(beta u(s_i) . (h_i + sum_j J_ij u_j)) at every site in turn, in place."""
    u, chance = directions[s], rng.uniform(size=s.shape)
    for i, row in enumerate(couplings):
        near = np.flatnonzero(row)
        logits = beta * directions @ (field[i][:, None] + np.tensordot(row[near], u[near], axes=1).T)  # (q, W)
        rising = np.cumsum(np.exp(logits - logits.max(axis=0)), axis=0)
        s[i] = np.sum(chance[i] * rising[-1] > rising[:-1], axis=0)
        u[i] = directions[s[i]]


def uncoupled(field: np.ndarray, directions: np.ndarray, beta: float) -> Thermodynamics:
    """The sites in their fields (n, r) alone."""
    each = merge(states(-field @ directions.T, beta), axis=1)
    lnZ, energy, variance = (float(np.sum(column)) for column in each)
    return Thermodynamics.from_log_partition(lnZ, energy, variance, beta, "spins without couplings")
