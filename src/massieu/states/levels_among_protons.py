"""One-electron levels among protons at S, between plane waves, bare or dressed.

    chi_a(r) = e^{v(r)} sum_k C_ka e^{2 pi i k.r},      H C = G C E
    G_kk' = <e^v k|e^v k'>,     H_kk' = <e^v k| -lap + V_S |e^v k'>

V_S is the screened field of the protons that `Pairing` has between plane waves.  Bare levels have v = 0.  Dressed ones
have the cusps of the protons, v(r) = sum_I u_p(r - S_I), as the Jastrow factor of many electrons does, so that
determinants of chi are orthonormal.  (The mean over the other electrons of their pair factors could be in v too, for
overlaps of states that differ in one electron; without it those of cusps alone cost below 1e-3 k_B an atom.)  Integrals
are sums over a grid, by fast Fourier transforms.
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
from massieu.states.among_protons import SLOPES, cusp, first_decays
from massieu.states.electron_network import periodic_distance
from massieu.states.pairing import Pairing

FEATURES = 7  # of a level
NEIGHBOUR = 1.0  # a0, of the measure of how close protons are
FINEST = 16  # points of the grid along an axis, at least


class ThermalSurroundings(NamedTuple):
    """Of one S: twist, protons (n, 3), levels (k,) in units of kT, their coefficients (k, k) as columns, what is seen
    of each level (k, FEATURES).
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


class LevelsAmongProtons(eqx.Module):
    """Bare levels of electrons of two spins in a box of side `length` (a0) at twists (Q, 3); beta in 1/Ry."""

    spins: tuple[int, int] = eqx.field(static=True)
    length: float = eqx.field(static=True)
    beta: float = eqx.field(static=True)
    vectors: np.ndarray  # (k, 3)
    twist: np.ndarray  # (Q, 3)
    field: Pairing  # V_S, not trained

    def __init__(self, spins: tuple[int, int], length: float, beta: float, vectors: np.ndarray, twist: np.ndarray,
                 rs: float):  # fmt: skip
        self.spins, self.length, self.beta = spins, length, beta
        self.vectors, self.twist = vectors, twist
        field = Pairing(vectors, twist, sum(spins), length, rs)
        self.field = jax.tree.map(lambda leaf: np.asarray(leaf) if isinstance(leaf, jax.Array) else leaf, field)

    @property
    def unit(self) -> float:
        """(2 pi/L)^2 in units of kT."""
        return self.beta * (2 * math.pi / self.length) ** 2

    def __call__(self, twist: Array, protons: Array) -> ThermalSurroundings:
        """Levels and what is seen of them at S."""
        levels, states, kinetic, contact = self.solved(twist, protons)
        return ThermalSurroundings(twist, protons, levels, states, self._seen(protons, levels, kinetic, contact))

    def solved(self, twist: Array, protons: Array) -> tuple[Array, Array, Array, Array]:
        """Levels (k,) in units of kT, C (k, k), kinetic energies (k,) alike, densities (n, k) at the protons."""
        levels, states = jnp.linalg.eigh(self.field.field(twist, protons))
        squares = jnp.sum((self.vectors + jnp.asarray(self.twist)[twist][None]) ** 2, axis=1)
        contact = jnp.abs(plane_waves(protons, self.vectors) @ states) ** 2
        return self.unit * levels, states, self.unit * squares @ jnp.abs(states) ** 2, contact

    def _seen(self, protons: Array, levels: Array, kinetic: Array, contact: Array) -> Array:
        """Of each level (k, FEATURES), without regard to the order of protons and the origin: its place, the gap, its
        kinetic energy, its density at the protons and how unequally they share it; how close protons are.
        """  # fmt: skip
        top, n = self.spins[0], len(protons)
        x = levels - 0.5 * (levels[top - 1] + levels[top])
        unequal = n * jnp.sum(contact**2, axis=0) / (jnp.sum(contact, axis=0) ** 2 + 1e-12)
        apart = self.length * jnp.sqrt(jnp.sum(minimum_image(protons[:, None] - protons[None]) ** 2, axis=-1) + 1e-12)
        close = (jnp.sum(jnp.exp(-apart / NEIGHBOUR)) - n) / n
        of_all = jnp.stack([jnp.tanh(levels[top] - levels[top - 1]), close])
        own = [jnp.tanh(x / 4), jnp.tanh(x), jnp.tanh(kinetic / 8), jnp.log(jnp.mean(contact, axis=0) + 0.1)]
        own.append(jnp.log(unequal))
        return jnp.concatenate([jnp.stack(own, axis=1), jnp.broadcast_to(of_all, (len(x), 2))], axis=1)


class DressedLevels(LevelsAmongProtons):
    """Levels whose orbitals have the cusps of the protons, orthonormal with them."""

    rs: float = eqx.field(static=True)
    grid: int = eqx.field(static=True)  # points along an axis

    def __init__(self, spins: tuple[int, int], length: float, beta: float, vectors: np.ndarray, twist: np.ndarray,
                 rs: float):  # fmt: skip
        super().__init__(spins, length, beta, vectors, twist, rs)
        self.rs, self.grid = rs, max(FINEST, 4 * int(np.abs(vectors).max()))

    def solved(self, twist: Array, protons: Array) -> tuple[Array, Array, Array, Array]:
        """The same, from the generalised eigenvalue problem of e^v times plane waves."""
        v = self.exponent(protons)
        weight = jnp.exp(2 * v)
        waves = 2j * math.pi * self._waves()
        slopes = [jnp.fft.ifftn(waves[..., i] * jnp.fft.fftn(v)).real / (2 * math.pi) for i in range(3)]
        k = self.vectors + jnp.asarray(self.twist)[twist][None]
        kinetic = self._between(weight * sum(slope**2 for slope in slopes))
        for i, slope in enumerate(slopes):
            kinetic = kinetic + 1j * (k[None, :, i] - k[:, None, i]) * self._between(weight * slope)
        overlap = self._between(weight)
        kinetic = kinetic + (k @ k.T) * overlap
        levels, states = _generalised(kinetic + self._between(weight * self._potential(protons)), overlap)
        of_kinetic = jnp.einsum("ka,kl,la->a", states.conj(), kinetic, states).real
        at_protons = jnp.exp(2 * jax.vmap(lambda place: self._cusps(place[None] - protons))(protons))
        contact = at_protons[:, None] * jnp.abs(plane_waves(protons, self.vectors) @ states) ** 2
        return self.unit * levels, states, self.unit * of_kinetic, contact

    def exponent(self, protons: Array) -> Array:
        """v on the grid."""
        axis = np.arange(self.grid) / self.grid
        places = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
        v = jax.lax.map(lambda place: self._cusps(place[None] - protons), jnp.asarray(places), batch_size=512)
        return v.reshape((self.grid,) * 3)

    def _cusps(self, apart: Array) -> Array:
        """sum_I u_p of separations (n, 3)."""
        decay = first_decays(self.rs)["proton"]
        distance = jax.vmap(lambda d: periodic_distance(d, self.length))(apart)
        return jnp.sum(cusp(distance, SLOPES["proton"], decay))

    def _waves(self) -> np.ndarray:
        """Integer momenta (grid, grid, grid, 3) in the order of the transforms."""
        axis = np.rint(np.fft.fftfreq(self.grid, 1 / self.grid)).astype(int)
        return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)

    def _between(self, values: Array) -> Array:
        """<k|f|k'> (k, k) of f on the grid."""
        apart = (self.vectors[:, None] - self.vectors[None]) % self.grid
        return (jnp.fft.fftn(values) / self.grid**3)[apart[..., 0], apart[..., 1], apart[..., 2]]

    def _potential(self, protons: Array) -> Array:
        """V_S on the grid, in units of (2 pi/L)^2."""
        q = self._waves()
        strength, screening = np.exp(self.field.log_field)
        rho = jnp.mean(plane_waves(protons, q.reshape(-1, 3)), axis=0).conj().reshape(q.shape[:3])
        squared = np.sum(q**2, axis=-1)
        of_waves = np.where(squared > 0, -strength / (squared + screening), 0.0)
        return jnp.fft.ifftn(of_waves * rho).real * self.grid**3


def _generalised(a: Array, b: Array) -> tuple[Array, Array]:
    """Eigenvalues (k,) and vectors C with C^H b C = 1 of Hermitian a C = b C E."""
    lower = jnp.linalg.cholesky(b)
    half = jax.scipy.linalg.solve_triangular(lower, a, lower=True)
    turned = jax.scipy.linalg.solve_triangular(lower, half.conj().T, lower=True)
    values, vectors = jnp.linalg.eigh(0.5 * (turned + turned.conj().T))
    return values, jax.scipy.linalg.solve_triangular(lower.conj().T, vectors, lower=False)
