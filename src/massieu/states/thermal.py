"""Thermal electrons among protons at S: rho(S) = sum_n p(n|S) |Psi_nS><Psi_nS|, orthonormal for every S.

    Psi_nS(R) = D_n(z) sqrt(det dz/dR),     z = G_S(R)

D_n is a product of Slater determinants of both spins of the eigenstates of a mean field h(S) between plane waves; G_S
is a bijection of the torus, so that overlaps of the Psi_nS are those of the determinants.  p(n|S) are the canonical
weights of the levels of h(S) with trainable corrections that depend on the levels and on S (Li et al.,
arXiv:2507.18540, have a transformer on top).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.geometry import plane_waves
from massieu.linear_algebra import inverse_and_log_det
from massieu.physics.fermi_gas import log_symmetric, sample_occupied
from massieu.states.atomic_flow import AtomicFlow
from massieu.states.electron_network import Layer, layer
from massieu.states.geminal import LocalState
from massieu.states.pairing import Pairing
from massieu.states.slater import joined, orbitals_jet

HIDDEN = 8


class ThermalSurroundings(NamedTuple):
    """Of one S: twist, protons (n, 3), levels (k,) in units of kT, eigenstates (k, k) as columns."""

    twist: Array
    protons: Array
    levels: Array
    states: Array


class Occupied(NamedTuple):
    """The same for one walker, with the levels (N,) that are occupied: spin up, then spin down, rising."""

    shared: ThermalSurroundings
    label: Array

    @property
    def protons(self) -> Array:
        """The protons (n, 3)."""
        return self.shared.protons


class CanonicalLevels(eqx.Module):
    """p(n|S): canonical weights exp(-x_a - c(x_a, S)) of levels x_a = beta e_a(S), for each spin by itself."""

    spins: tuple[int, int] = eqx.field(static=True)
    hidden: Layer
    out: Array

    def __init__(self, spins: tuple[int, int], key: Array):
        self.spins, self.hidden, self.out = spins, layer(key, 4, HIDDEN), jnp.zeros(HIDDEN + 1)

    def log_weights(self, at: ThermalSurroundings) -> Array:
        """ln w (k,)."""
        middle = 0.5 * (at.levels[self.spins[0] - 1] + at.levels[self.spins[0]])
        gap = at.levels[self.spins[0]] - at.levels[self.spins[0] - 1]
        x = at.levels - middle
        features = jnp.stack([jnp.tanh(x / 4), jnp.tanh(x), jnp.broadcast_to(jnp.tanh(gap), x.shape),
                              jnp.broadcast_to(jnp.tanh(at.levels[0] - middle + 4), x.shape)], axis=1)  # fmt: skip
        hidden = jnp.tanh(features @ self.hidden.weight + self.hidden.bias)
        return -x * jnp.exp(self.out[-1]) + hidden @ self.out[:-1]

    def sample(self, key: Array, at: ThermalSurroundings) -> Array:
        """Occupied levels (N,)."""
        log_w, keys = self.log_weights(at), jax.random.split(key, 2)
        drawn = [sample_occupied(k, log_symmetric(log_w, c), log_w) for k, c in zip(keys, self.spins, strict=True)]
        return jnp.concatenate(drawn)

    def log_prob(self, at: ThermalSurroundings, label: Array) -> Array:
        """ln p(n|S)."""
        log_w = self.log_weights(at)
        norm = sum(log_symmetric(log_w, count)[0, count] for count in self.spins)
        return jnp.sum(log_w[label]) - norm


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
        return ThermalSurroundings(twist, protons, self.beta * unit * levels, states)

    def log_psi(self, at: Occupied, x: Array) -> tuple[Array, Array]:
        """ln|Psi_nS| and its phase."""
        z, log_det = self.flow(at.protons, x)
        orbitals = plane_waves(z, self.vectors) @ at.shared.states[:, at.label]  # (electron, N)
        size, angle = 0.5 * log_det, 2 * math.pi * jnp.sum(z @ jnp.asarray(self.twist)[at.shared.twist])
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
        slope = slater.gradient + 2j * math.pi * jnp.asarray(self.twist)[at.shared.twist]
        return LocalState(*jet.local(slope, slater.curvature))

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
        """Orbitals and electrons (N, N, ..) of spin up, and of spin down."""
        up = self.spins[0]
        return blocks[:up, :up], blocks[up:, up:]
