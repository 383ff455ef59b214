"""Small configuration interaction: determinants of one total momentum, mixed before the flow carries them.

A flow is one map for all determinants of a momentum.  It cannot part those that the interaction couples however weak
it is (two pairs of a shell, singlet and triplet of two orbitals), nor move their nodes apart from each other.  So the
determinants of each momentum, by rising kinetic energy, are taken in blocks of a few whole shells, and the Hamiltonian
is diagonalised in each block: one unitary matrix, then the flow, another.  Where symmetry leaves two states of a block
degenerate they are taken as v1 +- i v2: their density keeps the symmetry of the box, as for p_x +- i p_y.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.physics.plane_wave_matrix import Determinant, determinants, exchange, small_matrix, total_momentum

MOST_DETERMINANTS = 50_000


class Mixing(eqx.Module):
    """Tables over all determinants, by their rank: partners (n, m, N) as orbital indices, and coefficients (n, m).

    coupling: e^2/L in units of (2 pi/L)^2, the kinetic energy of the shortest momentum.  energies (n,) of the mixed
    states, in the latter unit, without twist and self-images.
    """

    spins: tuple[int, ...] = eqx.field(static=True)
    binomials: np.ndarray
    partners: np.ndarray
    amplitudes: np.ndarray
    energies: np.ndarray

    def __init__(self, vectors: np.ndarray, spins: tuple[int, ...], coupling: float, largest: int):
        m, n = len(vectors), sum(spins)
        self.spins = spins
        self.binomials = np.array([[math.comb(a, b) for b in range(max(spins) + 2)] for a in range(m + 1)])
        every = determinants(m, spins)
        self.partners = np.zeros((len(every), largest, n), int)
        self.amplitudes = np.zeros((len(every), largest), complex)
        self.energies = np.zeros(len(every))
        for block, kinetic in _blocks(every, vectors, largest):
            sets = np.array(block) % m
            ranks = _rank(self.binomials, sets, spins)
            if len(block) > largest:  # one shell too large to mix
                self.partners[ranks] = sets[:, None]
                self.amplitudes[ranks, 0] = 1.0
                self.energies[ranks] = kinetic + coupling * np.array([exchange(one, vectors) for one in block])
                continue
            self.energies[ranks], states = _eigenstates(np.diag(kinetic) + coupling * small_matrix(block, vectors))
            self.partners[ranks] = sets[:1, None]  # padding: amplitude zero
            self.partners[ranks, : len(block)] = sets
            self.amplitudes[ranks, : len(block)] = states.T

    def expand(self, occupied: Array) -> tuple[Array, Array]:
        """Occupations (m, N) and coefficients (m,) of the state that K = occupied (N,) stands for."""
        at = self.rank(occupied)
        return jnp.asarray(self.partners)[at], jnp.asarray(self.amplitudes)[at]

    def rank(self, occupied: Array) -> Array:
        """Place of determinants (.., N) in the tables."""
        return _rank(jnp.asarray(self.binomials), occupied, self.spins)

    def all_sets(self) -> np.ndarray:
        """Occupied orbitals (n, N) of every determinant, by rank."""
        every = np.array(determinants(len(self.binomials) - 1, self.spins)) % (len(self.binomials) - 1)
        out = np.empty_like(every)
        out[_rank(self.binomials, every, self.spins)] = every
        return out


def _rank(binomials: Any, occupied: Any, spins: tuple[int, ...]) -> Any:
    """sum_j binomial(k_j, j), j = 1 .. n, for each spin of the sets (.., N); numpy or jax, as the binomials are."""
    at, start = 0, 0
    for count in spins:
        own = occupied[..., start : start + count]
        at = at * math.comb(len(binomials) - 1, count) + binomials[own, np.arange(1, count + 1)].sum(axis=-1)
        start += count
    return at


def small_enough(orbitals: int, spins: tuple[int, ...]) -> bool:
    """Whether all determinants can be tabulated."""
    return math.prod(math.comb(orbitals, count) for count in spins) <= MOST_DETERMINANTS


def _blocks(every: list[Determinant], vectors: np.ndarray, largest: int):
    """(determinants, kinetic energies) of blocks of whole shells of one momentum, at most `largest` where possible."""
    sectors: dict[tuple[int, ...], dict[int, list[Determinant]]] = defaultdict(lambda: defaultdict(list))
    for determinant in every:
        shell = int(np.sum(vectors[np.array(determinant) % len(vectors)] ** 2))
        sectors[total_momentum(determinant, vectors)][shell].append(determinant)
    for shells in sectors.values():
        block: list[Determinant] = []
        kinetic: list[float] = []
        for energy in sorted(shells):
            if block and len(block) + len(shells[energy]) > largest:
                yield block, np.array(kinetic)
                block, kinetic = [], []
            block = block + shells[energy]
            kinetic = kinetic + [float(energy)] * len(shells[energy])
        yield block, np.array(kinetic)


def _eigenstates(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Energies, rising, and states as columns; complex combinations of degenerate pairs."""
    values, vectors = np.linalg.eigh(matrix)
    out = vectors.astype(complex)
    start = 0
    while start < len(values):
        end = start + 1
        while end < len(values) and values[end] - values[start] < 1e-9:
            end += 1
        for a in range(start, end - 1, 2):
            x, y = vectors[:, a], vectors[:, a + 1]
            out[:, a], out[:, a + 1] = (x + 1j * y) / np.sqrt(2), (x - 1j * y) / np.sqrt(2)
        start = end
    return values, out
