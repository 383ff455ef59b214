"""The effective mass from the entropy, and the density derivative of the entropy.

At low temperature the entropy of a Fermi liquid is that of an ideal gas of mass m*, s = gamma T with gamma
proportional to m*, so that m*/m = s/s_0 at equal density and temperature (Eich, Holzmann and Vignale, Phys. Rev. B 96,
035132 (2017); Xie, Zhang and Wang, SciPost Phys. 14, 154 (2023)).  s_0 is taken in the same box, at the same twist and
with the same number of electrons: shell effects, which s and s_0 share, cancel to first order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from massieu.errors import at_least, positive, require
from massieu.principle import Estimate

POINTS = 3  # of a finite difference: exact for a parabola


class DensityDerivative(NamedTuple):
    """dS/dn (k_B) at density n (a0^-dim), S the entropy of a unit volume."""

    density: float
    slope: Estimate


def effective_mass_ratio(entropy: Estimate, ideal: Estimate) -> Estimate:
    """m*/m = s/s_0 from two entropies of the same system (k_B, both totals or both per electron)."""
    positive("ideal entropy", ideal.value)
    ratio = entropy.value / ideal.value
    return Estimate(ratio, math.hypot(entropy.error, ratio * ideal.error) / ideal.value)


def density(rs: float, dim: int) -> float:
    """Electrons in a unit volume (a0^-dim): 1/(pi rs^2) in two dimensions, 3/(4 pi rs^3) in three."""
    positive("rs", rs)
    require(dim in (2, 3), "dim", dim, "2 or 3")
    return 1 / (math.pi * rs**2) if dim == 2 else 3 / (4 * math.pi * rs**3)


def entropy_derivative(rs: Sequence[float], entropies: Sequence[Estimate], dim: int) -> list[DensityDerivative]:
    """dS/dn at constant T from a scan of the density, by rising density; the entropies (k_B) are per electron.

    All points must be at the same temperature in Ry, not at the same theta.  By Maxwell's relation -dS/dn is the slope
    of the chemical potential with T at constant n (Kuntsevich et al., Nat. Commun. 6, 7298 (2015)).  Derivative of the
    parabola through each point and the two nearest; errors propagate as uncorrelated.
    """
    at_least("points", len(rs), 2)
    require(len(entropies) == len(rs), "entropies", len(entropies), f"as many as densities, {len(rs)}")
    require(len(set(rs)) == len(rs), "rs", list(rs), "all different")
    order = np.argsort(rs)[::-1]
    n = np.array([density(rs[i], dim) for i in order])
    value, error = (n * [entropies[i][k] for i in order] for k in (0, 1))
    found = []
    for at in range(len(n)):
        first = min(max(0, at - 1), max(0, len(n) - POINTS))
        near = slice(first, first + POINTS)
        weights = _slope_weights(n[near], n[at])
        slope = Estimate(float(weights @ value[near]), float(np.linalg.norm(weights * error[near])))
        found.append(DensityDerivative(float(n[at]), slope))
    return found


def _slope_weights(x: np.ndarray, at: float) -> np.ndarray:
    """Weights of the values at x in the derivative of the interpolating polynomial."""
    scale = np.ptp(x)
    powers = np.vander((x - at) / scale, increasing=True)
    return np.linalg.inv(powers)[1] / scale
