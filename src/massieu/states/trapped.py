"""The orthonormal family Psi_n = U|n> of particles in a harmonic trap: oscillator states carried by a unitary flow.

    Psi_n(x) = D_n(z) / sqrt(det dx/dz),   x = T(z)

D_n is a Slater determinant for each spin (fermions), a permanent (bosons) or a product (distinguishable particles) of
oscillator orbitals.  Overlaps are those of the D_n because T is a bijection; |D_n|^2 is sampled directly, determinants
electron by electron (Hough, Krishnapur, Peres and Virag, Probability Surveys 3, 206 (2006)).
"""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.linear_algebra import inverse_and_log_det, permanent
from massieu.physics.kinetic import second_derivative
from massieu.states.determinants import Local
from massieu.states.inversion import inverted_through
from massieu.states.oscillator import Proposals, angular_momentum, orbital_jet, orbital_values
from massieu.states.radial_flow import RadialFlow
from massieu.states.slater import SlaterJet, each_spin, joined

SECTORS = {1: 2, 2: 8, 3: 2}  # by dimension
STATISTICS = ("fermi", "bose", "boltzmann")


class TrappedFlow(eqx.Module):
    """Psi_n for labels (1 + N,): 0, then indices into `orbitals` (M, dim); rising within each spin for fermions."""

    spins: tuple[int, ...] = eqx.field(static=True)
    statistics: str = eqx.field(static=True)
    most: int = eqx.field(static=True)
    orbitals: np.ndarray
    proposals: Proposals
    flow: RadialFlow
    mixing: None = None

    def __init__(self, spins: tuple[int, ...], statistics: str, orbitals: np.ndarray, flow: RadialFlow):
        self.spins, self.statistics, self.orbitals, self.flow = spins, statistics, orbitals, flow
        self.most = int(orbitals.max())
        self.proposals = Proposals.of(orbitals.shape[1], self.most)

    @property
    def twist(self) -> np.ndarray:
        """One boundary condition (1, dim)."""
        return np.zeros((1, self.orbitals.shape[1]))

    @property
    def walker_bytes(self) -> int:
        """Memory for the derivatives of one walker."""
        n, dim = sum(self.spins), self.orbitals.shape[1]
        return 8 * (6 * (n * dim) ** 3 + n * n * dim**4 + 16 * (self.most + 3) ** 2 * n)

    @property
    def score_bytes(self) -> int:
        """Memory for the scores of one walker."""
        return 8 * 64 * sum(self.spins) ** 2 * self.flow.basis.size

    def numbers(self, label: Array) -> Array:
        """Quantum numbers (N, dim) of a label."""
        return jnp.asarray(self.orbitals)[label[1:]]

    def coefficients(self, label: Array) -> Array:
        """The flow's coefficients in the sector of a label: |L| in the plane, else the parity of all quanta."""
        numbers = self.numbers(label)
        if numbers.shape[1] == 2:
            turning = jnp.abs(jnp.sum(angular_momentum(numbers)))
            return self.flow.of_sector(jnp.minimum(turning, SECTORS[2] - 1))
        return self.flow.of_sector(jnp.sum(numbers) % 2)

    # ---- the states that the flow carries

    def log_base(self, label: Array, z: Array) -> Array:
        """Complex ln D_n(z)."""
        numbers = self.numbers(label)
        if self.statistics == "boltzmann":
            phi = jax.vmap(lambda k, z: orbital_values(k[None], z[None], self.most)[0, 0])(numbers, z)
            return jnp.sum(jnp.log(phi + 0j))
        if self.statistics == "bose":
            phi = orbital_values(numbers, z, self.most)
            return jnp.log(permanent(phi) + 0j) - 0.5 * (math.lgamma(len(z) + 1) + _log_repeats(label[1:]))
        total = jnp.zeros((), complex)
        for of in each_spin(self.spins):
            _, phase, log_abs = inverse_and_log_det(orbital_values(numbers[of], z[of], self.most))
            total = total + log_abs + jnp.log(phase + 0j) - 0.5 * math.lgamma(of.stop - of.start + 1)
        return total

    def log_base_density(self, label: Array, z: Array) -> Array:
        """ln |D_n(z)|^2."""
        return 2 * self.log_base(label, z).real

    def base_jet(self, label: Array, z: Array, metric: Array) -> SlaterJet:
        """ln|D|, its phase, gradient, and second derivatives contracted with a metric (N, dim, N, dim)."""
        if self.statistics != "fermi":
            return self._jet_by_differentiation(label, z, metric)
        numbers, parts = self.numbers(label), []
        for of in each_spin(self.spins):
            jet = orbital_jet(numbers[of], z[of], self.most)
            parts.append(_determinant_jet(jet, metric[of, :, of, :]))
        return joined(parts)

    def _jet_by_differentiation(self, label: Array, z: Array, metric: Array) -> SlaterJet:
        flat, size = z.reshape(-1), z.size
        root = jnp.linalg.cholesky(metric.reshape(size, size))

        def log_base(flat: Array) -> Array:
            return self.log_base(label, flat.reshape(z.shape))

        value = log_base(flat)
        gradient = jax.vmap(lambda v: jax.jvp(log_base, (flat,), (v,))[1])(jnp.eye(size))
        curvature = jnp.sum(jax.vmap(lambda v: second_derivative(log_base, flat, v))(root.T))
        return SlaterJet(value.real, jnp.exp(1j * value.imag), gradient.reshape(z.shape), curvature)

    # ---- sampling

    def sample(self, key: Array, labels: Array) -> Array:
        """z (B, N, dim) from |D_n|^2 for labels (B, 1 + N): T(z) are samples of |Psi_n|^2."""
        draw = {"fermi": self._determinants, "bose": self._permanent, "boltzmann": self._product}[self.statistics]
        return jax.vmap(draw)(jax.random.split(key, len(labels)), labels)

    def _determinants(self, key: Array, label: Array) -> Array:
        numbers, slices = self.numbers(label), each_spin(self.spins)
        keys = jax.random.split(key, len(slices))
        return jnp.concatenate([self._determinant(k, numbers[of]) for k, of in zip(keys, slices, strict=True)])

    def _determinant(self, key: Array, numbers: Array) -> Array:
        """One spin: the next electron has the density of what the placed ones leave of the occupied orbitals."""
        n, dim = numbers.shape
        tries, log_total = max(4, n), jnp.log(self.proposals.total(numbers))

        def place(state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
            placed, key, basis, z = state
            key, choose, at, coin = jax.random.split(key, 4)
            which = jax.random.categorical(choose, log_total, shape=(tries,))
            trial = jax.vmap(self.proposals.sample)(jax.random.split(at, tries), numbers[which])
            phi = orbital_values(numbers, trial, self.most).T + 0j
            overlap = phi @ basis.conj().T
            left = jnp.sum(jnp.abs(phi) ** 2, axis=1) - jnp.sum(jnp.abs(overlap) ** 2, axis=1)
            above = jax.vmap(lambda z: jnp.sum(self.proposals.density(numbers, z)))(trial)
            accepted = jax.random.uniform(coin, (tries,)) * above < left
            first = jnp.argmax(accepted)
            good = accepted[first] & (placed < n)
            vector = phi[first] - overlap[first] @ basis
            vector = vector - (basis.conj() @ vector) @ basis  # twice is enough (Kahan)
            vector = vector / jnp.sqrt(jnp.sum(jnp.abs(vector) ** 2) + 1e-300)
            here = (jnp.arange(n) == placed)[:, None] & good
            return placed + good, key, jnp.where(here, vector, basis), jnp.where(here, trial[first], z)

        start = (jnp.asarray(0), key, jnp.zeros((n, n), complex), jnp.zeros((n, dim)))
        return jax.lax.while_loop(lambda state: state[0] < n, place, start)[3]

    def _product(self, key: Array, label: Array) -> Array:
        numbers = self.numbers(label)

        def one(key: Array, k: Array) -> Array:
            def again(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
                key, at, coin = jax.random.split(state[0], 3)
                z = self.proposals.sample(at, k)
                density = jnp.abs(orbital_values(k[None], z[None], self.most)[0, 0]) ** 2
                above = self.proposals.density(k[None], z)[0]
                return key, z, jax.random.uniform(coin) * above < density

            start = (key, jnp.zeros(len(k)), jnp.asarray(False))
            return jax.lax.while_loop(lambda state: ~state[2], again, start)[1]

        return jax.vmap(one)(jax.random.split(key, len(numbers)), numbers)

    def _permanent(self, key: Array, label: Array) -> Array:
        """By rejection from the mixture of products over permutations: |perm A|^2 <= N! perm |A|^2."""
        n = len(label) - 1

        def again(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            key, deal, at, coin = jax.random.split(state[0], 4)
            order = jax.random.permutation(deal, n)
            z = self._product(at, jnp.concatenate([label[:1], label[1:][order]]))
            phi = orbital_values(self.numbers(label), z, self.most)
            share = jnp.abs(permanent(phi)) ** 2 / (math.factorial(n) * permanent(jnp.abs(phi) ** 2))
            return key, z, jax.random.uniform(coin) < share

        start = (key, jnp.zeros((n, self.orbitals.shape[1])), jnp.asarray(False))
        return jax.lax.while_loop(lambda state: ~state[2], again, start)[1]

    # ---- what training and evaluation ask for

    def local(self, label: Array, z: Array) -> Local:
        """T(z) with the local kinetic energy (in units of -Laplacian), from the propagated derivatives."""
        n, dim = z.shape
        jet = self.flow.jet(self.coefficients(label), z)
        metric = (jet.jacobian @ jet.jacobian.T).reshape(n, dim, n, dim)
        base = self.base_jet(label, z, metric)
        slope = base.gradient.reshape(-1)
        gradient = jet.jacobian.T @ slope + jet.half_gradient
        laplacian = base.curvature + slope @ jet.laplacian + jet.half_laplacian
        kinetic = -(laplacian + jnp.sum(gradient * gradient)) + 0j
        return Local(jet.x, gradient.reshape(n, dim) + 0j, kinetic, base.log_abs - 0.5 * jet.log_det, jet.least)

    def scores(self, label: Array, z: Array, gradient: Array) -> TrappedFlow:
        """Re and Im of d ln Psi_n(x) by the flow's coefficients at fixed x = T(z): coefficients (2, ...)."""
        pulls = jnp.stack([gradient.real, gradient.imag])

        def surrogates(c: Array) -> Array:
            x, log_det = self.flow(c, z)
            return jnp.array([-0.5, 0.0]) * log_det - jnp.einsum("rja,ja->r", pulls, x)

        own, spread = jax.vjp(lambda c: self._with(c).coefficients(label), self.flow.coefficients)
        each = jax.vmap(lambda row: spread(row)[0])(jax.jacrev(surrogates)(own))
        return self._with(each)

    def _with(self, coefficients: Array) -> TrappedFlow:
        return eqx.tree_at(lambda psi: psi.flow.coefficients, self, coefficients)

    def log_psi(self, label: Array, x: Array, near: Array) -> Array:
        """Complex ln Psi_n(x), by Newton steps from a base point `near` with T(near) = x: the slow oracle for tests."""
        z = jax.lax.stop_gradient(near)
        for _ in range(2):
            z = self._newton(label, z, x)
        return self.log_base(label, z) - 0.5 * self.flow(self.coefficients(label), z)[1]

    def inverse(self, label: Array, x: Array) -> Array:
        """z with T(z) = x."""
        return inverted_through(self.flow, self.coefficients(label), x)

    def _newton(self, label: Array, z: Array, x: Array) -> Array:
        moved, jacobian = z, jnp.eye(z.size)
        for of_layer in self.coefficients(label):
            moved, of = self.flow.layer(of_layer, moved)
            jacobian = of @ jacobian
        return z - (inverse_and_log_det(jacobian)[0] @ (moved - x).reshape(-1)).reshape(z.shape)

    def projected(self) -> TrappedFlow:
        """The same family with the flow inside the bound that makes it a bijection."""
        return eqx.tree_at(lambda psi: psi.flow, self, self.flow.projected())


def _determinant_jet(orbitals, metric: Array) -> SlaterJet:
    """One determinant of orbitals with their derivatives; metric (N, dim, N, dim)."""
    inverse, phase, log_abs = inverse_and_log_det(orbitals.value)  # (electron, orbital)
    first = jnp.einsum("ji,ima->ajm", inverse, orbitals.first)
    second = jnp.einsum("ji,ijab->jab", inverse, orbitals.second)
    own = jnp.einsum("jajb,jab->", metric, second)
    crossed = jnp.einsum("jamb,amj,bjm->", metric, first, first)
    log_abs = log_abs - 0.5 * math.lgamma(len(inverse) + 1)
    return SlaterJet(log_abs, phase, jnp.einsum("ajj->ja", first), own - crossed)


def _log_repeats(occupied: Array) -> Array:
    """ln prod_k n_k! of the numbers of bosons in each orbital: each boson counts those before it in the same one."""
    same = occupied[:, None] == occupied[None]
    return jnp.sum(jnp.log(jnp.sum(jnp.tril(same), axis=1)))
