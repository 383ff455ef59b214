"""What families of determinants in a periodic box share: labels, momenta, and mixtures of a few determinants."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.errors import InputError
from massieu.states.mixing import Mixing
from massieu.states.sectors import Sectors
from massieu.states.slater import Reference


class Local(NamedTuple):
    """One sample, in units of the box: x (N, dim), gradient (N, dim) of ln Psi by x, -lap Psi / Psi, ln|Psi|.

    least: smallest pivot of a flow's Jacobians (> 0 for a bijection), inf where there is no flow.
    """

    x: Array
    gradient: Array
    kinetic: Array
    log_abs: Array
    least: Array


class Apart(NamedTuple):
    """What of a density matrix is a factor of its own and known exactly: its F, E, S, C above the ground state."""

    F: float = 0.0
    E: float = 0.0
    S: float = 0.0
    C: float = 0.0


class Determinants(eqx.Module):
    """Labels K (1 + N,): the index of the twist, then indices into `orbitals`, rising within each spin."""

    spins: tuple[int, ...] = eqx.field(static=True)
    orbitals: np.ndarray  # (M, dim) integer momenta
    twist: np.ndarray  # (Q, dim) in units of 2 pi/L
    mixing: Mixing | Sectors | None  # of determinants

    def reference(self, label: Array) -> Reference:
        """The determinant, or the mixture of degenerate ones, that K stands for.

        InputError for sectors, whose coefficients depend on the positions where there are two Jastrow factors.
        """
        if isinstance(self.mixing, Sectors):
            raise InputError("states = correlated: must have more electrons; mixed states of few have log_psi only")
        if self.mixing is None:
            sets, coefficients = label[None, 1:], jnp.ones(1, complex)
        else:
            sets, coefficients = self.mixing.expand(label[1:])
        return Reference(self.momenta(label[0], sets), coefficients)

    def momenta(self, twist: Array, sets: Array) -> Array:
        """k (m, N, dim) of sets (m, N) at a twist given by its index."""
        return jnp.asarray(self.orbitals)[sets] + jnp.asarray(self.twist)[twist][None, None]
