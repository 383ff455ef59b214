"""Thermal electrons among protons at S with the Jastrow factor and the backflow of the ground state, shared by all n.

    Phi_nS(R) = e^{J(R)} prod over spins det[ phi_a(z_j) ],   a in n,     phi_a(z) = sum_k C_ka(S) e^{2 pi i k.z}

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
import numpy as np
from jax import Array

from massieu.physics import jets
from massieu.physics.jets import Carried, Jet
from massieu.states.among_protons import AmongProtons, LocalState, local_state, log_determinant, phase_waves
from massieu.states.levels_among_protons import DressedLevels, Occupied, ThermalSurroundings


class CorrelatedThermal(AmongProtons):
    """The family Phi_nS of electrons on dressed levels among protons."""

    levels: DressedLevels

    def __init__(self, levels: DressedLevels, *, width: int = 16, pair_width: int = 16, depth: int = 2, key: Array):
        self.levels = levels
        super().__init__(levels.spins[0], levels.length, levels.rs, width, pair_width, depth, key)
        self.backflow = np.zeros(self.backflow.shape)  # not trained: what it does to overlaps has no gradient here

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
        exponent, matrices = self._parts(at, x, carried=False)
        found = [jnp.linalg.slogdet(m) for m in matrices]
        angle = jnp.imag(exponent) + sum(jnp.angle(one.sign) for one in found)
        return exponent.real + sum(one.logabsdet for one in found), angle

    def log_psis(self, shared: ThermalSurroundings, labels: Array, x: Array) -> Array:
        """Complex ln Phi_nS(x), without the norms, of several labels (m, N) at the same S and x."""
        exponent, (of_up, of_down) = self._of_levels(shared, x, carried=False)
        up = self.up

        def of(label: Array) -> Array:
            found = [jnp.linalg.slogdet(m) for m in (of_up[:, label[:up]], of_down[:, label[up:]])]
            return sum((jnp.log(one.sign) + one.logabsdet for one in found), exponent)

        return jax.vmap(of)(labels)

    def excitations(self, at: Occupied, x: Array) -> Array:
        """Phi_n'S(x)/Phi_nS(x) (N, k), where electron i of n is on level a in n': cofactors times orbitals."""
        _, both = self._of_levels(at.shared, x, carried=False)
        labels = at.label[: self.up], at.label[self.up :]
        return jnp.concatenate([jnp.linalg.solve(all_[:, n], all_) for all_, n in zip(both, labels, strict=True)])

    def log_density(self, at: Occupied, x: Array) -> Array:
        """ln|Phi_nS|^2, without its norm."""
        return 2 * self.log_psi(at, x)[0]

    def local(self, at: Occupied, x: Array) -> LocalState:
        """Gradient of ln Phi and -lap Phi/Phi by forward propagation."""
        exponent, matrices = self._parts(at, x, carried=True)
        found = [log_determinant(m) for m in matrices]
        slope = exponent.slope + sum(one.slope for one in found)
        return local_state(Jet(exponent.value, slope, exponent.laplacian + sum(one.laplacian for one in found)))

    def scores(self, at: Occupied, x: Array) -> tuple[CorrelatedThermal, CorrelatedThermal]:
        """Derivatives of ln|Phi| and of the phase by the parameters of J and of the backflow."""
        params, static = eqx.partition(self, lambda leaf: isinstance(leaf, jax.Array))
        _, pull = jax.vjp(lambda params: eqx.combine(params, static).log_psi(at, x), params)
        one, zero = jnp.ones(()), jnp.zeros(())
        return pull((one, zero))[0], pull((zero, one))[0]

    def projected(self) -> CorrelatedThermal:
        """The same: J and backflow may be anything."""
        return self

    def _parts(self, at: Occupied, x: Array, carried: bool) -> tuple[Carried, list[Carried]]:
        """The exponent (J and the Bloch phase) and the matrices (electron, level) of both spins."""
        up, states = self.up, at.shared.states
        chosen = [states[:, at.label[:up]], states[:, at.label[up:]]]
        return self._orbitals(at.shared, chosen, x, carried)

    def _of_levels(self, shared: ThermalSurroundings, x: Array, carried: bool) -> tuple[Carried, list[Carried]]:
        """The same with the matrices of all levels."""
        return self._orbitals(shared, [shared.states] * 2, x, carried)

    def _orbitals(self, shared: ThermalSurroundings, chosen: list[Array], x: Array, carried: bool) -> Any:
        h = self.features(shared.protons, x, carried)
        exponent, z, up = self.exponent(shared.protons, x, h), self.moved(x, h), self.up
        wave, waves = 2 * math.pi * jnp.asarray(self.levels.twist)[shared.twist], phase_waves(z, self.levels.vectors)
        of_up = jets.linear(jets.rows(waves, slice(0, up)), chosen[0])
        of_down = jets.linear(jets.rows(waves, slice(up, None)), chosen[1])
        return jets.plus(exponent, self.boundary(wave, z)), [of_up, jets.conjugate(of_down)]
