"""A Jastrow factor on top of a unitary flow: what a map of positions can do, and the correlations that it cannot.

    Phi_K(x) = e^{J(x)} D_K(z) / sqrt(det dx/dz) / |..|,     x = T(z)

T keeps the states orthogonal and is all that is needed in the classical limit; J takes the rest, and costs entropy.
Points of the chains are z: their density |D_K(z)|^2 e^{2 J(T(z))} is without the Jacobian of T.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from massieu.states.correlated import CorrelatedStates, Slope, mixed_slope
from massieu.states.determinants import Local
from massieu.states.inversion import carried, inverted_through
from massieu.states.pair_flow import PairFlow
from massieu.states.slater import log_reference, reference_jet


class CorrelatedFlow(CorrelatedStates):
    """Phi_K for labels (1 + N,), as `CorrelatedStates` without backflow; one flow for all total momenta."""

    flow: PairFlow

    @property
    def walker_bytes(self) -> int:
        """Memory for the third and fourth derivatives of one walker."""
        n, dim = sum(self.spins), self.orbitals.shape[1]
        return super().walker_bytes + 8 * (4 * (n * dim) ** 3 + n * n * (3 * len(self.flow.vectors) + dim**4))

    def positions(self, points: Array) -> Array:
        """x = T(z) (N, dim)."""
        return self.flow.positions(self._coefficients(), points)

    def projected(self) -> CorrelatedFlow:
        """The same with the flow inside the bound that makes it a bijection."""
        return eqx.tree_at(lambda psi: psi.flow, self, self.flow.projected())

    def log_psi(self, label: Array, x: Array) -> Array:
        """Complex ln Phi_K(x), without the norm, by inversion of the flow."""
        z = inverted_through(self.flow, self._coefficients(), x)
        log_det = carried(self.flow, self._coefficients(), z)[1]
        return log_reference(self.reference(label), z, self.spins) - 0.5 * log_det + self.jastrow.log(x)

    def slope_of_sum(self, labels: Array, points: Array) -> Slope:
        """ln of sum_m |Phi_m|^2 dx/dz at z (N, dim), labels (m, 1 + N), and its gradient by z."""
        x, back = jax.vjp(self.positions, points)
        jastrow = self.jastrow.jet(x)
        log, gradient = mixed_slope(self, labels, points)
        (pulled,) = back(jastrow.gradient)
        return Slope(log + 2 * jastrow.log, gradient + 2 * pulled)

    def local_and_scores(self, label: Array, points: Array) -> tuple[Local, CorrelatedStates, Array]:
        """The same as of `CorrelatedStates`; at fixed x the flow moves z (see `FermionFlow.surrogate`)."""
        local, bare = self._local(label, points)
        found, gradients = self._jastrow_scores(local.x)
        pulls, volumes = jnp.stack([bare.real, bare.imag]), jnp.array([1.0, 0.0])
        own = self.flow.parameter_gradient(self._coefficients(), points, pulls, volumes)
        own = self.flow.spread(self._no_momentum(), own)
        return local, eqx.tree_at(lambda psi: psi.flow.coefficients, found, own[0] + 1j * own[1]), gradients

    def _local(self, label: Array, points: Array) -> tuple[Local, Array]:
        """And d ln (Phi/J)/dx (N, dim)."""
        jet = self.flow.jet(self._coefficients(), points)
        jastrow = self.jastrow.jet(jet.x)
        slater = reference_jet(self.reference(label), points, jet.metric(len(points)), self.spins)
        gradient, kinetic = jet._replace(
            half_gradient=jet.half_gradient + jastrow.gradient.reshape(-1),
            half_laplacian=jet.half_laplacian + jastrow.laplacian,
        ).local(slater.gradient, slater.curvature)
        log_abs = slater.log_abs - 0.5 * jet.log_det + jastrow.log
        return Local(jet.x, gradient, kinetic, log_abs, jet.least), gradient - jastrow.gradient

    def _no_momentum(self) -> Array:
        return jnp.zeros(self.orbitals.shape[1], int)

    def _coefficients(self) -> Array:
        return self.flow.of_momentum(self._no_momentum())
