"""What correlates electrons among protons at S, whatever orbitals they occupy: a Jastrow factor and a backflow.

    J(R) = sum over pairs -s/c e^{-c r} + sum_i a.h_i,      z_i = r_i + b(h_i)

s is the slope d ln Psi/dr at contact that Kato's cusp condition asks for, c a decay, h_i the features of the
ElectronNetwork; a and b(h) = h b are zero at first.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.linear_algebra import inverse_and_log_det
from massieu.physics import jets
from massieu.physics.jets import Carried, Jet
from massieu.states.electron_network import ElectronNetwork, periodic_distance

SLOPES = {"same": 0.25, "opposite": 0.5, "proton": -1.0}  # d ln Psi/dr at contact, 1/a0 (Kato)


class LocalState(NamedTuple):
    """Gradient (N, 3) of ln Psi and -lap Psi/Psi, in units of the box."""

    gradient: Array
    kinetic: Array


def first_decays(rs: float) -> dict[str, float]:
    """Decays c (1/a0) to start from at density parameter rs."""
    return {"same": rs**-0.5, "opposite": rs**-0.5, "proton": 0.3 + 0.7 / rs}


def cusp(distance: Any, slope: Any, decay: Any) -> Any:
    """-slope/decay e^{-decay r}: slope at contact, nothing far away."""
    return -slope / decay * jnp.exp(-decay * distance)


class AmongProtons(eqx.Module):
    """`up` electrons of spin up, then the others, in a box of side `length` (a0)."""

    up: int = eqx.field(static=True)
    length: float = eqx.field(static=True)
    network: ElectronNetwork
    backflow: Array | None  # (width, 3)
    jastrow: Array  # (width,)
    log_decay: dict[str, Array]  # 1/a0, of the cusps

    def __init__(self, up: int, length: float, rs: float, width: int, pair_width: int, depth: int, key: Array):
        self.up, self.length = up, length
        self.network = ElectronNetwork(up, length, width, pair_width, depth, key)
        self.backflow, self.jastrow = jnp.zeros((self.network.width, 3)), jnp.zeros(self.network.width)
        self.log_decay = {name: jnp.log(jnp.asarray(value, float)) for name, value in first_decays(rs).items()}

    @abstractmethod
    def orbitals(self) -> int:
        """How many plane waves electrons have."""

    def walker_bytes(self, n: int) -> int:
        """Memory of one local energy: pair features and orbitals with their 3N derivatives."""
        width = self.network.own[-1].bias.size
        return 8 * 3 * n * (4 * n * self.orbitals() + 2 * n * n + 6 * n * width)

    def features(self, protons: Array, x: Array, carried: bool) -> Carried:
        """h (N, width), as a jet where `carried`."""
        return self.network.carried(protons, x) if carried else self.network.values(protons, x)

    def exponent(self, protons: Array, x: Array, h: Carried) -> Carried:
        """J of electrons at x (N, 3) with features h."""
        of_features = jets.summed(jets.linear(h, self.jastrow[:, None]))
        return jets.plus(self._cusps(protons, x, isinstance(h, Jet)), of_features)

    def moved(self, x: Array, h: Carried) -> Carried:
        """z (N, 3)."""
        n = len(x)
        position = Jet(x, jnp.eye(3 * n).reshape(n, 3, 3 * n), jnp.zeros_like(x)) if isinstance(h, Jet) else x
        return position if self.backflow is None else jets.plus(position, jets.linear(h, self.backflow))

    def boundary(self, wave: Array, z: Carried) -> Carried:
        """i theta.(sum of z of spin up - that of spin down), wave theta (3,) in 1/box."""
        signs = np.where(np.arange(len(jets.value_of(z))) < self.up, 1.0, -1.0)[:, None]
        return jets.times(jets.summed(jets.times(z, signs * wave[None])), jnp.asarray(1j))

    def _cusps(self, protons: Array, x: Array, carried: bool) -> Carried:
        """Those of all pairs."""
        n = len(x)
        i, j = np.triu_indices(n, 1)
        same = (i < self.up) == (j < self.up)
        decay = {name: jnp.exp(value) for name, value in self.log_decay.items()}
        rate = jnp.where(same, decay["same"], decay["opposite"])
        strength = np.where(same, SLOPES["same"], SLOPES["opposite"])

        def one(d: Array, rate: Any, strength: Any) -> Array:
            return cusp(periodic_distance(d, self.length), strength, rate)

        def of_proton(d: Array) -> Array:
            return one(d, decay["proton"], SLOPES["proton"])

        if not carried:
            attraction = jnp.sum(jax.vmap(jax.vmap(of_proton))(x[:, None] - protons[None]))
            return attraction + jnp.sum(jax.vmap(one)(x[i] - x[j], rate, jnp.asarray(strength)))
        near = jax.vmap(jax.vmap(lambda d: jets.of_function(of_proton, d)))(x[:, None] - protons[None])
        value, slope, laplacian = jnp.sum(near.value), jnp.sum(near.slope, axis=1), jnp.sum(near.laplacian)
        if n > 1:
            pairs = jax.vmap(lambda d, r, s: jets.of_function(lambda d: one(d, r, s), d))(x[i] - x[j], rate, strength)
            value, laplacian = value + jnp.sum(pairs.value), laplacian + 2 * jnp.sum(pairs.laplacian)
            slope = slope.at[i].add(pairs.slope).at[j].add(-pairs.slope)
        return Jet(value, slope.reshape(-1), laplacian)


class LogDeterminant(NamedTuple):
    """phase and ln|det| of a matrix of jets, the gradient (3N,) and Laplacian of ln det."""

    phase: Array
    size: Array
    slope: Array
    laplacian: Array


def log_determinant(m: Jet) -> LogDeterminant:
    """Of a matrix (k, k), from its derivatives."""
    inverse, phase, size = inverse_and_log_det(m.value)
    relative = jnp.einsum("ij,jkd->ikd", inverse, m.slope)
    slope = jnp.einsum("iid->d", relative)
    laplacian = jnp.sum(inverse.T * m.laplacian) - jnp.einsum("ijd,jid->", relative, relative)
    return LogDeterminant(phase, size, slope, laplacian)


def phase_waves(z: Carried, vectors: np.ndarray) -> Carried:
    """Plane waves (N, k) at z."""
    return jets.phase(jets.linear(z, jnp.asarray(2 * math.pi * vectors.T)))


def local_state(log: Jet) -> LocalState:
    """From ln Psi, its gradient and its Laplacian."""
    return LocalState(log.slope.reshape(-1, 3), -(log.laplacian + jnp.sum(log.slope**2)))
