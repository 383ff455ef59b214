"""Thermal electrons among protons at S with the Jastrow factor of the ground state, shared by all n.

    Phi_nS(R) = e^{J(R)} prod over spins det[ phi_a(r_j) ],   a in n,     phi_a(r) = sum_k C_ka(S) e^{2 pi i k.r}

C makes the orbitals orthonormal with what J is for one electron (`levels_among_protons`).  The Phi_nS are not
orthogonal: at one S every pair of them may overlap, and S of the electrons is bounded with these overlaps
(principle.py).  No norm is known; x is sampled by Markov chains at (S, n).
"""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from massieu.linear_algebra import inverse_and_log_det
from massieu.physics import jets
from massieu.physics.jets import Carried, Jet
from massieu.states.among_protons import AmongProtons, LocalState, local_state, log_determinant, phase_waves
from massieu.states.levels_among_protons import DressedLevels, Occupied, ThermalSurroundings

EVERY = slice(None), slice(None)  # levels of both spins


class CorrelatedThermal(AmongProtons):
    """The family Phi_nS of electrons on dressed levels among protons."""

    levels: DressedLevels

    def __init__(self, levels: DressedLevels, *, width: int = 16, pair_width: int = 16, depth: int = 2, key: Array):
        self.levels = levels
        super().__init__(levels.spins[0], levels.length, levels.rs, width, pair_width, depth, key)
        self.backflow = None  # what it does to overlaps has no gradient yet

    @property
    def orthonormal(self) -> bool:
        """Norms are unknown and depend on n."""
        return False

    @property
    def is_real(self) -> bool:
        """Orbitals are complex in general."""
        return False

    def orbitals(self) -> int:
        """Plane waves of an electron."""
        return len(self.levels.vectors)

    def around(self, twist: Array, protons: Array) -> ThermalSurroundings:
        """Levels and orbitals at S."""
        return self.levels(twist, protons)

    def log_psi(self, at: Occupied, x: Array) -> tuple[Array, Array]:
        """ln|Phi_nS|, without its norm, and its phase."""
        exponent, matrices = self._parts(at.shared, x, self._split(at.label), carried=False)
        found = [inverse_and_log_det(m) for m in matrices]
        angle = jnp.imag(exponent) + sum(jnp.angle(phase) for _, phase, _ in found)
        return exponent.real + sum(size for *_, size in found), angle

    def log_psis(self, shared: ThermalSurroundings, labels: Array, x: Array) -> Array:
        """Complex ln Phi_nS(x), without the norms, of several labels (m, N) at the same S and x."""
        exponent, matrices = self._parts(shared, x, EVERY, carried=False)

        def of(label: Array) -> Array:
            found = [inverse_and_log_det(m[:, n]) for m, n in zip(matrices, self._split(label), strict=True)]
            return sum((jnp.log(phase) + size for _, phase, size in found), exponent)

        return jax.vmap(of)(labels)

    def excitations(self, at: Occupied, x: Array) -> Array:
        """Phi_n'S(x)/Phi_nS(x) (N, k), where electron i of n is on level a in n': cofactors times orbitals."""
        _, matrices = self._parts(at.shared, x, EVERY, carried=False)
        of = zip(matrices, self._split(at.label), strict=True)
        return jnp.concatenate([inverse_and_log_det(m[:, n])[0] @ m for m, n in of])

    def log_density(self, at: Occupied, x: Array) -> Array:
        """ln|Phi_nS|^2, without its norm."""
        return 2 * self.log_psi(at, x)[0]

    def local(self, at: Occupied, x: Array) -> LocalState:
        """Gradient of ln Phi and -lap Phi/Phi by forward propagation."""
        exponent, matrices = self._parts(at.shared, x, self._split(at.label), carried=True)
        found = [log_determinant(m) for m in matrices]
        slope = exponent.slope + sum(one.slope for one in found)
        return local_state(Jet(exponent.value, slope, exponent.laplacian + sum(one.laplacian for one in found)))

    def scores(self, at: Occupied, x: Array) -> tuple[CorrelatedThermal, CorrelatedThermal]:
        """Derivatives of ln|Phi| and of the phase by the parameters of J."""
        params, static = eqx.partition(self, lambda leaf: isinstance(leaf, jax.Array))
        _, pull = jax.vjp(lambda params: eqx.combine(params, static).log_psi(at, x), params)
        one, zero = jnp.ones(()), jnp.zeros(())
        return pull((one, zero))[0], pull((zero, one))[0]

    def projected(self) -> CorrelatedThermal:
        """The same: J may be anything."""
        return self

    def _split(self, label: Array) -> tuple[Array, Array]:
        """Levels of spin up, and of spin down."""
        return label[: self.up], label[self.up :]

    def _parts(
        self, shared: ThermalSurroundings, x: Array, levels: tuple[Any, Any], carried: bool
    ) -> tuple[Carried, list[Carried]]:
        """The exponent (J and the Bloch phase) and the matrices (electron, level) of the levels of each spin."""
        h = self.features(shared.protons, x, carried)
        exponent, z, up = self.exponent(shared.protons, x, h), self.moved(x, h), self.up
        wave, waves = 2 * math.pi * jnp.asarray(self.levels.twist)[shared.twist], phase_waves(z, self.levels.vectors)
        of_up = jets.linear(jets.rows(waves, slice(0, up)), shared.states[:, levels[0]])
        of_down = jets.linear(jets.rows(waves, slice(up, None)), shared.states[:, levels[1]])
        return jets.plus(exponent, self.boundary(wave, z)), [of_up, jets.conjugate(of_down)]
