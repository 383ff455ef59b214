"""MADE, the masked autoencoder of Germain et al. (2015), as used for spins by Wu, Wang and Zhang (2019)."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.densities.autoregressive import AbstractAutoregressive


class MADE(AbstractAutoregressive):
    """Masked dense network: `depth` layers, `width` hidden units a site; unit (k, .) sees the spins before rank k only.

    depth = 1 is a masked logistic regression.  The output starts at zero, so that p is uniform.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)
    order: np.ndarray
    weights: list[Array]  # first (n, n, w); hidden (n, w, n, w); last (n, n, w)
    biases: list[Array]

    def __init__(self, n: int, *, width: int = 8, depth: int = 2, key: Array | None = None):
        key = jax.random.key(0) if key is None else key
        self.shape, self.cond_shape, self.order = (n,), None, np.arange(n)
        sizes = [1, *[width] * (depth - 1), 1]
        self.weights, self.biases = [], []
        for layer, (k, w_in, w_out) in enumerate(zip(jax.random.split(key, depth), sizes[:-1], sizes[1:], strict=True)):
            scale = 0.0 if layer == depth - 1 else 1 / np.sqrt(0.5 * n * w_in)
            self.weights.append(scale * jax.random.normal(k, (n, w_out, n, w_in)))
            self.biases.append(jnp.zeros((n, w_out)))

    def _rows(self, layer: int, k: Array, below: Array) -> Array:
        """Activations (w,) of rank k from those of the layer below (n, w'): spins before k, hidden units up to k."""
        n = self.shape[0]
        seen = jnp.arange(n) < k if layer == 0 else jnp.arange(n) <= k
        out = jnp.einsum("omi,mi->o", self.weights[layer][k], jnp.where(seen[:, None], below, 0.0))
        out = out + self.biases[layer][k]
        return out if layer == len(self.weights) - 1 else jnp.tanh(out)

    def logits(self, s: Array, condition: Array | None = None) -> Array:
        h = s[:, None]
        n = len(s)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            seen = jnp.tril(jnp.ones((n, n), s.dtype), -1 if layer == 0 else 0)
            masked = weight * seen[:, None, :, None]
            h = (masked.reshape(-1, h.size) @ h.reshape(-1)).reshape(bias.shape) + bias
            h = h if layer == len(self.weights) - 1 else jnp.tanh(h)
        return h[:, 0]

    def start(self, condition: Array | None = None) -> list[Array]:
        return [jnp.zeros((self.shape[0], w.shape[3]), w.dtype) for w in self.weights]

    def next_logit(self, cache, k, previous, condition=None):
        cache = [cache[0].at[jnp.maximum(k - 1, 0), 0].set(previous), *cache[1:]]
        for layer in range(len(self.weights) - 1):
            cache[layer + 1] = cache[layer + 1].at[k].set(self._rows(layer, k, cache[layer]))
        return cache, self._rows(len(self.weights) - 1, k, cache[-1])[0]
