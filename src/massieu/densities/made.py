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
        self.weights, self.biases = masked_layers(key, n, [1, *[width] * (depth - 1), 1])

    def logits(self, s: Array, condition: Array | None = None) -> Array:
        return masked(self.weights, self.biases, s[:, None])[:, 0]

    def start(self, condition: Array | None = None) -> list[Array]:
        return [jnp.zeros((self.shape[0], w.shape[3]), w.dtype) for w in self.weights]

    def next_logit(self, cache, k, previous, condition=None):
        cache = [cache[0].at[jnp.maximum(k - 1, 0), 0].set(previous), *cache[1:]]
        cache, found = masked_rows(self.weights, self.biases, cache, k)
        return cache, found[0]


def masked_layers(key: Array, n: int, sizes: list[int]) -> tuple[list[Array], list[Array]]:
    """Weights (n, w_out, n, w_in), the last ones zero, and biases (n, w_out) of layers of `sizes` units a site."""
    depth, weights, biases = len(sizes) - 1, [], []
    for layer, (k, w_in, w_out) in enumerate(zip(jax.random.split(key, depth), sizes[:-1], sizes[1:], strict=True)):
        scale = 0.0 if layer == depth - 1 else 1 / np.sqrt(0.5 * n * w_in)
        weights.append(scale * jax.random.normal(k, (n, w_out, n, w_in)))
        biases.append(jnp.zeros((n, w_out)))
    return weights, biases


def masked(weights: list[Array], biases: list[Array], h: Array) -> Array:
    """The network of sites h (n, w_in), all ranks at once (n, w_out): rank k of those before it."""
    n = len(h)
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        seen = jnp.tril(jnp.ones((n, n), h.dtype), -1 if layer == 0 else 0)
        shown = weight * seen[:, None, :, None]
        h = (shown.reshape(-1, h.size) @ h.reshape(-1)).reshape(bias.shape) + bias
        h = h if layer == len(weights) - 1 else jnp.tanh(h)
    return h


def masked_rows(weights: list[Array], biases: list[Array], cache: list[Array], k: Array) -> tuple[list[Array], Array]:
    """The units of rank k in all layers, from the sites before it in cache[0]: the cache with them, and the output."""
    cache = list(cache)
    for layer in range(len(weights) - 1):
        cache[layer + 1] = cache[layer + 1].at[k].set(_row(weights, biases, layer, k, cache[layer]))
    return cache, _row(weights, biases, len(weights) - 1, k, cache[-1])


def _row(weights: list[Array], biases: list[Array], layer: int, k: Array, below: Array) -> Array:
    """Activations (w,) of rank k from those of the layer below (n, w'): spins before k, hidden units up to k."""
    n = len(below)
    seen = jnp.arange(n) < k if layer == 0 else jnp.arange(n) <= k
    out = jnp.einsum("omi,mi->o", weights[layer][k], jnp.where(seen[:, None], below, 0.0)) + biases[layer][k]
    return out if layer == len(weights) - 1 else jnp.tanh(out)
