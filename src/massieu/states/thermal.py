"""Thermal electrons among protons at S: rho(S) = sum_n p(n|S) |Psi_nS><Psi_nS|, orthonormal for every S.

    Psi_nS(R) = D_n(z) sqrt(det dz/dR),     z = G_S(R)

D_n is a product of Slater determinants of both spins of the eigenstates of a mean field h(S) between plane waves; G_S
is a stack of gradients of convex functions, 1/2 |r|^2 + sum u(r_i - r_j) + sum w(r_i - S_I), a bijection of the torus:
overlaps of the Psi_nS are those of the determinants.  p(n|S) are the canonical weights of the levels of h(S) with
trainable corrections that depend on the levels and on S (Li et al., arXiv:2507.18540, have a transformer on top).
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
from massieu.linear_algebra import inverse_and_log_det, inverse_and_log_det_spd
from massieu.physics.fermi_gas import log_symmetric, sample_occupied
from massieu.physics.kinetic import local_kinetic
from massieu.states.electron_network import Layer, layer
from massieu.states.geminal import LocalState
from massieu.states.pair_flow import PairFlow, bound_scale
from massieu.states.pairing import Pairing

SHARE = 0.5  # of the bound on the curvature, for the potentials of protons; the rest is for those of electrons
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
    repulsion: PairFlow
    attraction: Array  # (layers, V)

    def __init__(self, spins: tuple[int, int], length: float, beta: float, vectors: np.ndarray, twist: np.ndarray,
                 *, rs: float, layers: int = 3, key: Array):  # fmt: skip
        self.spins, self.length, self.beta = spins, length, beta
        self.vectors, self.twist = vectors, twist
        field = Pairing(vectors, twist, sum(spins), length, rs)
        self.plane_waves = jax.tree.map(lambda leaf: np.asarray(leaf) if isinstance(leaf, jax.Array) else leaf, field)
        radius = min(4.5, 1.2 * length / rs)
        self.repulsion = PairFlow(spins, 3, layers=layers, radius=radius, by_momentum=False, key=key)
        self.attraction = jnp.zeros((layers, len(self.repulsion.vectors)))

    @property
    def is_real(self) -> bool:
        """Eigenstates are complex in general."""
        return False

    @property
    def walker_bytes(self) -> int:
        """Memory of one local energy, one direction at a time."""
        n = sum(self.spins)
        return 8 * (8 * (3 * n) ** 2 + 16 * n * n * len(self.repulsion.vectors))

    def around(self, twist: Array, protons: Array) -> ThermalSurroundings:
        """Levels and eigenstates of the mean field at S."""
        unit = (2 * math.pi / self.length) ** 2
        levels, states = jnp.linalg.eigh(self.plane_waves.field(twist, protons))
        return ThermalSurroundings(twist, protons, self.beta * unit * levels, states)

    def log_psi(self, at: Occupied, x: Array) -> tuple[Array, Array]:
        """ln|Psi_nS| and its phase."""
        z, log_det = self._mapped(at.protons, x)
        orbitals = plane_waves(z, self.vectors) @ at.shared.states[:, at.label]  # (electron, N)
        size, angle = 0.5 * log_det, 2 * math.pi * jnp.sum(z @ jnp.asarray(self.twist)[at.shared.twist])
        up = self.spins[0]
        for block in (orbitals[:up, :up], orbitals[up:, up:]):
            _, phase, of_block = inverse_and_log_det(block)
            size, angle = size + of_block - 0.5 * math.lgamma(len(block) + 1), angle + jnp.angle(phase)
        return size, angle

    def log_density(self, at: Occupied, x: Array) -> Array:
        """ln|Psi_nS|^2, normalised over the unit box."""
        return 2 * self.log_psi(at, x)[0]

    def local(self, at: Occupied, x: Array) -> LocalState:
        """Gradient of ln Psi and -lap Psi/Psi, direction by direction."""

        def log_psi(x: Array) -> Array:
            size, angle = self.log_psi(at, x)
            return size + 1j * angle

        _, pull = jax.vjp(lambda x: self.log_psi(at, x), x)
        one, zero = jnp.ones(()), jnp.zeros(())
        gradient = pull((one, zero))[0] + 1j * pull((zero, one))[0]
        return LocalState(gradient, local_kinetic(log_psi, x))

    def scores(self, at: Occupied, x: Array) -> tuple[ThermalState, ThermalState]:
        """Derivatives of ln|Psi| and of the phase by the parameters of the flow."""
        params, static = eqx.partition(self, lambda leaf: isinstance(leaf, jax.Array))
        _, pull = jax.vjp(lambda params: eqx.combine(params, static).log_psi(at, x), params)
        one, zero = jnp.ones(()), jnp.zeros(())
        return pull((one, zero))[0], pull((zero, one))[0]

    def projected(self) -> ThermalState:
        """The same with potentials inside the bound that makes every layer a bijection."""
        n, vectors, star = sum(self.spins), self.repulsion.vectors, self.repulsion.star
        c = self.repulsion.coefficients
        c = c * bound_scale(c[..., star] / (1 - SHARE), vectors, n)
        w = self.attraction * bound_scale(self.attraction[:, star] / SHARE, vectors, n)
        return eqx.tree_at(lambda s: (s.repulsion.coefficients, s.attraction), self, (c, w))

    def _mapped(self, protons: Array, x: Array) -> tuple[Array, Array]:
        """G_S(x) and ln det of its Jacobian."""
        c = self.repulsion.coefficients[:, 0][..., self.repulsion.star]
        n, log_det = len(x), jnp.zeros(())
        rho = jnp.sum(plane_waves(protons, self.repulsion.vectors), axis=0).conj()
        for of_pairs, of_protons in zip(c, self.attraction[:, self.repulsion.star], strict=True):
            moved, jacobian = self.repulsion.layer(of_pairs, x)
            push, stretch = self._external(of_protons * rho, x)
            blocks = (jnp.eye(n)[:, None, :, None] * stretch[:, :, None, :]).reshape(3 * n, 3 * n)
            x, jacobian = moved + push, jacobian + blocks
            log_det = log_det + inverse_and_log_det_spd(jacobian)[1]
        return x, log_det

    def _external(self, amplitude: Array, x: Array) -> tuple[Array, Array]:
        """Gradient (N, 3), Hessians (N, 3, 3) of sum_I w(x - S_I), w(r) = sum_v c_v cos(2 pi v.r)/(2 pi)^2."""
        v = self.repulsion.vectors.astype(float)
        wave = plane_waves(x, self.repulsion.vectors) * amplitude
        return -(wave.imag @ v) / (2 * math.pi), -jnp.einsum("nv,va,vb->nab", wave.real, v, v)
