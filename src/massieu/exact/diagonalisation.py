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
CHANGES = 3.0  # the energies converge as a power of the basis: the rest is about as large as the last change


def small_gas(
    spins: tuple[int, ...], length: float, twist: np.ndarray, beta: float, fewest: int
) -> Thermodynamics | None:
    """The electron gas in a box of side `length` (a0), in Ry; None if fewer than `fewest` plane waves are in reach."""
    dim, unit = len(twist), (2 * math.pi / length) ** 2
    vectors, energies = momentum_shells.levels(dim, length, twist, unit * 36)
    shells = np.flatnonzero(np.diff(energies) > 1e-9 * energies[-1]) + 1
    kept, smaller = largest_basis(shells, spins)
    if kept < fewest:
        return None
    images = sum(spins) * madelung(dim) / length
    return thermal_diagonalisation(vectors[:kept], energies[:kept], spins, 2 / length, images, beta, smaller)


def largest_basis(shells: np.ndarray, spins: tuple[int, ...]) -> tuple[int, int]:
    """Plane waves (whole shells; `shells`: their rising ends) of the largest basis in reach, and the next smaller."""
    sizes = [math.prod(math.comb(int(m), count) for count in spins) for m in shells]
    kept = [int(m) for m, size in zip(shells, sizes, strict=True) if 0 < size <= MOST_DETERMINANTS]
    return (kept[-1], kept[-2]) if len(kept) > 1 else (0, 0)


def thermal_diagonalisation(
    vectors: np.ndarray, energies: np.ndarray, spins: tuple[int, ...], coupling: float, offset: float, beta: float,
    smaller: int,
) -> Thermodynamics:  # fmt: skip
    """F, E, S, C of H = kinetic + coupling * Coulomb + offset in the plane waves `vectors` (M, dim) of `energies` (M,).

    A truncated basis gives an upper bound of F; what it lacks is taken as CHANGES times the change from a basis of
    `smaller` plane waves.
    beta may be infinite: the ground state.
    """
    sectors: dict[tuple[int, ...], list[Determinant]] = defaultdict(list)
    for determinant in determinants(len(vectors), spins):
        sectors[total_momentum(determinant, vectors)].append(determinant)
    levels, coarse = [], []
    for block in sectors.values():
        orbitals = np.array(block) % len(vectors)
        matrix = np.diag(energies[orbitals].sum(axis=1)) + coupling * interaction_matrix(block, vectors)
        levels.append(np.linalg.eigvalsh(matrix))
        inner = np.flatnonzero(np.all(orbitals < smaller, axis=1))
        if len(inner):
            coarse.append(np.linalg.eigvalsh(matrix[np.ix_(inner, inner)]))
    fine = _averages(np.concatenate(levels) + offset, beta)
    change = [CHANGES * abs(a - b) for a, b in zip(fine, _averages(np.concatenate(coarse) + offset, beta), strict=True)]
    F, E, S, C = (Estimate(value, error) for value, error in zip(fine, change, strict=True))
    lnZ = Estimate(-beta * F.value, beta * F.error) if math.isfinite(beta) else Estimate(math.nan)
    return Thermodynamics(
        F, E, S, C, lnZ, f"diagonalisation in {len(vectors)} plane waves (error: of the basis, one-sided)"
    )


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
