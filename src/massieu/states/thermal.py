"""Thermal electrons among protons at S: rho(S) = sum_n p(n|S) |Psi_nS><Psi_nS|, orthonormal for every S.

    Psi_nS(R) = D_n(z) sqrt(det dz/dR),     z = G_S(R)

D_n is a product of Slater determinants of both spins of the eigenstates of a mean field h(S) between plane waves; G_S
is a bijection of the torus, so that overlaps of the Psi_nS are those of the determinants.  p(n|S): `densities.levels`.
"""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from massieu.geometry import plane_waves
from massieu.linear_algebra import inverse_and_log_det
from massieu.states.among_protons import LocalState
from massieu.states.atomic_flow import AtomicFlow
from massieu.states.levels_among_protons import LevelsAmongProtons, Occupied, ThermalSurroundings
from massieu.states.slater import joined, orbitals_jet


class ThermalState(eqx.Module):
    """The family Psi_nS of electrons on bare levels among protons."""

    levels: LevelsAmongProtons
    flow: AtomicFlow

    def __init__(self, levels: LevelsAmongProtons, *, rs: float, layers: int = 3, key: Array):
        self.levels = levels
        radius = min(3.1, 1.2 * levels.length / rs)  # shorter waves are left to the functions with a cusp
        self.flow = AtomicFlow(levels.spins, levels.length, layers=layers, radius=radius, key=key)

    @property
    def orthonormal(self) -> bool:
        """Overlaps are those of the determinants: labels may be swapped by Metropolis."""
        return True

    @property
    def is_real(self) -> bool:
        """Eigenstates are complex in general."""
        return False

    def walker_bytes(self, n: int) -> int:
        """Memory of one local energy: third derivatives of the layers, fourth derivatives of pairs."""
        return 8 * (4 * (3 * n) ** 3 + n * n * (3 * len(self.flow.pairs.vectors) + 6 * 81))

    def around(self, twist: Array, protons: Array) -> ThermalSurroundings:
        """Levels and eigenstates of the mean field at S."""
        return self.levels(twist, protons)

    def log_psi(self, at: Occupied, x: Array) -> tuple[Array, Array]:
        """ln|Psi_nS| and its phase."""
        z, log_det = self.flow(at.protons, x)
        orbitals = plane_waves(z, self.levels.vectors) @ at.shared.states[:, at.label]  # (electron, N)
        size, angle = 0.5 * log_det, jnp.sum(z * self._boundary(at))
        for block in self._by_spin(orbitals):
            _, phase, of_block = inverse_and_log_det(block)
            size, angle = size + of_block - 0.5 * math.lgamma(len(block) + 1), angle + jnp.angle(phase)
        return size, angle

    def log_density(self, at: Occupied, x: Array) -> Array:
        """ln|Psi_nS|^2, normalised over the unit box."""
        return 2 * self.log_psi(at, x)[0]

    def local(self, at: Occupied, x: Array) -> LocalState:
        """Gradient of ln Psi and -lap Psi/Psi, from derivatives propagated by hand."""
        jet = self.flow.jet(at.protons, x)
        z, metric, up = jet.x, jet.metric(len(x)), self.levels.spins[0]
        ik, states = 2j * math.pi * self.levels.vectors, at.shared.states[:, at.label]
        waves = plane_waves(z, self.levels.vectors)
        derivatives = (
            (waves @ states).T,
            jnp.einsum("jk,ka,ki->ija", waves, ik, states),
            jnp.einsum("jk,ka,kb,ki->ijab", waves, ik, ik, states),
        )
        spins = zip(*map(self._by_spin, derivatives), (metric[:up, :, :up], metric[up:, :, up:]), strict=True)
        slater = joined([orbitals_jet(*one) for one in spins])
        return LocalState(*jet.local(slater.gradient + 1j * self._boundary(at), slater.curvature))

    def scores(self, at: Occupied, x: Array) -> tuple[ThermalState, ThermalState]:
        """Derivatives of ln|Psi| and of the phase by the parameters of the flow."""
        params, static = eqx.partition(self, lambda leaf: isinstance(leaf, jax.Array))
        _, pull = jax.vjp(lambda params: eqx.combine(params, static).log_psi(at, x), params)
        both = jax.vmap(pull)((jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])))[0]
        return jax.tree.map(lambda leaf: leaf[0], both), jax.tree.map(lambda leaf: leaf[1], both)

    def projected(self) -> ThermalState:
        """The same with a flow inside the bound that makes it a bijection."""
        return eqx.tree_at(lambda s: s.flow, self, self.flow.projected())

    def _by_spin(self, blocks: Array) -> tuple[Array, Array]:
        """Orbitals and electrons (N, N, ..) of spin up, and of spin down, whose orbitals are those at -twist."""
        up = self.levels.spins[0]
        return blocks[:up, :up], blocks[up:, up:].conj()

    def _boundary(self, at: Occupied) -> Array:
        """Wave vectors (N, 3) of the twist, opposite for the two spins, as the ground state has them."""
        wave = jnp.asarray(2 * math.pi * self.levels.twist)[at.shared.twist]
        return jnp.concatenate([jnp.tile(sign * wave, (count, 1)) for sign, count in zip((1, -1), self.levels.spins)])
