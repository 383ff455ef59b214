"""Two or three thermal electrons by diagonalisation in all determinants of a set of plane waves."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np

from massieu.exact.thermodynamics import Thermodynamics
from massieu.physics import momentum_shells
from massieu.physics.ewald import madelung
from massieu.physics.plane_wave_matrix import Determinant, determinants, interaction_matrix, total_momentum
from massieu.principle import Estimate

MOST_DETERMINANTS = 15_000
SMALLEST = 0.4  # of the largest basis: from there on the energies follow a power of its size
BASES = 6  # that the extrapolation uses, at most


def small_gas(
    spins: tuple[int, ...], length: float, twist: np.ndarray, beta: float, fewest: int
) -> Thermodynamics | None:
    """The electron gas in a box of side `length` (a0), in Ry; None if fewer than `fewest` plane waves are in reach."""
    dim, unit = len(twist), (2 * math.pi / length) ** 2
    vectors, energies = momentum_shells.levels(dim, length, twist, unit * 36)
    shells = np.flatnonzero(np.diff(energies) > 1e-9 * energies[-1]) + 1
    sizes = bases(shells, spins)
    if not sizes or sizes[-1] < fewest:
        return None
    images, kept = sum(spins) * madelung(dim) / length, sizes[-1]
    return thermal_diagonalisation(vectors[:kept], energies[:kept], spins, 2 / length, images, beta, sizes)


def bases(shells: np.ndarray, spins: tuple[int, ...]) -> list[int]:
    """Rising numbers of plane waves (whole shells; `shells`: their ends), the largest in reach and smaller ones."""
    sizes = [math.prod(math.comb(int(m), count) for count in spins) for m in shells]
    kept = [int(m) for m, size in zip(shells, sizes, strict=True) if 0 < size <= MOST_DETERMINANTS]
    near = [m for m in kept if m >= SMALLEST * kept[-1]]
    places = np.linspace(0, len(near) - 1, BASES).round().astype(int)
    return [near[place] for place in np.unique(places)] if near else []


def power(spins: tuple[int, ...], dim: int) -> float:
    """The power of 1/(plane waves) by which cusps make energies converge: tails k^-2(dim + 1) of n(k), k^2 less for
    electrons of equal spin.
    """
    opposite = sum(1 for count in spins if count) > 1
    return 1.0 if opposite else (dim + 2) / dim


def extrapolated(sizes: list[int], values: np.ndarray, by: float) -> Estimate:
    """The limit of values (B,) of bases of `sizes` plane waves, linear in sizes^-by.

    Its error: half of what the extrapolation adds, and the scatter about the line.
    """
    if np.ptp(values) <= 1e-13 * max(1.0, abs(float(values[-1]))):
        return Estimate(float(values[-1]), 0.0)
    if len(sizes) < 3:
        return Estimate(float(values[-1]), 3 * float(np.ptp(values)))
    x = np.asarray(sizes, float) ** -by
    weight = x[-1] / x  # small bases are further from the law
    slope, limit = np.polyfit(x, values, 1, w=weight)
    scatter = math.sqrt(float(np.sum((weight * (values - limit - slope * x)) ** 2)) / (len(x) - 2))
    return Estimate(float(limit), math.hypot(0.5 * (limit - float(values[-1])), scatter))


def thermal_diagonalisation(
    vectors: np.ndarray, energies: np.ndarray, spins: tuple[int, ...], coupling: float, offset: float, beta: float,
    sizes: list[int],
) -> Thermodynamics:  # fmt: skip
    """F, E, S, C of H = kinetic + coupling * Coulomb + offset in the plane waves `vectors` (M, dim) of `energies` (M,).

    A truncated basis gives an upper bound of F; the values are extrapolated from the first `sizes` of the plane waves,
    the last of them all.  beta may be infinite: the ground state.
    """
    sectors: dict[tuple[int, ...], list[Determinant]] = defaultdict(list)
    for determinant in determinants(len(vectors), spins):
        sectors[total_momentum(determinant, vectors)].append(determinant)
    levels: list[list[np.ndarray]] = [[] for _ in sizes]
    for block in sectors.values():
        orbitals = np.array(block) % len(vectors)
        matrix = np.diag(energies[orbitals].sum(axis=1)) + coupling * interaction_matrix(block, vectors)
        for size, found in zip(sizes, levels, strict=True):
            inner = np.flatnonzero(np.all(orbitals < size, axis=1))
            if len(inner):
                found.append(np.linalg.eigvalsh(matrix[np.ix_(inner, inner)]))
    by_size = np.array([_averages(np.concatenate(found) + offset, beta) for found in levels])
    by = power(spins, vectors.shape[1])
    F, E, S, C = (extrapolated(sizes, column, by) for column in by_size.T)
    lnZ = Estimate(-beta * F.value, beta * F.error) if math.isfinite(beta) else Estimate(math.nan)
    method = f"diagonalisation in up to {len(vectors)} plane waves, extrapolated (error: of the extrapolation)"
    return Thermodynamics(F, E, S, C, lnZ, method)


def _averages(levels: np.ndarray, beta: float) -> tuple[float, float, float, float]:
    """F, E, S and C of a spectrum."""
    lowest = float(levels.min())
    excited = levels - lowest
    if not math.isfinite(beta):
        degeneracy = int(np.sum(excited < 1e-9 * max(1e-3, abs(lowest))))
        return lowest, lowest, math.log(degeneracy), 0.0
    weight = np.exp(-beta * excited)
    Z = float(weight.sum())
    E = float(weight @ excited) / Z
    C = beta**2 * (float(weight @ excited**2) / Z - E**2)
    return lowest - math.log(Z) / beta, lowest + E, math.log(Z) + beta * E, C
