"""Small dense networks of tanh units, as plain lists of arrays."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.sampling import initial_normal

Perceptron = list[tuple[Array, Array]]


def perceptron(key: Array, sizes: list[int]) -> Perceptron:
    """Random layers of the given sizes; the last one is zero, so that a flow starts as the identity."""
    layers = []
    for k, fan_in, fan_out in zip(jax.random.split(key, len(sizes) - 1), sizes[:-1], sizes[1:], strict=True):
        k1, k2 = jax.random.split(k)
        weight = 1.2 / np.sqrt(fan_in) * initial_normal(k1, (fan_in, fan_out))
        layers.append((weight, 0.5 * initial_normal(k2, (fan_out,))))
    layers[-1] = (0 * layers[-1][0], 0 * layers[-1][1])
    return [(jnp.asarray(weight), jnp.asarray(bias)) for weight, bias in layers]


def apply(layers: Perceptron, x: Array) -> Array:
    """The network at features (.., fan_in)."""
    for weight, bias in layers[:-1]:
        x = jnp.tanh(_affine(x, weight, bias))
    return _affine(x, *layers[-1])


def _affine(x: Array, weight: Array, bias: Array) -> Array:
    return x @ weight + jnp.expand_dims(bias, range(x.ndim - 1))
