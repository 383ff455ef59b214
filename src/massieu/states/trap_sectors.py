"""Sectors of a few electrons in a harmonic trap: states whose centre of mass is in its ground state.

The interaction leaves the centre of mass an oscillator, so that all other states are these with the centre of mass
excited, at known energies: rho = (centre of mass, exactly) x (the rest).  In a sector of one angular momentum (parity
on a line, both in space) they are the combinations sum_a B_ar D_a of determinants that the lowering operators
A = sum_i a_i/sqrt(N) of the centre of mass annihilate; a Jastrow factor of separations commutes with A.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scipy.sparse

from massieu.states.oscillator import angular_momentum, quantum_numbers
from massieu.states.sectors import Sectors, Symmetry, set_keys, sets_below, sorted_sectors

LEFT_OUT = 2e-4  # weight in the ideal gas of the states that are left out
LEAST_QUANTA = 8  # above the ground state, of the determinants that correlations are made of
MOST_QUANTA = 24
MOST_SETS = 30_000
MOST_OF_SECTOR = 1200
FLOOR = 0.03  # of the chances of the highest determinants beside those of the lowest
WIDEST = 1.0  # inverse temperature of the weights that decide which sectors are measured: interactions reorder them


class TrapSectors(NamedTuple):
    """orbitals (M, dim); the sectors; energies (n,) of their labels without interaction, inf where one is not used."""

    orbitals: np.ndarray
    sectors: Sectors
    energies: np.ndarray


def trap_sectors(spins: tuple[int, ...], dim: int, beta: float, log_z: float) -> TrapSectors | None:
    """All that are thermal at beta, where the ideal gas has the partition function e^log_z; None if too many."""
    for quanta in range(LEAST_QUANTA, MOST_QUANTA + 1):
        orbitals = quantum_numbers(dim, _filled(spins, dim) + quanta)
        levels = orbitals.sum(axis=1) + 0.5 * dim
        ground = sum(levels[:count].sum() for count in spins)
        sets = sets_below(levels, spins, ground + quanta + 0.25, MOST_SETS)
        if sets is None:
            return None
        kept = 1.0 if math.isinf(beta) else float(np.sum(np.exp(-beta * levels[sets].sum(axis=1) - log_z)))
        if 1 - kept < LEFT_OUT:
            break
    else:
        return None
    charges, period, turns = _conserved(orbitals, dim)
    sectors = sorted_sectors(sets, charges, levels, spins, turns, len(sets), 1.0, period)
    if sectors.members.shape[1] > MOST_OF_SECTOR:
        return None
    return _reduced(orbitals, sectors, dim, min(beta, WIDEST))


def _filled(spins: tuple[int, ...], dim: int) -> int:
    """Shells that hold the electrons in their lowest states."""
    return next(s for s in range(1, 99) if len(quantum_numbers(dim, s)) >= max(spins))


def _conserved(orbitals: np.ndarray, dim: int) -> tuple[np.ndarray, np.ndarray, list[Symmetry]]:
    """What adds up to something conserved (M, c), its period, and the reflection that turns the angular momentum."""
    every = np.arange(len(orbitals))
    if dim == 1:
        return orbitals % 2, np.array([2]), [Symmetry(every, np.eye(1, dtype=int), np.zeros(1, int))]
    turning = angular_momentum(orbitals)[:, None]
    charges = turning if dim == 2 else np.column_stack([turning, orbitals[:, 2] % 2])
    size = charges.shape[1]
    reflected = orbitals.copy()
    reflected[:, :2] = orbitals[:, 1::-1]
    index = {tuple(o): i for i, o in enumerate(orbitals.tolist())}
    images = np.array([index[tuple(o)] for o in reflected.tolist()])
    none = np.zeros(size, int)
    turns = [
        Symmetry(every, np.eye(size, dtype=int), none),
        Symmetry(images, np.diag([-1] + [1] * (size - 1)), none),
    ]
    return charges, np.array([0, 2])[:size], turns


def _reduced(orbitals: np.ndarray, sectors: Sectors, dim: int, beta: float) -> TrapSectors:
    """With the combinations B of each family, and the energies of the labels that they take."""
    lowering = [_lowering(orbitals, sectors, axis) for axis in range(dim)]
    energies = np.full(len(sectors.sets), np.inf)
    levels = orbitals[sectors.sets].sum(axis=(1, 2)) + 0.5 * dim * sectors.sets.shape[1]
    families, total = [], 0.0
    for family in sectors.families:
        own = sectors.members[family.sectors[0]][: family.size]
        basis, of_basis = _annihilated([matrix[:, own] for matrix in lowering], levels[own])
        for sector in family.sectors:
            energies[sectors.members[sector][: len(of_basis)]] = of_basis
        weight = float(np.sum(np.exp(-beta * (of_basis - levels.min())))) * len(family.sectors)
        total += weight
        identity = [(np.arange(len(of_basis)), np.ones(len(of_basis)))]  # of combinations, as `hermitian` sees them
        chances = _chances(basis, levels[own], beta)
        families.append(family._replace(basis=basis, kept=identity, weight=weight, chances=chances))
    families = [family._replace(weight=family.weight / total) for family in families]
    return TrapSectors(orbitals, sectors.with_families(tuple(families)), energies)


def _chances(basis: np.ndarray, levels: np.ndarray, beta: float) -> np.ndarray:
    """Of determinants (m,) in the mixture that samples come from: low states more often, every combination at times."""
    if not basis.size:
        return np.full(len(levels), 1 / len(levels))
    wanted = np.sum(basis**2, axis=1) * (np.exp(-0.5 * beta * (levels - levels.min())) + FLOOR)
    return wanted / wanted.sum()


def _lowering(orbitals: np.ndarray, sectors: Sectors, axis: int) -> scipy.sparse.csc_array:
    """sum_i a_i/sqrt(N) of one kind of quanta between determinants (n, n)."""
    index = {tuple(o): i for i, o in enumerate(orbitals.tolist())}
    lowered = orbitals - np.eye(orbitals.shape[1], dtype=int)[axis]
    to = np.array([index.get(tuple(o), -1) for o in lowered.tolist()])
    sets, spin = sectors.sets, np.repeat(np.arange(len(sectors.spins)), sectors.spins)
    rows, columns, values = [], [], []
    for electron in range(sets.shape[1]):
        new = sets.copy()
        new[:, electron] = to[sets[:, electron]]
        others = (spin == spin[electron]) & (np.arange(len(spin)) != electron)
        empty = ~np.any(sets[:, others] == new[:, [electron]], axis=1)
        there = np.flatnonzero((new[:, electron] >= 0) & empty)
        passed = np.sum((sets[there][:, others] < new[there][:, [electron]]) != (
            sets[there][:, others] < sets[there][:, [electron]]), axis=1)  # fmt: skip
        new = new[there]
        for s in np.unique(spin):
            new[:, spin == s] = np.sort(new[:, spin == s], axis=1)
        rows.append(np.searchsorted(sectors.keys, set_keys(new, sectors.base)))
        columns.append(there)
        strength = np.sqrt(orbitals[sets[there, electron], axis] / sets.shape[1])
        values.append(np.where(passed % 2, -1.0, 1.0) * strength)
    parts = (np.concatenate(part) for part in (values, rows, columns))
    value, row, column = parts
    return scipy.sparse.csc_array((value, (row, column)), shape=(len(sets), len(sets)))


def _annihilated(lowering: list[scipy.sparse.csc_array], levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal combinations (m, r) of a sector that are annihilated, by rising energy, and their energies (r,)."""
    columns, energies = [], []
    for level in np.unique(np.round(levels, 6)):
        at = np.flatnonzero(np.abs(levels - level) < 1e-3)
        quanta, modes = np.linalg.eigh(sum((matrix[:, at].T @ matrix[:, at]).toarray() for matrix in lowering))
        null = modes[:, quanta < 0.5]  # quanta of the centre of mass: whole numbers
        block = np.zeros((len(levels), null.shape[1]))
        block[at] = null
        columns.append(block)
        energies.append(np.full(null.shape[1], level))
    return np.concatenate(columns, axis=1), np.concatenate(energies)
