"""The ground state of electrons among protons at S: a Jastrow factor times a determinant of pairs with backflow.

    Psi_S(R) = e^J sum_K det[ G(i, j) (1 + h_i w_K h_j) ],      i spin up, j spin down
    G(i, j)  = sum_kk' F_kk'(S) e^{i k.z_i - i k'.z_j + i theta.(z_i - z_j)} + sum_IJ chi_I(i) M_IJ chi_J(j)

with z_i = r_i + b(h_i).  F is a function of a mean field (states.pairing): two Slater determinants where a gap parts
the occupied orbitals from the rest, resonating pairs in an open shell.  The sum over protons, where it is wanted, holds
the valence bond and the ionic state of molecules.  h are the features of the ElectronNetwork, J has the cusps of all
pairs and a part linear in h
(Foulkes et al., Rev. Mod. Phys. 73, 33 (2001), sec. IV; Xie et al., Phys. Rev. Lett. 131, 126501 (2023)).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.geometry import half_space
from massieu.linear_algebra import inverse_and_log_det
from massieu.physics import jets
from massieu.physics.jets import Carried, Jet
from massieu.sampling import initial_normal
from massieu.states.among_protons import AmongProtons, LocalState, local_state, log_determinant, phase_waves
from massieu.states.electron_network import periodic_distance
from massieu.states.pairing import Pairing

FLAT = 0.3  # a0: orbitals of atoms have no cusp of their own


class Surroundings(NamedTuple):
    """What the electrons of one S have in common: twist (its place), protons (n, 3), the matrix between orbitals."""

    twist: Array
    protons: Array
    weight: Array


class Geminal(AmongProtons):
    """up + down electrons (equal numbers, or one alone) in a box of side `length` (a0) at twists (Q, 3)."""

    down: int = eqx.field(static=True)
    vectors: np.ndarray  # (k, 3)
    twist: np.ndarray  # (Q, 3)
    plane_waves: Pairing
    pairing: Array  # (determinants, width, width)
    atoms: Array | None  # ln amplitude, ln decay (1/a0), bond, ln reach of bonds (a0)

    def __init__(
        self,
        up: int,
        down: int,
        length: float,
        vectors: np.ndarray,
        twist: np.ndarray,
        *,
        rs: float,
        width: int = 16,
        pair_width: int = 16,
        depth: int = 2,
        determinants: int = 1,
        atomic: bool = False,
        broken: bool = False,
        key: Array,
    ):
        of_network, of_pairs = jax.random.split(key)
        super().__init__(up, length, rs, width, pair_width, depth, of_network)
        self.down, self.vectors, self.twist = down, vectors, twist
        self.plane_waves = Pairing(vectors, twist, up + down, length, rs, broken)
        features = self.network.width
        first = initial_normal(of_pairs, (determinants, features, features))
        self.pairing = jnp.asarray(0.01 * (determinants > 1) * first)
        self.atoms = jnp.array([2 * math.log(rs / 1.5), 0.0, 0.5, math.log(2.0)]) if atomic else None

    @property
    def is_real(self) -> bool:
        """Whether Psi is real: no twist."""
        return not np.any(self.twist)

    def orbitals(self) -> int:
        """Plane waves of an electron."""
        return len(self.vectors)

    # ---- value and derivatives

    def around(self, twist: Array, protons: Array) -> Surroundings:
        """What does not depend on the electrons; protons (n, 3) in units of the box."""
        return Surroundings(twist, protons, self._weights(twist, protons))

    def log_psi(self, at: Surroundings, x: Array) -> tuple[Array, Array]:
        """ln|Psi| and its phase (0 or pi where Psi is real) of electrons at x (N, 3), in units of the box."""
        exponent, matrices = self._parts(at, x, carried=False)
        phases, sizes = zip(*(inverse_and_log_det(m)[1:] for m in matrices))
        sizes = jnp.stack(sizes)
        top = jnp.max(sizes)
        total = jnp.sum(jnp.stack(phases) * jnp.exp(sizes - top))
        modulus = jnp.abs(total)
        angle = jnp.angle(total) if jnp.iscomplexobj(total) else jnp.where(total < 0, jnp.pi, 0.0)
        return top + jnp.log(modulus) + exponent.real, angle + jnp.imag(exponent)

    def log_density(self, at: Surroundings, x: Array) -> Array:
        """ln|Psi|^2."""
        return 2 * self.log_psi(at, x)[0]

    def local(self, at: Surroundings, x: Array) -> LocalState:
        """Gradient of ln Psi and local kinetic energy -lap Psi/Psi by forward propagation."""
        exponent, matrices = self._parts(at, x, carried=True)
        found = [log_determinant(m) for m in matrices]
        sizes = jnp.stack([one.size for one in found])
        weight = jnp.stack([one.phase for one in found]) * jnp.exp(sizes - jnp.max(sizes))
        weight = weight / jnp.sum(weight)
        slopes = jnp.stack([one.slope for one in found])  # (K, 3N) of ln det
        bends = jnp.stack([one.laplacian for one in found]) + jnp.sum(slopes**2, axis=1)  # lap det/det
        slope = weight @ slopes
        laplacian = weight @ bends - jnp.sum(slope**2) + exponent.laplacian  # of ln Psi
        return local_state(Jet(exponent.value, slope + exponent.slope, laplacian))

    def scores(self, twist: Array, protons: Array, x: Array) -> tuple[Geminal, Geminal | None]:
        """Derivatives of ln|Psi| and of the phase (None where Psi is real) by the parameters."""
        params, static = eqx.partition(self, lambda leaf: isinstance(leaf, jax.Array))

        def both(params: Geminal) -> tuple[Array, Array]:
            psi = eqx.combine(params, static)
            return psi.log_psi(psi.around(twist, protons), x)

        if self.is_real:
            return jax.grad(lambda p: both(p)[0])(params), None
        _, pull = jax.vjp(both, params)
        one, zero = jnp.ones(()), jnp.zeros(())
        return pull((one, zero))[0], pull((zero, one))[0]

    # ---- its parts, of arrays or of jets

    def _parts(self, at: Surroundings, x: Array, carried: bool) -> tuple[Carried, list]:
        """The exponent (J and the Bloch phase) and the matrices of pairs."""
        twist, protons, weight = at
        h = self.features(protons, x, carried)
        exponent, z = self.exponent(protons, x, h), self.moved(x, h)
        if not self.is_real:
            exponent = jets.plus(exponent, self.boundary(2 * math.pi * jnp.asarray(self.twist)[twist], z))
        waves = self._waves(z)
        orbitals = waves if self.atoms is None else jets.joined([waves, self._atomic(protons, x, carried)])
        up, down = slice(0, self.up), slice(self.up, None)
        left = jets.linear(jets.rows(orbitals, up), weight)
        if self.down == 0:  # one electron: any partner
            ones = jnp.ones((weight.shape[1], 1), weight.dtype)
            return exponent, [jets.linear(left, ones)]
        pairs = jets.rows_times_rows(left, jets.conjugate(jets.rows(orbitals, down)))
        matrices = []
        for w in self.pairing:
            turned = jets.rows_times_rows(jets.linear(jets.rows(h, up), w), jets.rows(h, down))
            matrices.append(jets.times(pairs, jets.plus(turned, 1.0)))
        return exponent, matrices

    def _waves(self, z: Carried) -> Carried:
        """Plane waves (N, k) at z, without the twist; where all is real 1, sqrt2 cos and sqrt2 sin."""
        if not self.is_real:
            return phase_waves(z, self.vectors)
        half = half_space(self.vectors[np.any(self.vectors != 0, axis=1)]) if len(self.vectors) > 1 else self.vectors
        pairs = jets.times(jets.cos_sin(jets.linear(z, jnp.asarray(2 * math.pi * half.T))), jnp.asarray(math.sqrt(2)))
        if len(self.vectors) == 1:
            return jets.times(jets.linear(pairs, jnp.asarray([[1.0], [0.0]])), jnp.asarray(math.sqrt(0.5)))
        one = jets.linear(z, jnp.zeros((3, 1)), 1.0)
        return jets.joined([one, pairs])

    def _weights(self, twist: Array, protons: Array) -> Array:
        """The matrix between the orbitals of both spins: F of plane waves, M_IJ of atoms."""
        f = self.plane_waves.matrix(twist, protons)
        if self.atoms is None:
            return f
        amplitude, _, bond, reach = self.atoms
        count = len(protons)
        apart = protons[:, None] - protons[None] + 0.25 * jnp.eye(count)[:, :, None]
        distance = jax.vmap(jax.vmap(lambda d: periodic_distance(d, self.length)))(apart)
        bonds = bond * jnp.exp(-distance / jnp.exp(reach)) * (1 - np.eye(count))
        m = jnp.exp(amplitude) * (jnp.eye(count) + bonds)
        total = jnp.zeros((len(f) + count, len(f) + count), f.dtype)
        return total.at[: len(f), : len(f)].set(f).at[len(f) :, len(f) :].set(m)

    def _atomic(self, protons: Array, x: Array, carried: bool) -> Carried:
        """Orbitals (N, n) of the atoms, exp(-zeta r) without its cusp."""
        assert self.atoms is not None
        decay = jnp.exp(self.atoms[1])

        def one(d: Array) -> Array:
            squared = periodic_distance_squared(d, self.length)
            return jnp.exp(-decay * (jnp.sqrt(squared + FLAT**2) - FLAT))

        each: Any = (lambda d: jets.of_function(one, d)) if carried else one
        found = jax.vmap(jax.vmap(each))(x[:, None] - protons[None])
        if not carried:
            return found
        n = len(x)
        slope = found.slope[:, :, None, :] * jnp.eye(n)[:, None, :, None]
        return found._replace(slope=slope.reshape(n, len(protons), 3 * n))


def periodic_distance_squared(d: Array, length: float) -> Array:
    """The square of `periodic_distance`, smooth everywhere."""
    return (length / math.pi) ** 2 * jnp.sum(jnp.sin(math.pi * d) ** 2)
