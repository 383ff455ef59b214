"""E_K as a function of K: a linear model of the measured energies, from which p(K) is trained without more sampling.

    E_K = E0_K + a + b E0_K + c X_K + sum_s w_s n_s(K) + sum_c v_c n_c(K)

E0 is the kinetic energy of the plane waves, X the exchange energy of the bare interaction, n_s the electrons in shell s
and n_c the pairs of class c (those of `Occupation`, so that p can follow).  One walker's energy is 10 to 100 times as
noisy as the differences that matter: the model is a ridge regression on everything seen so far, later samples counting
more as the states change (weights proportional to the step), with prior widths chosen by their evidence.
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

WIDTHS = (0.1, 0.3, 1.0, 3.0)  # factors of the prior widths that the evidence chooses from
SHELLS, PAIRS = 0.03, 0.003  # prior widths of w and v, in units of the Fermi energy
BROAD = 30.0  # of a, b and c


class Sums(NamedTuple):
    """Weighted sums over samples: features by features (m, m), features by residuals (m,), residuals squared, number.

    noise: sum of the variances of the samples' means.
    """

    square: Array
    product: Array
    residual: Array
    weight: Array
    noise: Array

    @property
    def variance(self) -> Array:
        """Of one sample about its E_K."""
        return self.noise / jnp.maximum(self.weight, 1e-30)


class Levels(eqx.Module):
    """The features of sets K: orbitals' energies (Q, M), shells (M,), pair classes (kinds, M, M), exchange (M, M)."""

    spins: tuple[int, ...] = eqx.field(static=True)
    unit: float = eqx.field(static=True)  # energies are in units of it: the Fermi energy
    energies: np.ndarray
    shell: np.ndarray
    pair_class: np.ndarray
    exchange: np.ndarray

    @property
    def size(self) -> int:
        """Number of features m."""
        return 3 + int(self.shell.max()) + 1 + int(self.pair_class.max()) + 1

    @property
    def widths(self) -> np.ndarray:
        """Prior widths (m,) for the factor 1."""
        shells, pairs = int(self.shell.max()) + 1, int(self.pair_class.max()) + 1
        return np.concatenate([np.full(3, BROAD), np.full(shells, SHELLS), np.full(pairs, PAIRS)])

    def start(self) -> Sums:
        """Nothing seen."""
        m, zero = self.size, jnp.zeros(())
        return Sums(jnp.zeros((m, m)), jnp.zeros(m), zero, zero, zero)

    def plain(self, label: Array) -> Array:
        """E0_K of a label (1 + N,)."""
        return jnp.sum(jnp.asarray(self.energies)[label[0], label[1:]])

    def features(self, label: Array) -> Array:
        """(m,) of a label (1 + N,), in units of the Fermi energy."""
        occupied = label[1:]
        spin = np.repeat(np.arange(len(self.spins)), self.spins)
        i, j = np.triu_indices(len(spin), 1)
        other = (spin[i] != spin[j]).astype(int)
        equal = 1.0 - other
        exchange = -jnp.sum(equal * jnp.asarray(self.exchange)[occupied[i], occupied[j]])
        of_pairs = jnp.asarray(self.pair_class)[other, occupied[i], occupied[j]]
        shells = jnp.zeros(int(self.shell.max()) + 1).at[jnp.asarray(self.shell)[occupied]].add(1.0)
        pairs = jnp.zeros(int(self.pair_class.max()) + 1).at[of_pairs].add(1.0)
        first = jnp.stack([jnp.ones(()), self.plain(label) / self.unit, exchange / self.unit])
        return jnp.concatenate([first, shells, pairs])

    def seen(self, sums: Sums, labels: Array, energy: Array, variance: Array, counts: Array, step: Array) -> Sums:
        """The sums with the energies (G,) of labels (G, 1 + N) and the variances of them, where counts (G,) is 1."""
        phi = jax.vmap(self.features)(labels)
        y = (energy - jax.vmap(self.plain)(labels)) / self.unit
        kept = step / (step + 2.0)
        new = Sums(
            (phi * counts[:, None]).T @ phi,
            (counts * y) @ phi,
            jnp.sum(counts * y**2),
            jnp.sum(counts),
            jnp.sum(counts * variance) / self.unit**2,
        )
        return jax.tree.map(lambda old, new: kept * old + new, sums, new)

    def fitted(self, sums: Sums) -> Array:
        """The coefficients (m,) with the largest evidence, energies in units of `unit`."""
        noise = sums.variance + 1e-30
        widths, m = jnp.asarray(self.widths), self.size
        free = np.arange(m) < 3

        def of_factor(factor: float) -> tuple[Array, Array]:
            """ln evidence and coefficients: prior N(0, width^2), likelihood N(y, noise)."""
            width = jnp.where(free, widths, factor * widths)
            scaled = jnp.outer(width, width) * sums.square / noise + jnp.eye(m)
            lower = jnp.linalg.cholesky(scaled)
            rhs = width * sums.product / noise
            found = jax.scipy.linalg.cho_solve((lower, True), rhs)
            return 0.5 * rhs @ found - jnp.sum(jnp.log(jnp.diagonal(lower))), width * found

        evidence, coefficients = jax.lax.map(of_factor, jnp.array(WIDTHS))
        return coefficients[jnp.argmax(evidence)]

    def energy(self, coefficients: Array, label: Array) -> Array:
        """The model's E_K."""
        return self.plain(label) + self.unit * self.features(label) @ coefficients
