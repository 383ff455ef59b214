"""Autoregressive densities of sites with q states: p(s) = prod_k p(s_k | s_<k), s_k in 0 .. q - 1, sampled directly."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.densities.autoregressive import AbstractAutoregressive
from massieu.densities.made import masked, masked_layers, masked_rows


class AbstractStates(AbstractAutoregressive):
    """As for spins, with q `logits` (n, q) of every conditional, up to a constant each; samples are integers."""

    states: eqx.AbstractVar[int]

    def choose(self, u: Array, logit: Array) -> Array:
        rising = jnp.cumsum(jax.nn.softmax(logit, axis=-1), axis=-1)[..., :-1]
        return jnp.sum(jnp.expand_dims(u, -1) > rising, axis=-1).astype(u.dtype)

    def log_conditional(self, s: Array, logit: Array) -> Array:
        chosen = jnp.expand_dims(s.astype(int), -1)
        return jnp.take_along_axis(jax.nn.log_softmax(logit, axis=-1), chosen, axis=-1)[..., 0]

    def _sample_and_log_prob(self, key: Array, condition: Array | None = None) -> tuple[Array, Array]:
        s, log_p = super()._sample_and_log_prob(key, condition)
        return s.astype(jnp.int32), log_p


class StateMADE(AbstractStates):
    """`MADE` for q states: the network sees each site as q numbers, one of them 1, and gives q logits.

    The output starts at zero, so that p is uniform.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)
    states: int = eqx.field(static=True)
    order: np.ndarray
    weights: list[Array]  # first (n, w, n, q); hidden (n, w, n, w); last (n, q, n, w)
    biases: list[Array]

    def __init__(self, n: int, states: int, *, width: int = 8, depth: int = 2, key: Array | None = None):
        self.shape, self.cond_shape, self.order, self.states = (n,), None, np.arange(n), states
        key = jax.random.key(0) if key is None else key
        self.weights, self.biases = masked_layers(key, n, [states, *[width] * (depth - 1), states])

    def logits(self, s: Array, condition: Array | None = None) -> Array:
        return masked(self.weights, self.biases, jax.nn.one_hot(s.astype(int), self.states, dtype=self.biases[0].dtype))

    def start(self, condition: Array | None = None) -> list[Array]:
        return [jnp.zeros((self.shape[0], w.shape[3]), w.dtype) for w in self.weights]

    def next_logit(self, cache, k, previous, condition=None):
        seen = jax.nn.one_hot(previous.astype(int), self.states, dtype=cache[0].dtype)
        return masked_rows(self.weights, self.biases, [cache[0].at[jnp.maximum(k - 1, 0)].set(seen), *cache[1:]], k)
