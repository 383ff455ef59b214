"""Small configuration interaction: determinants of one total momentum, mixed before the flow carries them.

A flow is one map for all determinants of a momentum.  It cannot part those that the interaction couples however weak
it is (two pairs of a shell, singlet and triplet of two orbitals), nor move their nodes apart from each other.  So the
lowest determinants of each momentum, a block of whole shells of kinetic energy, are mixed by the eigenvectors of the
Hamiltonian between them: one unitary matrix, then the flow, another.  Where symmetry leaves two states of a block
degenerate they are taken as v1 +- i v2: their density keeps the symmetry of the box, as for p_x +- i p_y.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.physics.plane_wave_matrix import coulomb_table, small_matrix

MOST_DETERMINANTS = 200_000


class Dressed(NamedTuple):
    """Other states of the mixed determinants; blocks that symmetries turn into each other share them.

    states (B, m, m), as columns; block (S,) and column (S,): which state a mixed one is; place, sign (S, m): where its
    partners stand in the block that was diagonalised, and with which sign.
    """

    block: np.ndarray
    column: np.ndarray
    place: np.ndarray
    sign: np.ndarray
    states: Array | np.ndarray

    def amplitudes(self, slot: Array) -> Array:
        """Coefficients (m,) of a mixed state."""
        block, place = jnp.asarray(self.block)[slot], jnp.asarray(self.place)[slot]
        return jnp.asarray(self.sign)[slot] * jnp.asarray(self.states)[block, place, jnp.asarray(self.column)[slot]]


class Mixing(eqx.Module):
    """All determinants by rank, n of them; S are mixed, in blocks of up to m.

    coupling: e^2/L in units of (2 pi/L)^2, the kinetic energy of the shortest momentum.  energies (n,) in the latter
    unit, without twist and self-images.  Of the mixed ones, block by block (starts, (blocks + 1,)): rank (S,), the
    determinants in it as orbital indices (S, m, N) and their coefficients (S, m), unless `dressed` has others.
    """

    spins: tuple[int, ...] = eqx.field(static=True)
    binomials: np.ndarray
    slot: np.ndarray  # (n,): place among the mixed ones, -1 for none
    energies: np.ndarray
    starts: np.ndarray
    of_slot: np.ndarray
    partners: np.ndarray
    amplitudes: np.ndarray
    dressed: Dressed | None

    def __init__(self, vectors: np.ndarray, spins: tuple[int, ...], coupling: float, largest: int):
        m = len(vectors)
        self.spins, self.dressed = spins, None
        self.binomials = np.array([[math.comb(a, b) for b in range(max(spins) + 2)] for a in range(m + 1)])
        sets = self.all_sets()
        kinetic = np.sum(vectors[sets] ** 2, axis=(1, 2))
        self.energies = kinetic + coupling * _exchange(sets, vectors, spins)
        blocks = _lowest_blocks(np.sum(vectors[sets], axis=1), kinetic, largest)
        largest = max(map(len, blocks), default=1)
        self.starts = np.cumsum([0, *map(len, blocks)])
        self.of_slot = np.concatenate([np.zeros(0, int), *blocks])
        self.slot = np.full(len(sets), -1)
        self.slot[self.of_slot] = np.arange(len(self.of_slot))
        self.partners = np.zeros((len(self.of_slot), largest, sum(spins)), np.int16)
        self.amplitudes = np.zeros((len(self.of_slot), largest), complex)
        spin_orbitals = sets + m * np.repeat(np.arange(len(spins)), spins)
        for start, block in zip(self.starts, blocks, strict=False):
            of = slice(start, start + len(block))
            matrix = small_matrix(spin_orbitals[block], vectors)
            self.energies[block], states = eigenstates(np.diag(kinetic[block]) + coupling * matrix)
            self.partners[of] = sets[block[:1], None]  # padding: amplitude zero
            self.partners[of, : len(block)] = sets[block]
            self.amplitudes[of, : len(block)] = states.T

    def expand(self, occupied: Array) -> tuple[Array, Array]:
        """Occupations (m, N) and coefficients (m,) of the state that K = occupied (N,) stands for."""
        m = self.amplitudes.shape[1]
        if not len(self.of_slot):
            return jnp.tile(occupied, (m, 1)), (jnp.arange(m) == 0).astype(complex)
        slot = jnp.asarray(self.slot)[self.rank(occupied)]
        amplitudes = jnp.asarray(self.amplitudes)[slot] if self.dressed is None else self.dressed.amplitudes(slot)
        partners = jnp.where(slot < 0, occupied, jnp.asarray(self.partners)[slot].astype(occupied.dtype))
        return partners, jnp.where(slot < 0, jnp.arange(m) == 0, amplitudes)

    def rank(self, occupied: Array) -> Array:
        """Place of determinants (.., N) in the tables."""
        return _rank(jnp.asarray(self.binomials), occupied, self.spins)

    def ranks(self, occupied: np.ndarray) -> np.ndarray:
        """`rank` on the host."""
        return _rank(self.binomials, occupied.astype(int), self.spins)

    def all_sets(self) -> np.ndarray:
        """Occupied orbitals (n, N) of every determinant, by rank."""
        orbitals = len(self.binomials) - 1
        of_spin = [list(itertools.combinations(range(orbitals), count)) for count in self.spins]
        every = np.array([sum(parts, ()) for parts in itertools.product(*of_spin)])
        out = np.empty_like(every)
        out[self.ranks(every)] = every
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


def _exchange(sets: np.ndarray, vectors: np.ndarray, spins: tuple[int, ...]) -> np.ndarray:
    """Minus 1/r between the momenta of every pair of equal spin, for sets (n, N): the first-order energies (n,)."""
    table = coulomb_table(vectors)
    spin = np.repeat(np.arange(len(spins)), spins)
    pairs = [(i, j) for i, j in itertools.combinations(range(len(spin)), 2) if spin[i] == spin[j]]
    return -sum((table[sets[:, i], sets[:, j]] for i, j in pairs), start=np.zeros(len(sets)))


def _lowest_blocks(total: np.ndarray, kinetic: np.ndarray, largest: int) -> list[np.ndarray]:
    """Of each momentum the ranks of the lowest whole shells of kinetic energy that are at most `largest` determinants.

    Only blocks of two and more.
    """
    order = np.lexsort((np.arange(len(kinetic)), kinetic, *total.T))
    apart = np.any(np.diff(total[order], axis=0), axis=1)
    blocks = []
    for own in np.split(order, np.flatnonzero(apart) + 1):
        ends = np.append(np.flatnonzero(np.diff(kinetic[own])) + 1, len(own))
        size = max(ends[ends <= largest], default=0)
        if size > 1:
            blocks.append(own[:size])
    return blocks


def eigenstates(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Energies, rising, and states as columns; complex combinations of degenerate pairs."""
    values, vectors = np.linalg.eigh(matrix)
    out = vectors.astype(complex)
    start = 0
    while start < len(values):
        end = start + 1
        while end < len(values) and values[end] - values[start] < 1e-9 * max(1e-3, abs(values[start])):
            end += 1
        for a in range(start, end - 1, 2):
            x, y = vectors[:, a], vectors[:, a + 1]
            out[:, a], out[:, a + 1] = (x + 1j * y) / np.sqrt(2), (x - 1j * y) / np.sqrt(2)
        start = end
    return values, out
