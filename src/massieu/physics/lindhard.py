"""The ideal gas of infinite volume and its density response at imaginary frequencies, at any temperature.

Rydberg units: eps = k^2, k_B = 1.  Everything is an average of its ground state values over the Fermi energy u with the
weight -f'(u) (Maldague, Surf. Sci. 73, 296 (1978)), whose closed forms are (P^2 = u, a = (k^2 + i omega)/2k)

    3D   chi_0 = -1/(4 pi^2 k) Re[ a P + (P^2 - a^2)/2 ln (a + P)/(a - P) ]      n = P^3/(6 pi^2)
    2D   chi_0 = -P^2/(2 pi k) Re 1/(a + sqrt(a^2 - P^2))                        n = P^2/(4 pi)

for each spin (Lindhard, Dan. Mat. Fys. Medd. 28, 8 (1954); Stern, Phys. Rev. Lett. 18, 546 (1967)).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scipy

REACH = 34.0  # -f'(u) further than this many kT from mu is below 1e-14 of its maximum
FAR = 5.0  # |a|/P from which the logarithm is expanded
TERMS = 10  # of the expansion: 5^-20


class InfiniteGas(NamedTuple):
    """Dimension, kT (Ry), and of each spin the density (a0^-dim) and the chemical potential (Ry; T = 0: E_F)."""

    dim: int
    temperature: float
    densities: tuple[float, ...]
    potentials: tuple[float, ...]

    @property
    def density(self) -> float:
        """Of both spins (a0^-dim)."""
        return sum(self.densities)

    @property
    def reach(self) -> float:
        """2 k_F of the majority spin (1/a0): where chi_0 of the ground state is not smooth."""
        return 2 * math.sqrt(max(fermi_energy(n, self.dim) for n in self.densities))


def infinite_gas(densities: tuple[float, ...], dim: int, temperature: float) -> InfiniteGas:
    """The ideal gas with these densities (a0^-dim, > 0) of each spin at kT (Ry)."""
    potentials = tuple(chemical_potential(n, dim, temperature) for n in densities)
    return InfiniteGas(dim, temperature, densities, potentials)


def fermi_energy(density: float, dim: int) -> float:
    """k_F^2 (Ry) of one spin of this density (a0^-dim)."""
    return 4 * math.pi * density if dim == 2 else (6 * math.pi**2 * density) ** (2 / 3)


def chemical_potential(density: float, dim: int, temperature: float) -> float:
    """mu (Ry) of one spin of this density (a0^-dim) at kT (Ry)."""
    if temperature == 0:
        return fermi_energy(density, dim)
    if dim == 2:
        x = 4 * math.pi * density / temperature
        return temperature * (x + math.log(-math.expm1(-x)))
    classical = temperature * math.log(density * (4 * math.pi / temperature) ** 1.5)  # a lower bound
    missing = lambda mu: math.log(_density(mu, dim, temperature) / density)  # noqa: E731
    return scipy.optimize.brentq(
        missing, classical - 1e-9 * temperature, fermi_energy(density, dim) + 1e-9 * temperature, xtol=1e-15
    )


def _density(mu: float, dim: int, temperature: float) -> float:
    level, weight = _levels(mu, temperature, np.zeros(1))
    return float(np.sum(weight * _ground_density(level, dim)))


def _ground_density(level: np.ndarray, dim: int) -> np.ndarray:
    return level / (4 * math.pi) if dim == 2 else level**1.5 / (6 * math.pi**2)


def energies(gas: InfiniteGas) -> tuple[float, float]:
    """Free energy and energy of a unit volume (Ry a0^-dim): F = mu N - (2/dim) E, as the pressure is (2/dim) E/V."""
    free = total = 0.0
    for density, mu in zip(gas.densities, gas.potentials, strict=True):
        level, weight = _levels(mu, gas.temperature, np.zeros(1))
        own = gas.dim / (gas.dim + 2) * float(np.sum(weight * level * _ground_density(level, gas.dim)))
        total += own
        free += mu * density - 2 / gas.dim * own
    return free, total


def response(gas: InfiniteGas, k: np.ndarray, omega: np.ndarray) -> np.ndarray:
    """chi_0(k, i omega) (Ry^-1 a0^-dim, <= 0) of both spins, (K, M), for k (K,) > 0 (1/a0) and omega (M,) (Ry).

    omega: 0 or at least 2 pi kT, above which chi_0 depends on the Fermi energy as smoothly as f.
    """
    total = np.zeros((len(k), len(omega)))
    for mu in gas.potentials:
        smooth = _levels(mu, gas.temperature, np.zeros(1))
        bent = _levels(mu, gas.temperature, k**2 / 4) if np.any(omega == 0) else smooth
        for m, w in enumerate(omega):
            level, weight = smooth if w > 0 else bent
            total[:, m] += np.sum(weight * _ground_response(k[:, None], w, level, gas.dim), axis=1)
    return total


def _ground_response(k: np.ndarray, omega: float, level: np.ndarray, dim: int) -> np.ndarray:
    """chi_0(k, i omega) of one spin in the ground state with Fermi energy `level`."""
    if dim == 2:
        a = 0.5 * (k + 1j * omega / k)
        return -level / (2 * math.pi * k) * (1 / (a + np.sqrt(a**2 - level))).real
    x, y, p = np.broadcast_arrays(0.5 * k, 0.5 * omega / k, np.sqrt(level))
    far = x**2 + y**2 > (FAR * p) ** 2
    out = np.empty(far.shape)
    out[far] = _far(x[far], y[far], p[far])
    out[~far] = _near(x[~far], y[~far], p[~far])
    return -out / (4 * math.pi**2 * k)


def _near(x: np.ndarray, y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Re[a P + (P^2 - a^2)/2 ln (a + P)/(a - P)], a = x + i y."""
    above, below = (x + p) ** 2 + y**2, (x - p) ** 2 + y**2
    log = 0.5 * np.log(above / np.where(below > 0, below, above))  # its factor vanishes at a = P
    angle = -np.arctan2(2 * p * y, x**2 + y**2 - p**2)
    return x * p + 0.5 * (p**2 - x**2 + y**2) * log + x * y * angle


def _far(x: np.ndarray, y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """The same for |a| >> P: Re 2 P^2 sum_j (P/a)^(2j-1)/((2j - 1)(2j + 1))."""
    ratio = p / (x + 1j * y)
    square, series = ratio**2, np.zeros_like(ratio)
    for j in range(TERMS, 0, -1):
        series = series * square + 2 / ((2 * j - 1) * (2 * j + 1))
    return p**2 * (ratio * series).real


def _levels(mu: float, temperature: float, singular: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fermi energies u (K, U) and weights (K, U) of the average over -f'(u) du, u > 0.

    Panels end at mu and at the `singular` (K,) energies, where double exponential quadrature does not mind.
    """
    if temperature == 0:
        return np.full((len(singular), 1), mu), np.ones((len(singular), 1))
    low, high = max(0.0, mu - REACH * temperature), max(0.0, mu) + REACH * temperature
    inner = np.clip(np.stack([np.full(len(singular), mu), singular], axis=1), low, high)
    edges = np.sort(np.pad(inner, ((0, 0), (1, 1)), constant_values=((0, 0), (low, high))), axis=1)
    x, w = double_exponential()
    width = np.diff(edges, axis=1)[..., None]
    used = np.any(width > 0, axis=(0, 2))
    u = (edges[:, :-1, None] + width * x)[:, used].reshape(len(singular), -1)
    slope = 0.25 / temperature / np.cosh((u - mu) / (2 * temperature)) ** 2
    return u, (width * w)[:, used].reshape(len(singular), -1) * slope


def double_exponential(step: float = 0.1, ends: float = 2.9) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on (0, 1) for functions with singularities at the ends.

    Takahasi and Mori, Publ. RIMS 9, 721 (1974).
    """
    t = np.arange(-round(ends / step), round(ends / step) + 1) * step
    x = 0.5 * (1 + np.tanh(0.5 * math.pi * np.sinh(t)))
    return x, 0.25 * math.pi * step * np.cosh(t) / np.cosh(0.5 * math.pi * np.sinh(t)) ** 2
