"""A recurrent density: a gated unit carries what matters of the spins drawn so far (Hibat-Allah et al. 2020)."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.densities.autoregressive import AbstractAutoregressive


class RNN(AbstractAutoregressive):
    """A gated recurrent unit of `width` numbers runs over the spins; readout and bias differ from site to site."""

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)
    order: np.ndarray
    cell: eqx.nn.GRUCell
    site: Array  # (n, 4): what the cell knows of the place
    readout: Array  # (n, width): starts at zero, so that p is uniform
    bias: Array  # (n,)

    def __init__(self, n: int, *, width: int = 32, key: Array | None = None):
        k1, k2 = jax.random.split(jax.random.key(0) if key is None else key)
        self.shape, self.cond_shape, self.order = (n,), None, np.arange(n)
        self.cell = eqx.nn.GRUCell(5, width, key=k1)
        self.site = jax.random.normal(k2, (n, 4))
        self.readout, self.bias = jnp.zeros((n, width)), jnp.zeros(n)

    def logits(self, s: Array, condition: Array | None = None) -> Array:
        def step(cache: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
            k, previous = inputs
            return self.next_logit(cache, k, previous)

        previous = jnp.concatenate([jnp.zeros(1, s.dtype), s[:-1]])
        return jax.lax.scan(step, self.start(), (jnp.arange(len(s)), previous))[1]

    def start(self, condition: Array | None = None) -> Array:
        return jnp.zeros(self.cell.hidden_size, self.readout.dtype)

    def next_logit(self, cache, k, previous, condition=None):
        hidden = self.cell(jnp.concatenate([jnp.reshape(previous, (1,)), self.site[k]]), cache)
        return hidden, self.readout[k] @ hidden + self.bias[k]
