"""Correlated states of electrons in a periodic box: one Jastrow factor and one backflow for all determinants.

    Phi_K(x) = e^{J(x)} D_K(zeta(x)) / |..|

They are not orthogonal, but J and zeta commute with translations, so that states of different total momentum are: F of
sum_K p(K) |Phi_K><Phi_K| is bounded by their overlaps (principle.py), which are small.  The norms are unknown and
depend on K: samples of |Phi_K|^2 come from a Markov chain at that K.
"""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.sampling import in_unit_box
from massieu.states.backflow import Backflow
from massieu.states.determinants import Apart, Determinants, Local
from massieu.states.jastrow import Jastrow
from massieu.states.pair_flow import FlowJet
from massieu.states.sectors import Sectors
from massieu.states.slater import (
    Bare,
    Reference,
    determinant_slope,
    each_spin,
    joined,
    log_reference,
    reference_jet,
    reference_slope,
    sample_product,
    sample_references,
)


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

    @property
    def spacing(self) -> float:
        """Of the electrons, in units of the box."""
        return float(sum(self.spins) ** (-1 / self.orbitals.shape[1]))

    def sample_determinants(self, key: Array, labels: Array) -> Array:
        """x (B, N, dim) from |D_K|^2 for labels (B, 1 + N): where chains start from."""
        return sample_references(key, jax.vmap(self.reference)(labels), self.spins)

    def bare(self, sets: Array, x: Array) -> Bare:
        """The determinants of sets (m, N) at the first twist, at x (N, dim)."""
        k = self.momenta(jnp.asarray(0), sets)
        jets = jax.vmap(lambda k: joined([determinant_slope(k[of], x[of]) for of in each_spin(self.spins)]))(k)
        laplacian = -((2 * math.pi) ** 2) * jnp.sum(k**2, axis=(1, 2))
        return Bare(jets.phase, jets.log_abs, jets.gradient, laplacian)

    def sample_set(self, key: Array, occupied: Array) -> Array:
        """x (N, dim) from |D_K|^2 of the orbitals K (N,)."""
        return sample_product(key, self.momenta(jnp.asarray(0), occupied[None])[0], self.spins)

    def apart(self, beta: float) -> Apart:
        """Nothing: the states are those of all electrons."""
        return Apart()

    def thermal(self, key: Array, x: Array) -> Array:
        """x (N, dim) with what is apart at its temperature: as it is."""
        return x

    def drawn(self, key: Array, labels: Array) -> dict[str, Array]:
        """What is kept of labels (B, 1 + N) beside them: nothing, positions have chains of their own."""
        return {}

    def wrapped(self, points: Array) -> Array:
        """Points of the chains in the unit box."""
        return in_unit_box(points)

    def positions(self, points: Array) -> Array:
        """Positions x (N, dim) of a point of the chains: the same, unless a flow carries it."""
        return points

    def projected(self) -> CorrelatedStates:
        """The same within what keeps it well defined: J and backflow may be anything."""
        return self

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
        """ln|Phi|^2 and its gradient at x (N, dim)."""
        return self.slope_of_sum(label[None], x)

    def slope_of_sum(self, labels: Array, x: Array) -> Slope:
        """The same of sum_m |Phi_m|^2, labels (m, 1 + N)."""
        jastrow = self.jastrow.jet(x)
        moved = None if self.backflow is None else self.backflow.jet(x)
        zeta = x if moved is None else moved.zeta
        log, gradient = mixed_slope(self, labels, zeta)
        if moved is not None:
            gradient = (moved.jacobian.T @ gradient.reshape(-1)).reshape(x.shape)
        return Slope(log + 2 * jastrow.log, gradient + 2 * jastrow.gradient)

    def local(self, label: Array, x: Array) -> Local:
        """The local kinetic energy at x, from the hand-propagated derivatives."""
        return self._local(label, x)[0]

    def local_and_scores(self, label: Array, x: Array) -> tuple[Local, CorrelatedStates, Array]:
        """The same, d ln Phi by every parameter (complex), and the gradients (parameters of J, N dim) of those of J."""
        local, slope = self._local(label, x)
        found, gradients = self._jastrow_scores(x)
        if self.backflow is not None:
            found = eqx.tree_at(lambda psi: psi.backflow, found, self.backflow.scores(x, slope))
        return local, found, gradients

    def _jastrow_scores(self, x: Array) -> tuple[CorrelatedStates, Array]:
        """Those of the parameters of J, and their gradients (parameters, N dim)."""
        values, moved = self.jastrow.scores(x)
        gradients = [leaf.reshape(-1, x.size) for leaf in (moved.pairs, moved.waves)]
        return eqx.tree_at(lambda psi: psi.jastrow, self, values), jnp.concatenate(gradients)

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


def mixed_slope(psi: CorrelatedStates, labels: Array, zeta: Array) -> tuple[Array, Array]:
    """ln of sum_m |D_m(zeta)|^2 for labels (m, 1 + N), and its gradient by zeta (N, dim)."""
    slater = jax.vmap(lambda label: reference_slope(psi.reference(label), zeta, psi.spins))(labels)
    log = 2 * slater.log_abs
    return jax.nn.logsumexp(log), 2 * jnp.tensordot(jax.nn.softmax(log), slater.gradient.real, 1)
