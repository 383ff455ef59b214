"""Correlated states of a few electrons in a trap: oscillator determinants with one Jastrow factor, mixed in sectors.

    Psi_k(x) = e^{J(x)} sum_a C_ak D_a(x),     a of one angular momentum (parity on a line, both in space)

D_a are Slater determinants of oscillator orbitals, sampled directly.  As (-lap + r^2)/2 D_a = E_a D_a, Laplacians need
first derivatives alone.
"""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.linear_algebra import inverse_and_log_det
from massieu.states.correlated import Slope
from massieu.states.determinants import Apart, Local
from massieu.states.oscillator import orbital_jet
from massieu.states.sectors import Sectors
from massieu.states.slater import Bare, each_spin
from massieu.states.trap_jastrow import TrapJastrow
from massieu.states.trapped import TrappedFlow

PROPOSALS = 30  # for each position that is kept of an evaluation
CHUNK = 16


class TrappedCorrelated(eqx.Module):
    """Psi_k for labels (1 + N,): 0, then indices into `orbitals` (M, dim), rising within each spin; N electrons.

    oscillator: the determinants without anything on them, for their direct samples.  The centre of mass of the Psi_k is
    in its ground state; of rho it is at inverse temperature beta, a factor of its own (`apart`).
    """

    beta: float = eqx.field(static=True)
    oscillator: TrappedFlow
    jastrow: TrapJastrow
    mixing: Sectors | None
    backflow: None = None

    treatment = "sectors"

    @property
    def spins(self) -> tuple[int, ...]:
        """Electrons up and down."""
        return self.oscillator.spins

    @property
    def orbitals(self) -> np.ndarray:
        """Quantum numbers (M, dim)."""
        return self.oscillator.orbitals

    @property
    def twist(self) -> np.ndarray:
        """One boundary condition (1, dim)."""
        return self.oscillator.twist

    @property
    def walker_bytes(self) -> int:
        """Memory for the derivatives of one walker."""
        return 16 * len(self.orbitals) * sum(self.spins) * (2 + self.orbitals.shape[1]) ** 2

    @property
    def spacing(self) -> float:
        """Of the electrons, about."""
        return 2.0

    def bare(self, sets: Array, x: Array) -> Bare:
        """The determinants of sets (m, N) at x (N, dim)."""
        jet = orbital_jet(jnp.asarray(self.orbitals), x, self.oscillator.most)
        levels = np.sum(self.orbitals, axis=1) + 0.5 * x.shape[1]
        phase, log_abs = jnp.ones(len(sets), complex), jnp.zeros(len(sets))
        gradients = []
        for of in each_spin(self.spins):
            value, first = jet.value[:, of][sets[:, of]], jet.first[:, of][sets[:, of]]  # (m, orbital, electron, ..)
            inverse, own, log = jax.vmap(inverse_and_log_det)(value + 0j)
            phase, log_abs = phase * own, log_abs + log - 0.5 * math.lgamma(of.stop - of.start + 1)
            gradients.append(jnp.einsum("mji,mijd->mjd", inverse, first))
        laplacian = jnp.sum(x**2) - 2 * jnp.sum(jnp.asarray(levels)[sets], axis=1)
        return Bare(phase, log_abs, jnp.concatenate(gradients, axis=1), laplacian)

    def sample_set(self, key: Array, occupied: Array) -> Array:
        """x (N, dim) from |D_K|^2 of the orbitals K (N,)."""
        return self.sample_determinants(key, jnp.pad(occupied, (1, 0))[None])[0]

    def sample_determinants(self, key: Array, labels: Array) -> Array:
        """x (B, N, dim) from |D_K|^2 for labels (B, 1 + N): where chains start from."""
        return self.oscillator.sample(key, labels)

    def apart(self, beta: float) -> Apart:
        """The centre of mass, an oscillator in each dimension."""
        dim = self.orbitals.shape[1]
        if math.isinf(beta):
            return Apart()
        F, E = math.log(-math.expm1(-beta)) / beta, 1 / math.expm1(beta)
        return Apart(dim * F, dim * E, dim * beta * (E - F), dim * (0.5 * beta / math.sinh(0.5 * beta)) ** 2)

    def thermal(self, key: Array, x: Array) -> Array:
        """x (N, dim) with a centre of mass from its thermal density."""
        n, dim = x.shape
        spread = math.sqrt(0.5 / n / math.tanh(0.5 * self.beta))
        return x - jnp.mean(x, axis=0, keepdims=True) + spread * jax.random.normal(key, (1, dim))

    def wrapped(self, points: Array) -> Array:
        """Points of the chains, anywhere."""
        return points

    def projected(self) -> TrappedCorrelated:
        """The same: J may be anything."""
        return self

    def log_psi(self, label: Array, x: Array) -> Array:
        """Complex ln Psi_k(x), without the norm."""
        if self.mixing is None:
            sets, coefficients = label[None, 1:], jnp.ones((1, 1))
        else:
            sets, coefficients = self.mixing.expand(label[1:])
        shift, bare = self.jastrow.log(x), self.bare(sets, x)
        factors = self.jastrow.factors()[: coefficients.shape[1]]
        amplitudes = coefficients @ jnp.stack([jnp.exp(factor.log(x) - shift) for factor in factors])
        top = jnp.max(bare.log_abs)
        return shift + top + jnp.log(jnp.sum(amplitudes * bare.phase * jnp.exp(bare.log_abs - top)))

    def drawn(self, key: Array, labels: Array) -> dict[str, Array]:
        """Positions x (B, N, dim) from |Psi_k|^2 of labels (B, 1 + N), the centre of mass at its temperature."""
        keys = jax.random.split(key, len(labels))
        return {"x": jax.lax.map(lambda args: self._drawn(*args), (keys, labels), batch_size=CHUNK)}

    def _drawn(self, key: Array, label: Array) -> Array:
        """Metropolis with independent proposals from the state's own determinants, sum_a C_a^2 |D_a|^2."""
        assert self.mixing is not None
        sets, coefficients = self.mixing.expand(label[1:])
        weights = jnp.sum(coefficients**2, axis=1)
        weights = weights / jnp.sum(weights)
        of_chain, of_centre = jax.random.split(key)

        def proposed(key: Array) -> tuple[Array, Array]:
            choose, place = jax.random.split(key)
            x = self.sample_set(place, sets[jax.random.categorical(choose, jnp.log(weights))])
            density = jax.nn.logsumexp(2 * self.bare(sets, x).log_abs, b=weights)
            return x, 2 * self.log_psi(label, x).real - density

        def step(state: tuple[Array, Array], key: Array) -> tuple[tuple[Array, Array], None]:
            coin, place = jax.random.split(key)
            new = proposed(place)
            accept = jnp.log(jax.random.uniform(coin)) < new[1] - state[1]
            return jax.tree.map(lambda a, b: jnp.where(accept, a, b), new, state), None

        first, *others = jax.random.split(of_chain, PROPOSALS)
        x = jax.lax.scan(step, proposed(first), jnp.stack(others))[0][0]
        return self.thermal(of_centre, x)

    def slope(self, label: Array, x: Array) -> Slope:
        """ln|e^J D_K|^2 of one determinant and its gradient at x (N, dim)."""
        bare, jastrow = self.bare(label[None, 1:], x), self.jastrow.jet(x)
        return Slope(2 * (bare.log_abs[0] + jastrow.log), 2 * (bare.gradient[0].real + jastrow.gradient))

    def local_and_scores(self, label: Array, x: Array) -> tuple[Local, TrappedCorrelated, Array]:
        """Of e^J D_K: the local kinetic energy, d ln Phi by every parameter, gradients (parameters, N dim) of those."""
        bare, jastrow = self.bare(label[None, 1:], x), self.jastrow.jet(x)
        slope = bare.gradient[0]
        crossed = 2 * jnp.sum(slope * jastrow.gradient) + jnp.sum(jastrow.gradient**2)
        kinetic = -(bare.laplacian[0] + crossed + jastrow.laplacian)
        local = Local(x, slope + jastrow.gradient, kinetic, bare.log_abs[0] + jastrow.log, jnp.asarray(jnp.inf))
        values, moved = self.jastrow.scores(x)
        return local, eqx.tree_at(lambda psi: psi.jastrow, self, values), moved.shapes.reshape(-1, x.size)
