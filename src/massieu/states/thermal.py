"""Thermal electrons among protons at S: rho(S) = sum_n p(n|S) |Psi_nS><Psi_nS|, orthonormal for every S.

    Psi_nS(R) = D_n(z) sqrt(det dz/dR),     z = G_S(R)

D_n is a product of Slater determinants of both spins of the eigenstates of a mean field h(S) between plane waves; G_S
is a bijection of the torus, so that overlaps of the Psi_nS are those of the determinants.  p(n|S): `densities.levels`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.geometry import minimum_image, plane_waves
from massieu.linear_algebra import inverse_and_log_det
from massieu.states.atomic_flow import AtomicFlow
from massieu.states.geminal import LocalState
from massieu.states.pairing import Pairing
from massieu.states.slater import joined, orbitals_jet

FEATURES = 7  # of a level
NEIGHBOUR = 1.0  # a0, of the measure of how close protons are


class ThermalSurroundings(NamedTuple):
    """Of one S: twist, protons (n, 3), levels (k,) in units of kT, eigenstates (k, k) as columns, what is seen of each
    level (k, FEATURES).
    """  # fmt: skip

    twist: Array
    protons: Array
    levels: Array
    states: Array
    seen: Array


class Occupied(NamedTuple):
    """The same for one walker, with the levels (N,) that are occupied: spin up, then spin down, rising."""

    shared: ThermalSurroundings
    label: Array

    @property
    def protons(self) -> Array:
        """The protons (n, 3)."""
        return self.shared.protons


class ThermalState(eqx.Module):
    """The family Psi_nS of electrons of two spins in a box of side `length` (a0) at twists (Q, 3); beta in 1/Ry."""

    spins: tuple[int, int] = eqx.field(static=True)
    length: float = eqx.field(static=True)
    beta: float = eqx.field(static=True)
    vectors: np.ndarray  # (k, 3)
    twist: np.ndarray  # (Q, 3)
    plane_waves: Pairing  # its field alone, not trained
    flow: AtomicFlow

    def __init__(self, spins: tuple[int, int], length: float, beta: float, vectors: np.ndarray, twist: np.ndarray,
                 *, rs: float, layers: int = 3, key: Array):  # fmt: skip
        self.spins, self.length, self.beta = spins, length, beta
        self.vectors, self.twist = vectors, twist
        field = Pairing(vectors, twist, sum(spins), length, rs)
        self.plane_waves = jax.tree.map(lambda leaf: np.asarray(leaf) if isinstance(leaf, jax.Array) else leaf, field)
        radius = min(3.1, 1.2 * length / rs)  # shorter waves are left to the functions with a cusp
        self.flow = AtomicFlow(spins, length, layers=layers, radius=radius, key=key)

    @property
    def is_real(self) -> bool:
        """Eigenstates are complex in general."""
        return False

    @property
    def walker_bytes(self) -> int:
        """Memory of one local energy: third derivatives of the layers, fourth derivatives of pairs."""
        n = sum(self.spins)
        return 8 * (4 * (3 * n) ** 3 + n * n * (3 * len(self.flow.pairs.vectors) + 6 * 81))

    def around(self, twist: Array, protons: Array) -> ThermalSurroundings:
        """Levels and eigenstates of the mean field at S."""
        unit = (2 * math.pi / self.length) ** 2
        levels, states = jnp.linalg.eigh(self.plane_waves.field(twist, protons))
        levels = self.beta * unit * levels
        return ThermalSurroundings(twist, protons, levels, states, self._seen(twist, protons, levels, states))

    def _seen(self, twist: Array, protons: Array, levels: Array, states: Array) -> Array:
        """Of each level (k, FEATURES), without regard to the order of protons and the origin: its place, the gap, its
        kinetic energy, its density at the protons and how unequally they share it; how close protons are.
        """  # fmt: skip
        top, n = self.spins[0], len(protons)
        x = levels - 0.5 * (levels[top - 1] + levels[top])
        unit = self.beta * (2 * math.pi / self.length) ** 2
        kinetic = (
            unit * jnp.sum((self.vectors + jnp.asarray(self.twist)[twist][None]) ** 2, axis=1) @ jnp.abs(states) ** 2
        )
        contact = jnp.abs(plane_waves(protons, self.vectors) @ states) ** 2
        unequal = n * jnp.sum(contact**2, axis=0) / (jnp.sum(contact, axis=0) ** 2 + 1e-12)
        apart = self.length * jnp.sqrt(jnp.sum(minimum_image(protons[:, None] - protons[None]) ** 2, axis=-1) + 1e-12)
        close = (jnp.sum(jnp.exp(-apart / NEIGHBOUR)) - n) / n
        of_all = jnp.stack([jnp.tanh(levels[top] - levels[top - 1]), close])
        own = [jnp.tanh(x / 4), jnp.tanh(x), jnp.tanh(kinetic / 8), jnp.log(jnp.mean(contact, axis=0) + 0.1)]
        own.append(jnp.log(unequal))
        return jnp.concatenate([jnp.stack(own, axis=1), jnp.broadcast_to(of_all, (len(x), 2))], axis=1)

    def log_psi(self, at: Occupied, x: Array) -> tuple[Array, Array]:
        """ln|Psi_nS| and its phase."""
        z, log_det = self.flow(at.protons, x)
        orbitals = plane_waves(z, self.vectors) @ at.shared.states[:, at.label]  # (electron, N)
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
        z, metric, up = jet.x, jet.metric(len(x)), self.spins[0]
        ik, states = 2j * math.pi * self.vectors, at.shared.states[:, at.label]
        waves = plane_waves(z, self.vectors)
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
        up = self.spins[0]
        return blocks[:up, :up], blocks[up:, up:].conj()

    def _boundary(self, at: Occupied) -> Array:
        """Wave vectors (N, 3) of the twist, opposite for the two spins, as the ground state has them."""
        wave = jnp.asarray(2 * math.pi * self.twist)[at.shared.twist]
        return jnp.concatenate([jnp.tile(sign * wave, (count, 1)) for sign, count in zip((1, -1), self.spins)])
