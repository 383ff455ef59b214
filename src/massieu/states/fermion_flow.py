"""The orthonormal family Psi_K = U |K> of electrons in a periodic box: Slater determinants carried by a unitary flow.

    Psi_K(x) = D_K(z) / sqrt(det dx/dz),   x = T(z)

Overlaps of the Psi_K are those of the determinants, because T is a bijection: sum_K p(K) |Psi_K><Psi_K| has the
entropy of p.  Samples of |Psi_K|^2 are T of samples of |D_K|^2, which need no Markov chain.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from massieu.linear_algebra import inverse_and_log_det
from massieu.states.determinants import Determinants, Local
from massieu.states.pair_flow import PairFlow
from massieu.states.slater import log_reference, reference_jet, sample_references


class FermionFlow(Determinants):
    """Psi_K for labels (1 + N,): the index of the twist, then indices into `orbitals`, rising within each spin."""

    flow: PairFlow

    @property
    def walker_bytes(self) -> int:
        """Memory for the third and fourth derivatives of one walker."""
        n, dim = sum(self.spins), self.orbitals.shape[1]
        return 8 * (4 * (n * dim) ** 3 + n * n * (3 * len(self.flow.vectors) + dim**4))

    @property
    def score_bytes(self) -> int:
        """Memory for the pair sums over Fourier vectors of one walker."""
        return 8 * 8 * sum(self.spins) ** 2 * len(self.flow.vectors)

    def coefficients(self, label: Array) -> Array:
        """The flow's coefficients for the total momentum of K."""
        return self.flow.of_momentum(jnp.sum(jnp.asarray(self.orbitals)[label[1:]], axis=0))

    def sample(self, key: Array, labels: Array) -> Array:
        """z (B, N, dim) from |D_K|^2 for labels (B, 1 + N): T(z) are samples of |Psi_K|^2."""
        return sample_references(key, jax.vmap(self.reference)(labels), self.spins)

    def log_base_density(self, label: Array, z: Array) -> Array:
        """ln |D_K(z)|^2: what Markov chains over the base points sample."""
        return 2 * log_reference(self.reference(label), z, self.spins).real

    def local(self, label: Array, z: Array) -> Local:
        """T(z) with the local kinetic energy, from the hand-propagated derivatives."""
        jet = self.flow.jet(self.coefficients(label), z)
        slater = reference_jet(self.reference(label), z, jet.metric(len(z)), self.spins)
        gradient, kinetic = jet.local(slater.gradient, slater.curvature)
        log_abs = slater.log_abs - 0.5 * jet.log_det
        return Local(jet.x, gradient, kinetic, log_abs, jet.least)

    def surrogate(self, label: Array, z: Array, gradient: Array) -> Array:
        """Re and Im (2,) of a function whose derivative by the parameters is that of ln Psi_K(x) at fixed x = T(z).

        At fixed x the base point moves by -(dz/dx) dT, so d ln Psi = -1/2 d ln det dx/dz|_z - grad_x ln Psi . dT|_z.
        """
        x, log_det = self.flow(self.coefficients(label), z)
        pull = jax.lax.stop_gradient(gradient)
        return jnp.stack([-0.5 * log_det - jnp.sum(pull.real * x), -jnp.sum(pull.imag * x)])

    def scores(self, label: Array, z: Array, gradient: Array) -> FermionFlow:
        """The derivative of `surrogate` by the parameters, by hand: a family whose coefficients are (2, ...)."""
        pulls = jnp.stack([gradient.real, gradient.imag])
        own = self.flow.parameter_gradient(self.coefficients(label), z, pulls, jnp.array([1.0, 0.0]))
        total = jnp.sum(jnp.asarray(self.orbitals)[label[1:]], axis=0)
        return eqx.tree_at(lambda psi: psi.flow.coefficients, self, self.flow.spread(total, own))

    def log_psi(self, label: Array, x: Array, near: Array) -> Array:
        """Complex ln Psi_K(x), by two Newton steps from a base point `near` with T(near) = x.

        At the solution two steps are exact in value and in all derivatives up to the third: the slow oracle for tests.
        """
        c, z = self.coefficients(label), jax.lax.stop_gradient(near)
        for _ in range(2):
            z = self._newton(c, z, x)
        return log_reference(self.reference(label), z, self.spins) - 0.5 * self.flow(c, z)[1]

    def inverse(self, label: Array, x: Array, near: Array, steps: int = 30) -> Array:
        """z with T(z) = x, by Newton's method from a guess."""
        c = self.coefficients(label)
        return jax.lax.fori_loop(0, steps, lambda _, z: self._newton(c, z, x), near)

    def _newton(self, c: Array, z: Array, x: Array) -> Array:
        moved, jacobian = z, jnp.eye(z.size)
        for of_layer in c:
            moved, of = self.flow.layer(of_layer, moved)
            jacobian = of @ jacobian
        miss = moved - x
        miss = (miss - jnp.round(jax.lax.stop_gradient(miss))).reshape(-1)
        return z - (inverse_and_log_det(jacobian)[0] @ miss).reshape(z.shape)

    def projected(self) -> FermionFlow:
        """The same family with the flow inside the bound that makes it a bijection."""
        return eqx.tree_at(lambda psi: psi.flow, self, self.flow.projected())
