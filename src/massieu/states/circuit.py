"""Unitary circuits of two-qubit gates: |Psi_x> = U|x>, an orthonormal family by construction."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.errors import at_least, require
from massieu.sampling import initial_normal

PAULI = np.array([np.eye(2), [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
PAIRS = tuple(a + b for a in "IXYZ" for b in "IXYZ")[1:]
GENERATORS = np.einsum("aij,bkl->abikjl", PAULI, PAULI).reshape(16, 4, 4)[1:]  # all of su(4), in the order of PAIRS
SQUARINGS, ORDER = 6, 12  # of the exponential of a gate's generator
Bond = tuple[int, int]


def paulis(*names: str) -> np.ndarray:
    """Products of two Pauli matrices by name, "XX" or "IZ": (K, 4, 4)."""
    return GENERATORS[[PAIRS.index(name) for name in names]]


# gates by what they conserve: nothing, SU(4); the reality of a state, SO(4); the number of ones; the total spin
GENERAL = GENERATORS
REAL = paulis(*(pair for pair in PAIRS if pair.count("Y") == 1))
NUMBER = np.concatenate(
    [
        paulis("ZI", "IZ", "ZZ"),
        0.5 * np.sum(paulis("XX", "YY"), axis=0, keepdims=True),
        0.5 * (paulis("XY") - paulis("YX")),
    ]
)
EXCHANGE = 0.25 * np.sum(paulis("XX", "YY", "ZZ"), axis=0, keepdims=True)  # keeps the total spin
LOCAL = paulis("XI", "YI", "ZI", "IX", "IY", "IZ")  # one qubit at a time
CONTROLLED_PHASE = np.diag([1.0, 1.0, 1.0, -1.0])


def brick_wall(bonds: Sequence[Bond]) -> tuple[tuple[Bond, ...], ...]:
    """The bonds in sub-layers in which no qubit occurs twice: those of a ring are even and odd ones."""
    rows: list[list[Bond]] = []
    for bond in bonds:
        row = next((row for row in rows if not any(set(bond) & set(other) for other in row)), None)
        if row is None:
            rows.append([bond])
        else:
            row.append(bond)
    return tuple(tuple(row) for row in rows)


class Circuit(eqx.Module):
    """U = (product over layers, and in a layer over bonds, of gates C exp(-i sum_k angle_k G_k)) V.

    G_k are Hermitian `generators` (K, 4, 4), C an optional constant `entangler` (4, 4).  V is constant: a matrix
    `basis` (2^n, 2^n), or a product of gates `first`, one a pair of `first_bonds`, or 1.  With
    `shared` all gates of a layer have the same angles.  States have qubit 0 as the most significant bit; they stay
    real where all gates are.  The backward pass undoes one layer after the other instead of storing states (U is
    unitary): memory for two states.
    """

    n: int = eqx.field(static=True)
    rows: tuple[tuple[Bond, ...], ...] = eqx.field(static=True)
    first_bonds: tuple[Bond, ...] = eqx.field(static=True)
    generators: np.ndarray
    first: np.ndarray
    basis: np.ndarray | None
    entangler: np.ndarray | None
    angles: Array  # (layers, bonds or 1, generators)

    def __init__(
        self,
        n: int,
        bonds: Sequence[Bond],
        layers: int,
        *,
        generators: np.ndarray = GENERAL,
        entangler: np.ndarray | None = None,
        first_bonds: Sequence[Bond] = (),
        first: np.ndarray | None = None,
        basis: np.ndarray | None = None,
        shared: bool = False,
        scale: float = 0.01,
        key: Array,
    ):
        at_least("layers", layers, 1)
        inside = all(0 <= q < n for bond in bonds for q in bond) and all(a != b for a, b in bonds)
        require(len(bonds) > 0 and inside, "bonds", bonds, f"pairs of different qubits below {n}")
        self.n, self.rows, self.generators, self.entangler = n, brick_wall(bonds), generators, entangler
        self.first_bonds, self.first = tuple(first_bonds), np.zeros((0, 4, 4)) if first is None else first
        self.basis = basis
        gates = 1 if shared else len(bonds)
        self.angles = jnp.asarray(scale * initial_normal(key, (layers, gates, len(generators))))

    @property
    def is_real(self) -> bool:
        """Whether U is a real matrix."""
        constants = (self.first,) if self.basis is None else (self.first, self.basis)
        return not (np.any(self.generators.real) or any(np.iscomplexobj(constant) for constant in constants))

    def apply(self, psi: Array) -> Array:
        """U psi for states (2^n, ...); complex unless psi and U are real."""
        psi = psi if self.is_real else psi.astype(complex)
        if self.basis is not None:
            psi = jnp.asarray(self.basis) @ psi
        for gate, bond in zip(self.first, self.first_bonds, strict=True):
            psi = _gated(jnp.asarray(gate), bond, psi, self.n)
        bonds = tuple(bond for row in self.rows for bond in row)
        return _through(self._gates(), psi, bonds, self.n)

    def state(self, x: Array) -> Array:
        """U|x> (2^n,) of the bits x (n,), 0 or 1."""
        index = jnp.sum(jnp.asarray(x, int) * 2 ** np.arange(self.n)[::-1])
        return self.apply(jax.nn.one_hot(index, 2**self.n, dtype=float))

    def matrix(self) -> Array:
        """U (2^n, 2^n)."""
        return self.apply(jnp.eye(2**self.n))

    def _gates(self) -> Array:
        """Gates (layers, bonds, 4, 4)."""
        generators = -1j * self.generators
        exponent = jnp.einsum("lgk,kij->lgij", self.angles, generators.real if self.is_real else generators)
        gates = _exponential(exponent)
        gates = gates if self.entangler is None else jnp.asarray(self.entangler) @ gates
        return jnp.broadcast_to(gates, (len(gates), sum(map(len, self.rows)), 4, 4))


def _exponential(a: Array) -> Array:
    """exp of anti-Hermitian matrices (..., 4, 4) by squaring a Taylor series; 1e-13 for norms up to about 20."""
    a = a / 2**SQUARINGS
    term = total = jnp.broadcast_to(jnp.eye(4, dtype=a.dtype), a.shape)
    for k in range(1, ORDER + 1):
        term = term @ a / k
        total = total + term
    for _ in range(SQUARINGS):
        total = total @ total
    return total


def _gated(gate: Array, bond: Bond, psi: Array, n: int) -> Array:
    """A gate (4, 4) on two qubits of psi (2^n, ...)."""
    a, b = sorted(bond)
    four = gate.reshape(2, 2, 2, 2)
    four = four if bond == (a, b) else four.transpose(1, 0, 3, 2)
    tensor = psi.reshape(2**a, 2, 2 ** (b - a - 1), 2, -1)
    return jnp.einsum("pqrs,arbsz->apbqz", four, tensor).reshape(psi.shape)


def rotated_to_x(psi: Array, n: int) -> Array:
    """Amplitudes of states (2^n, ...) in the eigenstates of all X_i: bit 0 for X = +1."""
    turn = np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2)
    for q in range(n):
        psi = jnp.einsum("pq,aqz->apz", turn, psi.reshape(2**q, 2, -1)).reshape(psi.shape)
    return psi


def _through(gates: Array, psi: Array, bonds: tuple[Bond, ...], n: int) -> Array:
    """Gates (layers, bonds, 4, 4) on psi (2^n, ...); the backward pass undoes them one by one and stores no states."""

    @jax.custom_vjp
    def run(gates: Array, psi: Array) -> Array:
        def layer(psi: Array, gates: Array) -> tuple[Array, None]:
            for gate, bond in zip(gates, bonds, strict=True):
                psi = _gated(gate, bond, psi, n)
            return psi, None

        return jax.lax.scan(layer, psi, gates)[0]

    def forwards(gates: Array, psi: Array) -> tuple[Array, tuple[Array, Array]]:
        end = run(gates, psi)
        return end, (gates, end)

    def backwards(kept: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
        def undone(carry: tuple[Array, Array], gates: Array) -> tuple[tuple[Array, Array], Array]:
            (psi, pull), found = carry, []
            for gate, bond in reversed(list(zip(gates, bonds, strict=True))):
                psi = _gated(gate.conj().T, bond, psi, n)
                found.append(_outer(pull, psi, bond, n))
                pull = _gated(gate.T, bond, pull, n)
            return (psi, pull), jnp.stack(found[::-1])

        gates, end = kept
        (_, pull), of_gates = jax.lax.scan(undone, (end, cotangent), gates, reverse=True)
        return of_gates, pull

    run.defvjp(forwards, backwards)
    return run(gates, psi)


def _outer(pull: Array, psi: Array, bond: Bond, n: int) -> Array:
    """Cotangent (4, 4) of a gate: pull times the state before it, summed over all other qubits."""
    a, b = sorted(bond)
    shape = (2**a, 2, 2 ** (b - a - 1), 2, -1)
    four = jnp.einsum("apbqz,arbsz->pqrs", pull.reshape(shape), psi.reshape(shape))
    return (four if bond == (a, b) else four.transpose(1, 0, 3, 2)).reshape(4, 4)
