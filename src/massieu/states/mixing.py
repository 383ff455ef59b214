"""Degenerate determinants, mixed by the interaction to first order before the flow carries them.

Determinants of the same total momentum and kinetic energy (two pairs of a shell, singlet and triplet of two orbitals)
are coupled however weak the interaction is; a flow, which is one map for all, cannot part them.  Each such block is
replaced by the eigenvectors of the interaction in it.  Where symmetry leaves two of them degenerate they are taken as
v1 +- i v2: their density keeps the symmetry of the box, as for p_x +- i p_y.
"""

from __future__ import annotations

import math
from collections import defaultdict

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.physics.plane_wave_matrix import Determinant, determinants, interaction_matrix, total_momentum

MOST_DETERMINANTS = 20_000
LARGEST_BLOCK = 6


class Mixing(eqx.Module):
    """Tables over all determinants, by their rank: partners (n, m, N) as orbital indices, and coefficients (n, m)."""

    spins: tuple[int, ...] = eqx.field(static=True)
    binomials: np.ndarray
    partners: np.ndarray
    amplitudes: np.ndarray

    def __init__(self, vectors: np.ndarray, spins: tuple[int, ...]):
        m, n = len(vectors), sum(spins)
        self.spins = spins
        self.binomials = np.array([[math.comb(a, b) for b in range(max(spins) + 2)] for a in range(m + 1)])
        every = determinants(m, spins)
        blocks: dict[tuple, list[Determinant]] = defaultdict(list)
        for determinant in every:
            kinetic = int(np.sum(vectors[np.array(determinant) % m] ** 2))
            blocks[(total_momentum(determinant, vectors), kinetic)].append(determinant)
        mixed = [block for block in blocks.values() if 1 < len(block) <= LARGEST_BLOCK]
        width = max([1] + [len(block) for block in mixed])
        self.partners = np.zeros((len(every), width, n), int)
        self.amplitudes = np.zeros((len(every), width), complex)
        for determinant in every:
            at = self._rank_of(np.array(determinant) % m)
            self.partners[at] = np.array(determinant) % m
            self.amplitudes[at, 0] = 1.0
        for block in mixed:
            vectors_of_block = _eigenvectors(interaction_matrix(block, vectors))
            for determinant, amplitudes in zip(block, vectors_of_block.T, strict=True):
                at = self._rank_of(np.array(determinant) % m)
                self.partners[at, : len(block)] = np.array(block) % m
                self.amplitudes[at] = 0.0
                self.amplitudes[at, : len(block)] = amplitudes

    def expand(self, occupied: Array) -> tuple[Array, Array]:
        """Occupations (m, N) and coefficients (m,) of the state that K = occupied (N,) stands for."""
        binomials = jnp.asarray(self.binomials)
        at, start = jnp.asarray(0), 0
        for count in self.spins:
            indices = occupied[start : start + count]
            at = at * math.comb(len(self.binomials) - 1, count) + jnp.sum(binomials[indices, jnp.arange(1, count + 1)])
            start += count
        return jnp.asarray(self.partners)[at], jnp.asarray(self.amplitudes)[at]

    def _rank_of(self, occupied: np.ndarray) -> int:
        """Rank of a determinant: sum_j binomial(k_j, j), j = 1 .. n, for each spin."""
        at, start = 0, 0
        for count in self.spins:
            own = occupied[start : start + count]
            rank = int(self.binomials[own, np.arange(1, count + 1)].sum())
            at = at * math.comb(len(self.binomials) - 1, count) + rank
            start += count
        return at


def small_enough(orbitals: int, spins: tuple[int, ...]) -> bool:
    """Whether all determinants can be tabulated."""
    return math.prod(math.comb(orbitals, count) for count in spins) <= MOST_DETERMINANTS


def _eigenvectors(matrix: np.ndarray) -> np.ndarray:
    """Columns by rising energy, assigned to the determinants so that states with equal diagonal stay in order."""
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
    return out
