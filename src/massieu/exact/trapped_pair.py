"""Two particles in a harmonic trap exactly: the centre of mass is an oscillator, the separation a radial problem.

    H = sum_i (-1/2 lap_i + 1/2 r_i^2) + kappa v(r),  v = 1/r, in one dimension 1/sqrt(r^2 + 1)
    separation:  -g'' - (2 l + dim - 1)/r g' + (r^2/4 + kappa v) g = E g,  psi = r^l g(r),  l the angular momentum

by Chebyshev collocation of the regular g, which is analytic in r, cusp included.  Parity of l: odd for two fermions of
one spin, even for bosons, either for opposite spins and for distinguishable particles.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import scipy.linalg
from scipy.special import logsumexp

from massieu.errors import require
from massieu.exact.thermodynamics import Thermodynamics

TINY = 35.0  # levels more than 35 kT above the lowest do not count
HOTTEST = 0.5  # beta below which too many levels would be needed


@lru_cache(maxsize=256)
def radial_levels(l: int, dim: int, kappa: float, reach: float, points: int = 100) -> np.ndarray:
    """Energies of the separation at angular momentum l (parity in one dimension), rising."""
    k = np.arange(points + 1)
    x = np.cos(np.pi * k / points)
    c = np.where((k == 0) | (k == points), 2.0, 1.0) * (-1.0) ** k
    gap = x[:, None] - x[None] + np.eye(points + 1)
    d = np.outer(c, 1 / c) / gap
    d = (d - np.diag(d.sum(axis=1))) * (2 / reach)
    r = 0.5 * reach * (1 + x)
    repulsion = kappa * r / np.sqrt(r**2 + 1) if dim == 1 else np.full_like(r, kappa)
    left = -r[:, None] * (d @ d) - (2 * l + dim - 1) * d + np.diag(0.25 * r**3 + repulsion)
    if 2 * l + dim == 1:  # even functions on a line: nothing but g'(0) = 0 is left of the equation at r = 0
        left[-1] = d[-1]
    inner = slice(1, None)  # g vanishes at the far end
    values = scipy.linalg.eigvals(left[inner, inner], np.diag(r[inner]))
    real = values[np.isfinite(values) & (np.abs(values.imag) < 1e-6 * np.abs(values))].real
    return np.sort(real[real > 0])


def pair(dim: int, beta: float, kappa: float, parity: str) -> Thermodynamics:
    """Exact totals; parity: "odd" (fermions of one spin), "even" (bosons) or "both"; of beta = inf one ground state.

    InputError for beta below HOTTEST; 1e-8 above.
    """
    require(beta >= HOTTEST, "beta", beta, f"at least {HOTTEST} for the exact pair")
    wanted = {"odd": (1,), "even": (0,), "both": (0, 1)}[parity]
    top = TINY / beta if math.isfinite(beta) else 2.0
    reach = 2 * math.sqrt(2 * (top + 4 * kappa ** (2 / 3) + 6)) + 10
    points = int(60 + 0.8 * math.sqrt(top + 4 * kappa ** (2 / 3) + 6) * reach)  # pi a wavelength, and some more
    energies, degeneracies = [], []
    most = 1 if dim == 1 else int(top + 4 * kappa ** (2 / 3)) + 3
    for l in range(most + 1):
        if l % 2 in wanted:
            levels = radial_levels(l, dim, float(kappa), round(reach, 3), points)
            levels = levels[levels < levels[0] + top + 4 * kappa ** (2 / 3) + 3]
            energies.append(levels)
            degeneracies.append(np.full(len(levels), {1: 1, 2: 2 if l else 1, 3: 2 * l + 1}[dim], float))
    e, g = np.concatenate(energies), np.concatenate(degeneracies)
    method = "separation of the centre of mass"
    if math.isinf(beta):
        ground = float(e.min()) + 0.5 * dim
        return Thermodynamics.from_log_partition(-ground, ground, 0.0, 1.0, method)
    lnZ = float(logsumexp(-beta * e, b=g))
    p = g * np.exp(-beta * e - lnZ)
    mean = float(p @ e)
    centre = 0.5 * dim / math.tanh(beta / 2)
    variance = float(p @ (e - mean) ** 2) + dim * (0.5 / math.sinh(beta / 2)) ** 2
    lnZ_centre = -dim * math.log(2 * math.sinh(beta / 2))
    return Thermodynamics.from_log_partition(lnZ + lnZ_centre, mean + centre, variance, beta, method)
