"""Sums of products of Pauli matrices: applied to a state, as a matrix.

A state of n qubits has 2^n amplitudes; qubit 0 is the most significant bit, so that psi.reshape((2,) * n) has qubit
q on axis q.  X|s> = |1 - s>, Z|s> = (-1)^s |s>, Y = iXZ, so that a product of them flips some bits and multiplies by
i to the number of Y and by a sign.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.errors import require
from massieu.physics.pauli_text import Term, read

MOST_QUBITS = 24


class PauliSum(NamedTuple):
    """H = sum_g D_g F_g on n qubits: F_g flips the bits `flips[g]`, then D_g multiplies by `diagonals[g]` (2^n,)."""

    n: int
    flips: np.ndarray  # (G,)
    diagonals: np.ndarray  # (G, 2^n), real where the terms have an even number of Y

    @classmethod
    def from_terms(cls, terms: Iterable[Term], n: int | None = None) -> PauliSum:
        """H = sum c prod_q P_q over terms (c, {q: "X" | "Y" | "Z"}); n: number of qubits (default: the highest + 1)."""
        listed = list(terms)
        need = 1 + max((q for _, product in listed for q in product), default=0)
        n = need if n is None else n
        require(need <= n <= MOST_QUBITS, "n", n, f"from {need} (the highest qubit + 1) to {MOST_QUBITS}")
        states = np.arange(2**n)
        found: dict[int, np.ndarray] = {}
        for coefficient, product in listed:
            flip = sum(1 << (n - 1 - q) for q, kind in product.items() if kind in "XY")
            sign = sum(1 << (n - 1 - q) for q, kind in product.items() if kind in "YZ")
            factor = coefficient * 1j ** sum(kind == "Y" for kind in product.values())
            odd = np.bitwise_count((states ^ flip) & sign) % 2  # of the state before the flip
            found[flip] = found.get(flip, 0.0) + factor * np.where(odd == 1, -1.0, 1.0)
        flips = np.array(sorted(found), int)
        diagonals = np.array([found[flip] for flip in flips]).reshape(len(flips), 2**n)
        return cls(n, flips, diagonals.real if np.all(diagonals.imag == 0) else diagonals)

    def apply(self, psi: Array) -> Array:
        """H psi, both (2^n,)."""
        places = np.arange(2**self.n) ^ self.flips[:, None]
        return jnp.sum(jnp.asarray(self.diagonals) * psi[places], axis=0)

    def matrix(self) -> np.ndarray:
        """H as a dense matrix (2^n, 2^n)."""
        states = np.arange(2**self.n)
        out = np.zeros((2**self.n, 2**self.n), self.diagonals.dtype)
        for flip, diagonal in zip(self.flips, self.diagonals, strict=True):
            out[states, states ^ flip] += diagonal
        return out


def parse(text: str) -> list[Term]:
    """Terms of a text in the notations of `pauli_text`; InputError names the line that cannot be read."""
    return read(text)[0]


def ising_in_a_field(bonds: Iterable[tuple[int, int]], n: int, gamma: float) -> list[Term]:
    """-sum_<ij> Z_i Z_j - gamma sum_i X_i."""
    return [(-1.0, {i: "Z", j: "Z"}) for i, j in bonds] + [(-gamma, {i: "X"}) for i in range(n)]


def heisenberg(bonds: Iterable[tuple[int, int]], j: float) -> list[Term]:
    """J sum_<ij> S_i.S_j of spins 1/2, S = sigma/2."""
    return [(0.25 * j, {a: kind, b: kind}) for a, b in bonds for kind in "XYZ"]


def conserves_spin(h: PauliSum, axis: str) -> bool:
    """Whether H commutes with the total spin along an axis, "X", "Y" or "Z" (that is the number of ones)."""
    total = PauliSum.from_terms([(1.0, {q: axis}) for q in range(h.n)], h.n)
    real, imaginary = np.random.default_rng(0).normal(size=(2, 2**h.n))
    psi = (real + 1j * imaginary) / 2 ** (0.5 * h.n)
    difference = h.apply(total.apply(psi)) - total.apply(h.apply(psi))
    return bool(jnp.linalg.norm(difference) < 1e-9 * (1 + jnp.linalg.norm(h.apply(psi))))


def eigenstates_of_pairs(terms: Iterable[Term], pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    """Eigenstates (P, 4, 4), as columns, of what the terms say of each pair of qubits alone.

    A field along Z too weak to matter parts degenerate states of different numbers of ones.
    """
    listed, found = list(terms), []
    for pair in pairs:
        place = {q: k for k, q in enumerate(pair)}
        own = [(c, {place[q]: kind for q, kind in p.items()}) for c, p in listed if set(p) <= set(pair)]
        tilt = [(1e-9, {k: "Z"}) for k in range(2)]
        found.append(np.linalg.eigh(PauliSum.from_terms([*own, *tilt], 2).matrix())[1])
    return np.array(found)


def coupled_spins(n: int) -> np.ndarray:
    """States (2^n, 2^n), as columns, of definite total spin of pairs of qubits, of pairs of pairs, .., of all.

    Eigenstates of S^2 of every block of that tree, and of S_z of all: those of a Hamiltonian with different exchange
    couplings between the halves of every block.
    """
    blocks, terms, strength, count = [[q] for q in range(n)], [], 1.0, 0
    while len(blocks) > 1:
        halves = list(zip(blocks[::2], blocks[1::2], strict=False))
        for left, right in halves:
            count += 1
            terms += heisenberg([(a, b) for a in left for b in right], strength * (1 + 0.01 * count))
        blocks = [left + right for left, right in halves] + blocks[2 * len(halves) :]
        strength *= 0.37
    terms += [(1e-3, {q: "Z"}) for q in range(n)]
    return np.linalg.eigh(PauliSum.from_terms(terms, n).matrix())[1]
