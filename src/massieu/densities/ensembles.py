"""Exactly solvable, permutation-invariant densities of particles: what a flow starts from.

Eigenvalues of random matrices repel each other as charges do, come as independent samples with a closed-form
density, and carry the N! of labelled particles for free.
"""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flowjax.distributions import AbstractDistribution
from jax import Array


class Gaussian(AbstractDistribution):
    """Independent particles: p(x) = prod exp(-x_i^2) / pi^{d/2}; shape (n, dim)."""

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, n: int, dim: int):
        self.shape, self.cond_shape = (n, dim), None

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        return -jnp.sum(x**2) - 0.5 * x.size * math.log(math.pi)

    def _sample(self, key: Array, condition: Array | None = None) -> Array:
        return jax.random.normal(key, self.shape) / math.sqrt(2)


class Ginibre(AbstractDistribution):
    """Eigenvalues of a complex Gaussian matrix, p = prod_{i<j} |z_i - z_j|^2 exp(-sum |z_i|^2) / (pi^n prod_{k<=n} k!).

    This is the two-dimensional one-component plasma at coupling Gamma = 2 in a harmonic trap (Ginibre 1965); shape
    (n, 2).  The labels are permuted at random, as the density of labelled particles asks.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, n: int):
        self.shape, self.cond_shape = (n, 2), None

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        n = self.shape[0]
        log_norm = n * math.log(math.pi) + sum(math.lgamma(k + 1) for k in range(1, n + 1))
        return jnp.sum(jnp.log(squared_distances(x))) - jnp.sum(x**2) - log_norm

    def _sample(self, key: Array, condition: Array | None = None) -> Array:
        n = self.shape[0]
        k1, k2 = jax.random.split(key)
        g = jax.random.normal(k1, (2, n, n)) / math.sqrt(2)
        z = jax.random.permutation(k2, jnp.linalg.eigvals(g[0] + 1j * g[1]))
        return jnp.stack([z.real, z.imag], axis=-1)


class Hermite(AbstractDistribution):
    """Particles on a line, p ~ prod_{i<j} |x_i - x_j|^{2 gamma} exp(-sum x_i^2 / 2); shape (n, 1).

    Eigenvalues of the tridiagonal matrix of Dumitriu and Edelman, J. Math. Phys. 43, 5830 (2002); the norm is
    Mehta's integral.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)
    gamma: float = eqx.field(static=True)

    def __init__(self, n: int, gamma: float):
        self.shape, self.cond_shape, self.gamma = (n, 1), None, gamma

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        n, g = self.shape[0], self.gamma
        log_norm = 0.5 * n * math.log(2 * math.pi)
        log_norm += sum(math.lgamma(1 + j * g) - math.lgamma(1 + g) for j in range(1, n + 1))
        return g * jnp.sum(jnp.log(squared_distances(x))) - 0.5 * jnp.sum(x**2) - log_norm

    def _sample(self, key: Array, condition: Array | None = None) -> Array:
        n = self.shape[0]
        k1, k2, k3 = jax.random.split(key, 3)
        chi = jnp.sqrt(jax.random.chisquare(k2, 2 * self.gamma * jnp.arange(n - 1, 0, -1.0)))
        side = jnp.diag(chi, 1) / math.sqrt(2)
        x = jnp.linalg.eigvalsh(jnp.diag(jax.random.normal(k1, (n,))) + side + side.T)
        return jax.random.permutation(k3, x)[:, None]


def squared_distances(x: Array) -> Array:
    """|x_i - x_j|^2 of all pairs i < j, (n (n-1)/2,), without the zero diagonal (whose root has no derivative)."""
    i, j = np.triu_indices(len(x), 1)
    return jnp.sum((x[i] - x[j]) ** 2, axis=-1)
