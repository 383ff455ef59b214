"""One real variable with a potential, by quadrature: what a lattice field is without its neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

POINTS = 20_001
NEGLIGIBLE = 60.0  # of the potential above its minimum


class SingleSite(NamedTuple):
    """ln of int dx exp(-V), the standard deviation of x, and mean and variance of V."""

    log_z: float
    width: float
    mean: float
    variance: float


def single_site(potential: Callable[[np.ndarray], np.ndarray]) -> SingleSite:
    """Trapezoidal rule, exponentially accurate for smooth even V that grows without bound."""
    reach = 1e-3
    while np.min(potential(np.array([reach, -reach]))) < potential(np.linspace(-reach, reach, 201)).min() + NEGLIGIBLE:
        reach *= 1.1
    x = np.linspace(-reach, reach, POINTS)
    v = potential(x)
    low = v.min()
    weight = np.exp(low - v) * (x[1] - x[0])
    z = weight.sum()
    mean = float(weight @ v / z)
    width = float(np.sqrt(weight @ x**2 / z))
    return SingleSite(float(np.log(z)) - float(low), width, mean, float(weight @ (v - mean) ** 2 / z))
