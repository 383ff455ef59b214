"""Correlated states of electrons in a periodic box: one Jastrow factor and one backflow for all determinants.

    Phi_K(x) = e^{J(x)} D_K(zeta(x)) / |..|

They are not orthogonal, but J and zeta commute with translations, so that states of different total momentum are: F of
sum_K p(K) |Phi_K><Phi_K| is bounded by Jensen's inequality (principle.py), with overlaps that are small.  The norms
are unknown and depend on K: samples of |Phi_K|^2 come from a Markov chain at that K.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.states.backflow import Backflow
from massieu.states.determinants import Determinants, Local
from massieu.states.jastrow import Jastrow
from massieu.states.pair_flow import FlowJet
from massieu.states.sectors import Sectors
from massieu.states.slater import Reference, log_reference, reference_jet, reference_slope, sample_references


class Slope(eqx.Module):
    """ln|Phi|^2 and its gradient (N, dim): what Markov chains move with."""

    log_density: Array
    gradient: Array


class CorrelatedStates(Determinants):
    """Phi_K for labels (1 + N,): the index of the twist, then indices into `orbitals`, rising within each spin."""

    jastrow: Jastrow
    backflow: Backflow | None

    @property
    def treatment(self) -> str:
        """How they are trained and evaluated: few electrons by sectors of one momentum."""
        return "correlated" if self.mixing is None else "sectors"

    @property
    def walker_bytes(self) -> int:
        """Memory for the derivatives of one walker."""
        n, dim = sum(self.spins), self.orbitals.shape[1]
        terms = len(self.jastrow.vectors) + (0 if self.backflow is None else n * len(self.backflow.vectors))
        return 16 * (4 * (n * dim) ** 2 + 20 * n * n + 2 * n * terms)

    def sample_determinants(self, key: Array, labels: Array) -> Array:
        """x (B, N, dim) from |D_K|^2 for labels (B, 1 + N): where chains start from."""
        return sample_references(key, jax.vmap(self.reference)(labels), self.spins)

    def log_psi(self, label: Array, x: Array) -> Array:
        """Complex ln Phi_K(x), without the norm; of few electrons sum_af C_af e^{J_f} D_a."""
        if isinstance(self.mixing, Sectors):
            sets, coefficients = self.mixing.expand(label[1:])
            shift = self.jastrow.log(x)
            of_factors = jnp.stack([jnp.exp(factor.log(x) - shift) for factor in self.jastrow.factors()])
            reference = Reference(self.momenta(label[0], sets), (coefficients @ of_factors).astype(complex))
            return log_reference(reference, x, self.spins) + shift
        zeta = x if self.backflow is None else self.backflow(x)
        return log_reference(self.reference(label), zeta, self.spins) + self.jastrow.log(x)

    def slope(self, label: Array, x: Array) -> Slope:
        """ln|Phi_K|^2 and its gradient at x (N, dim)."""
        jastrow = self.jastrow.jet(x)
        if self.backflow is None:
            slater = reference_slope(self.reference(label), x, self.spins)
            gradient = slater.gradient.real
        else:
            moved = self.backflow.jet(x)
            slater = reference_slope(self.reference(label), moved.zeta, self.spins)
            gradient = (moved.jacobian.T @ slater.gradient.real.reshape(-1)).reshape(x.shape)
        return Slope(2 * (slater.log_abs + jastrow.log), 2 * (gradient + jastrow.gradient))

    def local(self, label: Array, x: Array) -> Local:
        """The local kinetic energy at x, from the hand-propagated derivatives."""
        return self._local(label, x)[0]

    def local_and_scores(self, label: Array, x: Array) -> tuple[Local, CorrelatedStates, Array]:
        """The same, d ln Phi by every parameter (complex), and the gradients (parameters of J, N dim) of those of J."""
        local, slope = self._local(label, x)
        of_jastrow, moved = self.jastrow.scores(x)
        found = eqx.tree_at(lambda psi: psi.jastrow, self, of_jastrow)
        if self.backflow is not None:
            found = eqx.tree_at(lambda psi: psi.backflow, found, self.backflow.scores(x, slope))
        gradients = [leaf.reshape(-1, x.size) for leaf in (moved.pairs, moved.waves)]
        return local, found, jnp.concatenate(gradients)

    def _local(self, label: Array, x: Array) -> tuple[Local, Array]:
        """And d ln D/d zeta (N, dim)."""
        jastrow, zero, never = self.jastrow.jet(x), jnp.zeros(()), jnp.asarray(np.inf)
        if self.backflow is None:
            slater = reference_slope(self.reference(label), x, self.spins)
            gradient = slater.gradient + jastrow.gradient
            kinetic = -(slater.curvature + jastrow.laplacian + jnp.sum(gradient * gradient))
        else:
            moved = self.backflow.jet(x)
            jet = FlowJet(x, zero, moved.jacobian, moved.laplacian, jastrow.gradient.reshape(-1), jastrow.laplacian,
                          never)  # fmt: skip
            slater = reference_jet(self.reference(label), moved.zeta, jet.metric(len(x)), self.spins)
            gradient, kinetic = jet.local(slater.gradient, slater.curvature)
        return Local(x, gradient, kinetic, slater.log_abs + jastrow.log, never), slater.gradient
