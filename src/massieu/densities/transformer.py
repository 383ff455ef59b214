"""Causal transformers over spins and over other sequences, sampled with cached keys and values."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.densities.autoregressive import AbstractAutoregressive
from massieu.sampling import initial_normal

HEADS = 4


class Layer(eqx.Module):
    """Pre-normalised attention and a two-layer perceptron, both residual."""

    qkv: Array  # (3, heads, width / heads, width)
    mix: Array  # (width, width)
    up: Array  # (4 width, width)
    down: Array  # (width, 4 width)

    def __init__(self, width: int, heads: int, key: Array):
        k1, k2, k3, k4 = jax.random.split(key, 4)
        self.qkv = jnp.asarray(initial_normal(k1, (3, heads, width // heads, width)) / np.sqrt(width))
        self.mix = jnp.asarray(0.1 * initial_normal(k2, (width, width)) / np.sqrt(width))
        self.up = jnp.asarray(initial_normal(k3, (4 * width, width)) / np.sqrt(width))
        self.down = jnp.asarray(0.1 * initial_normal(k4, (width, 4 * width)) / np.sqrt(4 * width))

    def heads_of(self, x: Array) -> Array:
        """Query, key and value (3, heads, width / heads) of one token x (width,)."""
        return self.qkv @ normalise(x)

    def attend(self, x: Array, query: Array, keys: Array, values: Array, seen: Array) -> Array:
        """Add to one token what it reads from the seen tokens (keys, values: (n, heads, width / heads))."""
        score = jnp.einsum("hd,nhd->hn", query, keys) / np.sqrt(query.shape[-1])
        weight = jax.nn.softmax(jnp.where(seen, score, -jnp.inf), axis=-1)
        x = x + self.mix @ jnp.einsum("hn,nhd->hd", weight, values).reshape(-1)
        return x + self.down @ jax.nn.gelu(self.up @ normalise(x))


class Reader(eqx.Module):
    """A causal transformer over a sequence of features (n, features): what is known at each rank (n, width)."""

    embed: Array  # (width, features)
    position: Array  # (n, width)
    layers: list[Layer]

    def __init__(self, n: int, features: int, *, width: int, depth: int, heads: int = HEADS, key: Array):
        k1, k2, *rest = jax.random.split(key, 2 + depth)
        self.embed = jax.random.normal(k1, (width, features))
        self.position = jax.random.normal(k2, (n, width))
        self.layers = [Layer(width, heads, k) for k in rest]

    def __call__(self, seen: Array) -> Array:
        """All ranks at once (n, width); seen (n, features)."""
        return _through(self.layers, seen @ self.embed.T + self.position)

    def start(self) -> list[tuple[Array, Array]]:
        """Empty keys and values."""
        return _empty(self.layers, len(self.position))

    def step(self, cache: list, seen: Array, rank: Array) -> tuple[list, Array]:
        """Take in the features (features,) of one rank; return the cache and what is known there (width,)."""
        return _one_more(self.layers, cache, self.embed @ seen + self.position[rank], rank)


class CausalTransformer(AbstractAutoregressive):
    """p(s_k | s_<k) from `depth` attention layers; token k carries the spin of rank k-1 and the position k."""

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)
    order: np.ndarray
    position: Array  # (n, width)
    spin: Array  # (width,)
    layers: list[Layer]
    readout: Array  # (n, width): starts at zero, so that p is uniform
    bias: Array  # (n,)

    def __init__(self, n: int, *, width: int = 32, heads: int = 4, depth: int = 2, key: Array | None = None):
        k1, k2, *rest = jax.random.split(jax.random.key(0) if key is None else key, 2 + depth)
        self.shape, self.cond_shape, self.order = (n,), None, np.arange(n)
        self.position, self.spin = jax.random.normal(k1, (n, width)), jax.random.normal(k2, (width,))
        self.layers = [Layer(width, heads, k) for k in rest]
        self.readout, self.bias = jnp.zeros((n, width)), jnp.zeros(n)

    def logits(self, s: Array, condition: Array | None = None) -> Array:
        x = self.position + jnp.concatenate([jnp.zeros(1, s.dtype), s[:-1]])[:, None] * self.spin[None]
        return jnp.sum(self.readout * _through(self.layers, x), axis=-1) + self.bias

    def start(self, condition: Array | None = None) -> list[tuple[Array, Array]]:
        return _empty(self.layers, self.shape[0])

    def next_logit(self, cache, k, previous, condition=None):
        cache, known = _one_more(self.layers, cache, self.position[k] + previous * self.spin, k)
        return cache, self.readout[k] @ known + self.bias[k]


def _through(layers: list[Layer], tokens: Array) -> Array:
    """All tokens (n, width) at once, each of which sees itself and those before."""
    causal = jnp.tril(jnp.ones((len(tokens), len(tokens)), bool))
    for layer in layers:
        query, keys, values = jnp.moveaxis(jax.vmap(layer.heads_of)(tokens), 1, 0)
        tokens = jax.vmap(layer.attend, in_axes=(0, 0, None, None, 0))(tokens, query, keys, values, causal)
    return jax.vmap(normalise)(tokens)


def _empty(layers: list[Layer], n: int) -> list[tuple[Array, Array]]:
    """Keys and values of n tokens, none of them there yet."""
    empty = [jnp.zeros((n, *layer.qkv.shape[1:3]), layer.qkv.dtype) for layer in layers]
    return [(e, e) for e in empty]


def _one_more(layers: list[Layer], cache: list, token: Array, rank: Array) -> tuple[list, Array]:
    """The token (width,) of one rank through all layers: the cache with it, and what comes out."""
    new = []
    for layer, (keys, values) in zip(layers, cache, strict=True):
        query, key, value = layer.heads_of(token)
        keys, values = keys.at[rank].set(key), values.at[rank].set(value)
        token = layer.attend(token, query, keys, values, jnp.arange(len(keys)) <= rank)
        new.append((keys, values))
    return new, normalise(token)


def normalise(x: Array) -> Array:
    """Root-mean-square normalisation of a token."""
    return x * jax.lax.rsqrt(jnp.mean(x**2) + 1e-6)
