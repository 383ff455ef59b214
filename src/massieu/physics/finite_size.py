"""Finite-size corrections of the electron gas: infinite system less box, totals of N electrons in Ry.

One particle: the ideal gas of infinite volume less the canonical ideal gas of the box at its twists (shell effects).

Interaction, in the random-phase approximation at finite temperature (Chiesa et al., Phys. Rev. Lett. 97, 076404 (2006);
Brown et al., Phys. Rev. Lett. 110, 146405 (2013); Drummond et al., Phys. Rev. B 78, 125106 (2008) for two dimensions):
with v(k) = 8 pi/k^2 (3D) or 4 pi/k (2D), chi_0 of the ideal gas and omega_n = 2 pi n T, integration over the coupling
of the potential energy sum_k n v (S - 1)/2 of the wavevectors k = 2 pi n/L != 0 gives sum_k h(k),

    h(k) = T/2 sum_n ln(1 - v chi_0(k, i omega_n)) - n v/2,        S(k) = -(T/n) sum_n chi_0/(1 - v chi_0).

    F(infinite) - F(N) = V int d^dk/(2 pi)^d h(k) - sum_{k != 0} h(k) - N xi/L

The last term takes away the energy xi/L (Ry; xi < 0) of each electron in its own images, which the Ewald energy of the
box holds and an infinite system does not have.  N xi/L is sum n v/2 - V int n v/2: all is V int - sum of h + n v/2.
The correction of the potential energy is the same with n v (S - 1)/2 for h, and E = d(beta F)/d beta.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import scipy

from massieu.geometry import integer_vectors
from massieu.physics.ewald import madelung
from massieu.physics.lindhard import InfiniteGas, double_exponential, energies, fermi_energy, infinite_gas, response
from massieu.principle import Estimate

SMOOTH = 1.5  # width of the window in units of 2 pi/L: sum and integral beyond it agree to exp(-(1.5 pi)^2)
EDGE = 5.0  # widths on either side of its middle: erfc(5) = 2e-12
STEP = 0.02  # of ln T in derivatives of fourth order
FIRST = 12  # Matsubara frequencies summed one by one; octaves of ORDER nodes follow
ORDER = 10
HIGHEST = 1e3  # last frequency in units of the highest energy
COUPLING = 2.0  # e^2 (Ry a0)


class Box(NamedTuple):
    """Electrons of each spin in a periodic box of dimension dim and side `length` (a0), at kT (Ry)."""

    spins: tuple[int, ...]
    dim: int
    length: float
    temperature: float


class Correction(NamedTuple):
    """What to add to the totals of the box: Ry; S in k_B."""

    F: float
    E: float
    S: float
    kinetic: float
    potential: float


def entries(box: Box, ideal: Sequence[float], results: dict[str, Estimate], interacting: bool) -> dict:
    """Both corrections (totals), and the results F, E, S with them, per electron.

    ideal: F, E, S of the canonical ideal gas of the box; results: totals of the simulation under the same names.
    """
    shell = one_particle(box, ideal)
    mutual = interaction(box) if interacting else Correction(0.0, 0.0, 0.0, 0.0, 0.0)
    n = sum(box.spins)
    corrected = {
        name: Estimate((value.value + getattr(shell, name) + getattr(mutual, name)) / n, value.error / n).as_dict()
        for name, value in results.items()
    }
    of_shell = {name: getattr(shell, name) for name in "FES"}
    return {"one_particle": of_shell, "interaction": mutual._asdict(), "corrected": corrected}


def one_particle(box: Box, ideal: Sequence[float]) -> Correction:
    """The ideal gas of infinite volume less that of the box (F, E, S); at T = 0 both have no entropy."""
    volume = box.length**box.dim
    free, total = (volume * value for value in energies(_gas(box, box.temperature)))
    F, E, S = free - ideal[0], total - ideal[1], 0.0
    if box.temperature > 0:
        S = (total - free) / box.temperature - ideal[2]
    return Correction(F, E, S, E, 0.0)


def interaction(box: Box) -> Correction:
    """The correction of the interaction energies, by the random-phase approximation."""
    if box.temperature == 0:
        F, potential = _corrections(box, 0.0)
        return Correction(F, F, 0.0, F - potential, potential)
    values = [_corrections(box, box.temperature * math.exp(j * STEP)) for j in (-2, -1, 0, 1, 2)]
    F, potential = values[2]
    slope = (8 * (values[3][0] - values[1][0]) - (values[4][0] - values[0][0])) / (12 * STEP)  # T dF/dT
    E = F - slope
    return Correction(F, E, -slope / box.temperature, E - potential, potential)


def _gas(box: Box, temperature: float) -> InfiniteGas:
    densities = tuple(count / box.length**box.dim for count in box.spins if count)
    return infinite_gas(densities, box.dim, temperature)


def _corrections(box: Box, temperature: float) -> tuple[float, float]:
    """The corrections of F and of the potential energy (Ry) at another kT, the box unchanged."""
    gas, unit, dim = _gas(box, temperature), 2 * math.pi / box.length, box.dim
    middle = gas.reach + EDGE * SMOOTH * unit
    highest = middle + EDGE * SMOOTH * unit
    vectors = integer_vectors(dim, highest / unit)
    squares, count = np.unique(np.sum(vectors**2, axis=1), return_counts=True)
    x, w = double_exponential()
    bends = sorted({0.0, middle, highest, *(2 * math.sqrt(fermi_energy(n, dim)) for n in gas.densities)})
    points = np.concatenate([a + (b - a) * x for a, b in pairwise(bends)])
    weights = np.concatenate([(b - a) * w for a, b in pairwise(bends)])
    measure = {2: 2 * math.pi, 3: 4 * math.pi}[dim] * points ** (dim - 1) / unit**dim
    k = np.concatenate([points, unit * np.sqrt(squares[1:])])
    weight = np.concatenate([weights * measure, -count[1:]]) * 0.5 * scipy.special.erfc((k - middle) / (SMOOTH * unit))
    own = sum(box.spins) * madelung(dim) / box.length
    free, potential = excess(gas, k)
    return float(weight @ free) - own, float(weight @ potential) - own


def interaction_transform(k: np.ndarray, dim: int) -> np.ndarray:
    """v(k), the Fourier transform of 2/r (Ry a0^dim)."""
    return COUPLING * (2 * math.pi / k if dim == 2 else 4 * math.pi / k**2)


def structure_factor(gas: InfiniteGas, k: np.ndarray) -> np.ndarray:
    """S(k) of the interacting gas in the random-phase approximation, k (K,) > 0 in 1/a0."""
    return 1 + 2 * excess(gas, k)[1] / (gas.density * interaction_transform(k, gas.dim))


def excess(gas: InfiniteGas, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """h(k) and n v (S(k) - 1)/2 (Ry), for k (K,) > 0 in 1/a0.

    The response -2 n k^2/(k^4 + omega^2) of electrons at rest, which has the same tail in omega and whose sum over
    omega_n != 0 is known, is taken away from each term.
    """
    T, n, v = gas.temperature, gas.density, interaction_transform(k, gas.dim)
    omega, weight = _frequencies(T, k, n * v)
    screening = -v[:, None] * response(gas, k, omega)
    at_rest = 2 * n * (v * k**2)[:, None] / (k[:, None] ** 4 + omega**2)
    rest = 0.5 * n * v * (_langevin(0.5 * k**2 / T) - 1 if T > 0 else 0.0)
    free = rest + (np.log1p(screening) - at_rest) @ weight
    potential = rest + (screening / (1 + screening) - at_rest) @ weight
    if T > 0:
        static = -v * response(gas, k, np.zeros(1))[:, 0]
        free, potential = free + 0.5 * T * np.log1p(static), potential + 0.5 * T * static / (1 + static)
    return free, potential


def _langevin(a: np.ndarray) -> np.ndarray:
    """coth a - 1/a, for a >= 0."""
    small = a < 1e-2
    safe = np.where(small, 1.0, a)
    return np.where(small, a / 3 - a**3 / 45, 1 / np.tanh(safe) - 1 / safe)


def _frequencies(T: float, k: np.ndarray, nv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """omega (M,) and weights: T sum over n >= 1, or its limit int_0 d omega/(2 pi) at T = 0."""
    highest = HIGHEST * float(np.max(k**2) + np.sqrt(np.max(nv * k**2)))
    if T == 0:
        t = np.arange(math.log(1e-10 * float(np.min(k**2))), math.log(highest), 0.4)
        return np.exp(t), 0.4 * np.exp(t) / (2 * math.pi)
    nodes, weights, start = [np.arange(1.0, FIRST)], [np.ones(FIRST - 1)], FIRST
    while 2 * math.pi * T * start < highest:
        x, w = _summation(start)
        nodes, weights, start = [*nodes, x], [*weights, w], 2 * start
    return 2 * math.pi * T * np.concatenate(nodes), T * np.concatenate(weights)


def _summation(start: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of sum_{n = start}^{2 start - 1} f(n), exact for polynomials of degree < ORDER.

    The Legendre coefficients of the interpolating polynomial by Gauss quadrature, times the sums of the Legendre
    polynomials over the integers.
    """
    x, w = np.polynomial.legendre.leggauss(ORDER)
    degrees = np.arange(ORDER)
    middle, half = 1.5 * start - 0.5, 0.5 * start
    n = np.arange(start, 2 * start) if start < 4096 else None
    if n is None:  # a sum over so many integers is an integral to 1e-16
        return middle + half * x, half * w
    sums = np.polynomial.legendre.legvander((n - middle) / half, ORDER - 1).sum(axis=0)
    basis = np.polynomial.legendre.legvander(x, ORDER - 1)
    return middle + half * x, w * (basis @ ((degrees + 0.5) * sums))
