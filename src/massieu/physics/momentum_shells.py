"""Which plane waves to keep: momenta k = 2 pi (n + t)/L in whole shells, as far as the ideal gas needs them."""

from __future__ import annotations

import itertools
import math

import numpy as np

from massieu.geometry import integer_vectors
from massieu.physics.fermi_gas import IdealGas, free_energy, ideal_gas
from massieu.physics.plane_wave_matrix import exchange

MOST_CHOICES = 1000  # sets of a degenerate shell that are compared
REACH = 60.0  # levels more than 60 kT above the Fermi level change nothing in 14 digits
NEAR = 25.0  # and above so many kT, nothing in what a cut-off is chosen by


def levels(dim: int, length: float, twist: np.ndarray, highest: float) -> tuple[np.ndarray, np.ndarray]:
    """Integer momenta (M, dim) and levels (M,) in Ry of a box of side `length` (a0) up to `highest`, rising."""
    unit = (2 * math.pi / length) ** 2
    vectors = integer_vectors(dim, math.sqrt(highest / unit), twist)
    energies = unit * np.sum((vectors + twist) ** 2, axis=1)
    order = np.argsort(np.round(energies / unit, 9), kind="stable")
    return vectors[order], energies[order]


def complete_levels(
    n: int, dim: int, length: float, twist: np.ndarray, temperature: float
) -> tuple[np.ndarray, np.ndarray]:
    """All levels that n fermions at this temperature (Ry) can reach to 14 digits."""
    return levels(dim, length, twist, _highest(n, dim, length, temperature))


def whole_shells(
    n: int, dim: int, length: float, twist: np.ndarray, temperature: float, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """`complete_levels` of whole shells, at most `most` of them."""
    vectors, energies = complete_levels(n, dim, length, twist, temperature)
    if len(energies) <= most:
        return vectors, energies
    ends = _whole_shells(energies, n)
    kept = int(max(ends[ends <= most], default=ends[0]))
    return vectors[:kept], energies[:kept]


def number_of_levels(n: int, dim: int, length: float, temperature: float) -> float:
    """About how many levels `complete_levels` finds."""
    radius = math.sqrt(_highest(n, dim, length, temperature)) * length / (2 * math.pi)
    return math.pi ** (dim / 2) / math.gamma(dim / 2 + 1) * radius**dim


def _highest(n: int, dim: int, length: float, temperature: float) -> float:
    unit = (2 * math.pi / length) ** 2
    radius = (n * math.gamma(dim / 2 + 1) / math.pi ** (dim / 2)) ** (1 / dim)  # of a Fermi sphere of n points
    return unit * (radius + 2) ** 2 + REACH * temperature


def ideal_box(spins: tuple[int, ...], dim: int, length: float, twist: np.ndarray, temperature: float) -> IdealGas:
    """The canonical ideal gas of spins[0] up and spins[1] down electrons; occupations summed over the spins."""
    parts = []
    for count in spins:
        if count:
            _, energies = complete_levels(count, dim, length, twist, temperature)
            parts.append(_ground(energies, count) if temperature == 0 else ideal_gas(energies, count, 1 / temperature))
    longest = max(len(part.occupations) for part in parts)
    occupations = np.sum([np.pad(part.occupations, (0, longest - len(part.occupations))) for part in parts], axis=0)
    F, E, S, C = (sum(getattr(part, name) for part in parts) for name in "FESC")
    return IdealGas(F, E, S, C, occupations)


def _ground(energies: np.ndarray, count: int) -> IdealGas:
    """T = 0: the lowest levels filled (an open shell keeps the entropy of its degeneracy)."""
    top = energies[count - 1]
    equal = np.abs(energies - top) < 1e-9 * max(top, 1e-300)
    missing = count - int(np.sum((energies < top) & ~equal))
    entropy = math.log(math.comb(int(equal.sum()), missing))
    occupations = np.where(equal, missing / equal.sum(), (energies < top).astype(float))
    E = float(energies[:count].sum())
    return IdealGas(E, E, entropy, 0.0, occupations)


def most_levels(energies: np.ndarray, spins: tuple[int, ...], determinants: int) -> int:
    """Largest number of levels, in whole shells, with at most so many determinants; at least what the spins fill."""
    shells = _whole_shells(energies, max(spins))
    small = [s for s in shells if math.prod(math.comb(int(s), count) for count in spins) <= determinants]
    return int(max(small, default=shells[0]))


def _whole_shells(energies: np.ndarray, count: int) -> np.ndarray:
    """Numbers of levels that fill shells and hold `count` fermions."""
    shells = np.flatnonzero(np.diff(energies) > 1e-9 * energies[-1]) + 1
    return shells[shells >= count] if np.any(shells >= count) else np.array([len(energies)])


def ground_set(levels: np.ndarray, vectors: np.ndarray, count: int) -> np.ndarray:
    """The `count` lowest orbitals, rising indices; of a degenerate shell those with the lowest exchange energy."""
    order = np.argsort(np.round(levels, 9), kind="stable")
    if count == 0:
        return order[:0]
    top = np.isclose(levels, levels[order[count - 1]], rtol=0, atol=1e-9)
    full = np.flatnonzero((levels < levels[order[count - 1]]) & ~top)
    choices = itertools.combinations(np.flatnonzero(top), count - len(full))
    some = [np.concatenate([full, np.array(choice, int)]) for choice in itertools.islice(choices, MOST_CHOICES)]
    return np.sort(min(some, key=lambda chosen: round(exchange(tuple(chosen.tolist()), vectors), 9)))


def cutoff_error(energies: np.ndarray, kept: int, count: int, temperature: float) -> float:
    """F of the ideal gas in the lowest `kept` levels less that in all of them (Ry, >= 0)."""
    beta = 1 / temperature
    return free_energy(energies, count, beta, kept) - free_energy(energies, count, beta, len(energies))


def choose_cutoff(energies: np.ndarray, count: int, temperature: float, tolerance: float) -> tuple[int, float]:
    """Smallest number of levels, in whole shells, whose cut-off error of F per particle is below tolerance * kT.

    Returns it with that error (Ry, total).  At T = 0: the shells that the ground state fills.
    """
    shells = _whole_shells(energies, count)
    if temperature == 0:
        return int(shells[0]), 0.0
    near = energies[: max(shells[0], np.searchsorted(energies, energies[count - 1] + NEAR * temperature))]
    beta, low, high = 1 / temperature, 0, len(shells) - 1
    allowed = free_energy(near, count, beta, len(near)) + tolerance * temperature * count
    while low < high:
        middle = (low + high) // 2
        if free_energy(near, count, beta, int(shells[middle])) <= allowed:
            high = middle
        else:
            low = middle + 1
    return int(shells[low]), cutoff_error(energies, int(shells[low]), count, temperature)
