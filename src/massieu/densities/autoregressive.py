"""Autoregressive densities of spins s_i = +-1: p(s) = prod_k p(s_k | s_<k), sampled directly.

A subclass gives the logits ln p(s_k=+1|s_<k) - ln p(s_k=-1|s_<k) twice: for a complete configuration at
once (`logits`, used for ln p and its gradient) and one site at a time from a cache (`next_logit`, used to
sample without evaluating the network anew for each site).  ln p is a sum of log-sigmoids, so every density
is normalised to machine precision.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flowjax.distributions import AbstractDistribution
from jax import Array

Cache = Any


class AbstractAutoregressive(AbstractDistribution):
    """Spins visited in a fixed `order`; rank k is the k-th spin visited, at site ``order[k]``."""

    discrete: ClassVar[bool] = True

    shape: eqx.AbstractVar[tuple[int, ...]]
    cond_shape: eqx.AbstractVar[tuple[int, ...] | None]
    order: eqx.AbstractVar[np.ndarray]

    @abstractmethod
    def logits(self, s: Array, condition: Array | None = None) -> Array:
        """All conditional logits (n,) of a configuration s (n,) given in rank order."""

    @abstractmethod
    def start(self, condition: Array | None = None) -> Cache:
        """The cache before the first spin is drawn."""

    @abstractmethod
    def next_logit(
        self, cache: Cache, k: Array, previous: Array, condition: Array | None = None
    ) -> tuple[Cache, Array]:
        """Take in the spin of rank k-1 (0 for k = 0); return the cache and the logit of rank k."""

    def choose(self, u: Array, logit: Array) -> Array:
        """The value that the uniform number u selects from a conditional."""
        return draw(u, logit)

    def log_conditional(self, s: Array, logit: Array) -> Array:
        """ln p(s_k | s_<k) of a value with that logit."""
        return jax.nn.log_sigmoid(s * logit)

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        s = x[self.order]
        return jnp.sum(self.log_conditional(s, self.logits(s, condition)))

    def _sample_and_log_prob(self, key: Array, condition: Array | None = None) -> tuple[Array, Array]:
        s, log_p = visit_all(self, jax.random.uniform(key, self.shape), condition)
        return s[inverse_order(self.order)], log_p

    def _sample(self, key: Array, condition: Array | None = None) -> Array:
        return self._sample_and_log_prob(key, condition)[0]


def visit_all(density: AbstractAutoregressive, u: Array, condition: Array | None) -> tuple[Array, Array]:
    """Draw the first len(u) ranks one after the other with the uniform numbers u; values by rank and their ln p."""

    def visit(carry: tuple[Cache, Array], inputs: tuple[Array, Array]) -> tuple[tuple[Cache, Array], tuple]:
        cache, previous = carry
        k, u = inputs
        cache, logit = density.next_logit(cache, k, previous, condition)
        value = density.choose(u, logit)
        return (cache, value), (value, density.log_conditional(value, logit))

    start = (density.start(condition), jnp.zeros((), u.dtype))
    _, (s, log_p) = jax.lax.scan(visit, start, (jnp.arange(len(u)), u))
    return s, jnp.sum(log_p)


def draw(u: Array, logit: Array) -> Array:
    """The spin +-1 with p(+1) = sigmoid(logit) that the uniform number u selects."""
    return jnp.where(u < jax.nn.sigmoid(logit), 1.0, -1.0).astype(u.dtype)


def inverse_order(order: np.ndarray) -> np.ndarray:
    """ranks[site], so that s_by_site = s_by_rank[ranks]."""
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(order))
    return ranks
