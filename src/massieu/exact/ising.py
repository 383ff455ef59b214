"""The Ising model on a ring, a chain and a torus without a field, and Onsager's infinite square lattice.

    H = -j sum_<ij> s_i s_j - h sum_i s_i,   K = beta j

A torus has 2 L M bonds: an extent of 2 counts its bond twice, which is the convention of the formula.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
from scipy import integrate

from massieu.exact.enumeration import check_beta
from massieu.exact.moments import Moments, merge
from massieu.exact.thermodynamics import Thermodynamics
from massieu.exact.transfer import MAX_PERIODIC, transfer_matrix


class Sector(NamedTuple):
    """One momentum product f(kappa) exp(r), with the derivatives of f and r with respect to kappa = |K|."""

    f: tuple[float, float, float]
    r: tuple[float, float, float]


def _momenta(extent: int, antiperiodic: bool) -> np.ndarray:
    return 2 * np.pi * (np.arange(extent) + 0.5 * antiperiodic) / extent


def _signed_root(kappa: float, sign: float) -> tuple[float, float, float]:
    """exp(-2 kappa) (1 - sign sinh 2 kappa) and its two derivatives."""
    u, rise = math.exp(-4 * kappa), -sign * 0.5
    v = math.exp(-2 * kappa)
    return v - rise * math.expm1(-4 * kappa), -2 * v + 4 * rise * u, 4 * v - 16 * rise * u


def _sector(shape: tuple[int, int], kappa: float, sign: float, twist: tuple[bool, bool]) -> Sector:
    """prod_k [cosh^2 2K - sinh 2K (cos k_x + cos k_y)]^(1/2) / exp(2 kappa N), with signed roots at (0,0), (pi,pi)."""
    kx, ky = (_momenta(extent, t) for extent, t in zip(shape, twist, strict=True))
    a = np.cos(kx)[:, None] + np.cos(ky)
    f = (1.0, 0.0, 0.0)
    keep = np.ones(a.shape, dtype=bool)
    for special, root_sign in ((2.0, sign), (-2.0, -sign)):
        here = np.abs(a - special) < 1e-12  # |a| = 2 needs k = (0,0) or (pi,pi); the next momenta are 1e-5 away
        if here.any():
            keep &= ~here
            f = _product(f, _signed_root(kappa, root_sign))
    a = sign * a[keep]
    # q = exp(-4 kappa) [...] is a polynomial in v = exp(-2 kappa); ' = d/d kappa = -2 v d/dv
    v, w = math.exp(-2 * kappa), -math.expm1(-4 * kappa)
    q = (1 + v * v) ** 2 / 4 - a * (v * w / 2)
    q1 = -2 * v * (v * (1 + v * v) - a * ((1 - 3 * v * v) / 2))
    q2 = 4 * v * v * (1 + 3 * v * v + 3 * a * v) - 2 * q1
    q1, q2 = q1 / q, q2 / q
    return Sector(f, (0.5 * float(np.log(q).sum()), 0.5 * float(q1.sum()), 0.5 * float((q2 - q1**2).sum())))


def _product(f: tuple[float, float, float], g: tuple[float, float, float]) -> tuple[float, float, float]:
    return f[0] * g[0], f[1] * g[0] + f[0] * g[1], f[2] * g[0] + 2 * f[1] * g[1] + f[0] * g[2]


def _kaufman_log_partition(shape: tuple[int, int], kappa: float, sign: float) -> tuple[float, float, float, float]:
    """ln Z, its first two derivatives in kappa, and the share of Z left after the signed sum (1 = no cancellation)."""
    twists = ((False, False), (False, True), (True, False), (True, True))
    sectors = [_sector(shape, kappa, sign, twist) for twist in twists]
    reference, slope = max(s.r[0] for s in sectors), sectors[-1].r[1]
    total, size = np.zeros(3), 0.0
    for s, twist in zip(sectors, twists, strict=True):
        r1 = s.r[1] - slope  # measured from a common slope, so that squares of size N^2 never cancel
        growth = (1.0, r1, r1 * r1 + s.r[2])
        weight = math.exp(s.r[0] - reference) * (1.0 if any(twist) else -1.0)
        total += weight * np.array(_product(s.f, growth))
        size += abs(weight * s.f[0])
    n = shape[0] * shape[1]
    first = total[1] / total[0]
    log_z = (n - 1) * math.log(2.0) + 2 * kappa * n + reference + math.log(abs(total[0]) or 1e-300)
    return log_z, float(2 * n + slope + first), float(total[2] / total[0] - first**2), float(total[0] / size)


def kaufman(shape: tuple[int, int], beta: float, j: float = 1.0) -> Thermodynamics:
    """Exact finite torus of extents `shape` >= 2 without a field, for either sign of j; totals.

    Z = 2^N/2 (-Z_00 + Z_0h + Z_h0 + Z_hh), where Z_ab runs over periodic (0) or antiperiodic (h) momenta and the
    self-conjugate momenta (0,0) and (pi,pi) carry the signed roots 1 - sinh 2K and 1 + sinh 2K, so that Z is smooth
    at the critical point (B. Kaufman, Phys. Rev. 76, 1232 (1949)).  Accuracy: ln Z and E 1e-12 relative; C has an
    absolute error of about 1e-14 N K^2, so deep in the ordered phase, where C ~ exp(-8K), its digits are lost.

    An antiferromagnet with an odd extent is frustrated and the four terms cancel at low temperature; where more than
    two digits would be lost the transfer method takes over (smaller extent <= 10); on wider lattices ValueError is
    raised once six digits would be lost.
    """
    check_beta(beta)
    if len(shape) != 2 or min(shape) < 2:
        raise ValueError(f"a torus needs two extents of at least 2, not {shape}")
    kappa, sign = beta * abs(j), float(np.sign(j))
    log_z, first, second, share = _kaufman_log_partition(shape, kappa, sign)
    if share < (1e-2 if min(shape) <= MAX_PERIODIC else 1e-6):
        return transfer_matrix(shape, beta, j, 0.0, periodic=True)
    variance = max(0.0, j * j * second)  # rounding may leave -1e-16 N where C is exponentially small
    return Thermodynamics.from_log_partition(log_z, -abs(j) * first, variance, beta, "Kaufman torus")


def onsager_free_energy(beta: float, j: float = 1.0) -> float:
    """Free energy per site of the infinite square lattice (L. Onsager, Phys. Rev. 65, 117 (1944)), to 1e-13.

    -beta f = ln 2 / 2 + (1/pi) int_0^{pi/2} ln[cosh^2 2K + sqrt(sinh^4 2K + 1 - 2 sinh^2 2K cos 2x)] dx.
    """
    check_beta(beta)
    kappa = beta * abs(j)
    v = math.exp(-4 * kappa)
    cosh2, sinh2 = (1 + v) ** 2 / 4, math.expm1(-4 * kappa) ** 2 / 4  # both divided by exp(4 kappa)

    def integrand(x: float) -> float:
        return math.log(cosh2 + math.sqrt((sinh2 - v) ** 2 + 4 * sinh2 * v * math.sin(x) ** 2))

    scale = min(0.5, max(1e-12, abs(sinh2 - v)))  # the rounded kink at x = 0 is this wide
    edges = [0.0, scale, min(10 * scale, 1.0), np.pi / 2]
    parts = [
        integrate.quad(integrand, a, b, epsabs=1e-14, epsrel=1e-12, limit=400)[0] for a, b in itertools.pairwise(edges)
    ]
    return -(0.5 * math.log(2.0) + 2 * kappa + sum(parts) / np.pi) / beta


def _bond(beta: float, j: float, h: float) -> Moments:
    """Transfer matrix from s to s': a bond and the field on s', shape (2, 2)."""
    s = np.array([1.0, -1.0])
    energy = -j * s[:, None] * s - h * s
    return Moments(-beta * energy, energy, np.zeros((2, 2)))


def _then(a: Moments, b: Moments) -> Moments:
    """Matrix product of two (2, 2) transfer matrices that carry their moments."""
    pairs = Moments(*(column[:, :, None] for column in a)).times(Moments(*(column[None] for column in b)))
    return merge(pairs, axis=1)


def _power(matrix: Moments, n: int) -> Moments:
    """n-th power (n >= 1) by repeated squaring."""
    result = None
    while n:
        if n & 1:
            result = matrix if result is None else _then(result, matrix)
        matrix, n = _then(matrix, matrix), n >> 1
    assert result is not None
    return result


def ising_ring(n: int, beta: float, j: float = 1.0, h: float = 0.0) -> Thermodynamics:
    """Periodic chain of n >= 2 spins with n bonds (two spins share two bonds), any sign of j, any field; exact."""
    check_beta(beta)
    if n < 2:
        raise ValueError(f"a ring needs at least two spins, not {n}")
    loop = _power(_bond(beta, j, h), n)
    return Moments(*(np.diag(column) for column in loop)).totals(beta, "2x2 transfer matrix")


def ising_chain(n: int, beta: float, j: float = 1.0, h: float = 0.0) -> Thermodynamics:
    """Open chain of n >= 1 spins with n - 1 bonds; for h = 0, Z = 2 (2 cosh K)^(n-1)."""
    check_beta(beta)
    if n < 1:
        raise ValueError(f"a chain needs at least one spin, not {n}")
    energy = -h * np.array([1.0, -1.0])
    chain = Moments(-beta * energy, energy, np.zeros(2))
    if n > 1:
        chain = Moments(*(column[:, None] for column in chain)).times(_power(_bond(beta, j, h), n - 1))
    return chain.totals(beta, "2x2 transfer matrix")
