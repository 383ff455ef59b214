"""rho = sum_x p(x) U|x><x|U^+ of qubits: a density over bits and a circuit, averaged over all bits or over samples."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.physics.pauli import PauliSum
from massieu.principle import condition_of
from massieu.states.circuit import Circuit

MOST_EXACT = 10  # qubits up to which all 2^n basis states are summed over


class Levels(NamedTuple):
    """<x|U^+ H U|x> and its variance <H^2> - <H>^2 for each x (B,); only the energy has a derivative."""

    energy: Array
    variance: Array


class CircuitEnsemble(eqx.Module):
    """p: a density over spins s = (-1)^x, or None: p ~ exp(-beta E_x), the best of all for the given circuit."""

    p: Any
    circuit: Circuit

    def all_levels(self, h: PauliSum) -> Levels:
        """Of all 2^n basis states."""
        return _levels(h, self.circuit.matrix())

    def levels_and_states(self, h: PauliSum, spins: Array) -> tuple[Levels, Array]:
        """Of the spins (B, n), and U|x> (2^n, B)."""
        n = self.circuit.n
        place = (1 - spins.astype(int)) // 2 @ (2 ** np.arange(n)[::-1])
        u = self.circuit.apply(jax.nn.one_hot(place, 2**n, dtype=float, axis=0))
        return _levels(h, u), u

    def all_log_prob(self, energy: Array, beta: Array | float) -> Array:
        """ln p (2^n,) of all basis states, whose energies p = None needs."""
        if self.p is None:
            return jax.nn.log_softmax(-beta * energy)
        return self.p.log_prob(jnp.asarray(all_spins(self.circuit.n)), condition_of(self.p, beta))


def _levels(h: PauliSum, u: Array) -> Levels:
    """Of states u (2^n, B).  H is Hermitian: the derivative of <u|H|u> is twice that at fixed H u."""
    hu = jax.lax.stop_gradient(jax.vmap(h.apply, in_axes=1, out_axes=1)(u))
    energy = jnp.sum(jnp.conj(u) * hu, axis=0).real
    value = jax.lax.stop_gradient(energy)
    variance = jnp.maximum(0.0, jnp.sum(jnp.abs(hu) ** 2, axis=0) - value**2)
    return Levels(2 * energy - value, variance)


def all_spins(n: int) -> np.ndarray:
    """(2^n, n) spins +1 for a bit 0, -1 for a bit 1, qubit 0 the most significant."""
    return 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)[::-1]) & 1)
