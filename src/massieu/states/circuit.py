"""Unitary circuits of two-qubit gates: |Psi_x> = U|x>, an orthonormal family by construction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.errors import at_least, require

PAULI = np.array([np.eye(2), [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
GENERATORS = np.einsum("aij,bkl->abikjl", PAULI, PAULI).reshape(16, 4, 4)[1:]  # all of su(4)
GENERAL = tuple(range(15))
Bond = tuple[int, int]


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
    """U = product over layers, and in a layer over bonds, of gates exp(-i sum_k angle_k G_k).

    G_k are products P (x) P' of Pauli matrices; `generators` chooses some of the 15 (default: all, any gate of SU(4)).
    With `shared` all gates of a layer have the same angles.  States have qubit 0 as the most significant bit.  The
    backward pass undoes one layer after the other instead of storing states (U is unitary): memory for two states.
    """

    n: int = eqx.field(static=True)
    rows: tuple[tuple[Bond, ...], ...] = eqx.field(static=True)
    generators: tuple[int, ...] = eqx.field(static=True)
    angles: Array  # (layers, bonds or 1, generators)

    def __init__(
        self,
        n: int,
        bonds: Sequence[Bond],
        layers: int,
        *,
        generators: Sequence[int] = GENERAL,
        shared: bool = False,
        scale: float = 0.01,
        key: Array,
    ):
        at_least("layers", layers, 1)
        inside = all(0 <= q < n for bond in bonds for q in bond) and all(a != b for a, b in bonds)
        require(len(bonds) > 0 and inside, "bonds", bonds, f"pairs of different qubits below {n}")
        self.n, self.rows, self.generators = n, brick_wall(bonds), tuple(generators)
        gates = 1 if shared else len(bonds)
        self.angles = scale * jax.random.normal(key, (layers, gates, len(self.generators)))

    def apply(self, psi: Array) -> Array:
        """U psi for states (2^n, ...); complex."""
        return _through(self.angles, psi.astype(complex), self._layer, self._undone)

    def state(self, x: Array) -> Array:
        """U|x> (2^n,) of the bits x (n,), 0 or 1."""
        index = jnp.sum(jnp.asarray(x, int) * 2 ** np.arange(self.n)[::-1])
        return self.apply(jax.nn.one_hot(index, 2**self.n, dtype=complex))

    def matrix(self) -> Array:
        """U (2^n, 2^n)."""
        return self.apply(jnp.eye(2**self.n, dtype=complex))

    def _gates(self, angles: Array) -> Array:
        """Gates (bonds, 4, 4) of a layer with angles (bonds or 1, generators)."""
        chosen = jnp.asarray(GENERATORS[list(self.generators)])
        gates = jax.vmap(jax.scipy.linalg.expm)(-1j * jnp.einsum("gk,kij->gij", angles + 0j, chosen))
        return jnp.broadcast_to(gates, (sum(map(len, self.rows)), 4, 4))

    def _layer(self, angles: Array, psi: Array) -> Array:
        bonds = [bond for row in self.rows for bond in row]
        for gate, bond in zip(self._gates(angles), bonds, strict=True):
            psi = _gated(gate, bond, psi, self.n)
        return psi

    def _undone(self, angles: Array, psi: Array) -> Array:
        bonds = [bond for row in self.rows for bond in row]
        for gate, bond in reversed(list(zip(self._gates(angles), bonds, strict=True))):
            psi = _gated(gate.conj().T, bond, psi, self.n)
        return psi


def _gated(gate: Array, bond: Bond, psi: Array, n: int) -> Array:
    """A gate (4, 4) on two qubits of psi (2^n, ...)."""
    tensor = psi.reshape(*(2,) * n, *psi.shape[1:])
    moved = jnp.tensordot(gate.reshape(2, 2, 2, 2), tensor, axes=((2, 3), bond))
    return jnp.moveaxis(moved, (0, 1), bond).reshape(psi.shape)


def _through(angles: Array, psi: Array, layer: Any, undone: Any) -> Array:
    """All layers in turn; the states between them come back by undoing the layers in the backward pass."""

    @jax.custom_vjp
    def run(angles: Array, psi: Array) -> Array:
        return jax.lax.scan(lambda psi, a: (layer(a, psi), None), psi, angles)[0]

    def forwards(angles: Array, psi: Array) -> tuple[Array, tuple[Array, Array]]:
        end = run(angles, psi)
        return end, (angles, end)

    def backwards(kept: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
        angles, end = kept

        def step(carry: tuple[Array, Array], a: Array) -> tuple[tuple[Array, Array], Array]:
            psi, pull = carry
            before = undone(a, psi)
            of_angles, pull = jax.vjp(layer, a, before)[1](pull)
            return (before, pull), of_angles

        (_, pull), of_angles = jax.lax.scan(step, (end, cotangent), angles, reverse=True)
        return of_angles, pull

    run.defvjp(forwards, backwards)
    return run(angles, psi)
