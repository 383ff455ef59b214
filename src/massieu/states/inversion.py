"""x = T(z) through the layers of a flow, and z with T(z) = x by Newton's method with backtracking.

Layers are gradients of convex functions.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from massieu.linear_algebra import inverse_and_log_det_spd

CONVERGED = 1e-10  # in units of the box
MOST_STEPS = 100


def carried(flow: Any, c: Array, z: Array) -> tuple[Array, Array]:
    """x = T(z) and ln det dx/dz, for the coefficients c (layers, ..) of a state."""

    def one(z: Array, of_layer: Array) -> tuple[Array, Array]:
        z, jacobian = flow.layer(of_layer, z)
        return z, inverse_and_log_det_spd(jacobian)[1]

    z, log_dets = jax.lax.scan(jax.checkpoint(one), z, c)  # one compiled layer, nothing of it kept
    return z, jnp.sum(log_dets)


def inverted(flow: Any, c: Array, x: Array, guess: Array) -> tuple[Array, Array, Array]:
    """z with layer(z) = x, ln det dx/dz there, and the largest component of layer(z) - x."""

    def newton(z: Array) -> tuple[Array, Array, Array]:
        moved, jacobian = flow.layer(c, z)
        inverse, log_det, _ = inverse_and_log_det_spd(jacobian)
        return x - moved, (inverse @ (x - moved).reshape(-1)).reshape(z.shape), log_det

    def unfinished(state: tuple) -> Array:
        _, miss, _, _, _, steps = state
        return (jnp.max(jnp.abs(miss)) > CONVERGED) & (steps < MOST_STEPS)

    def advance(state: tuple) -> tuple:
        z, miss, direction, log_det, length, steps = state
        trial = z + length * direction
        new = newton(trial)
        better = jnp.sum(new[0] ** 2) < jnp.sum(miss**2)
        kept = jax.tree.map(lambda a, b: jnp.where(better, a, b), (trial, *new), (z, miss, direction, log_det))
        return *kept, jnp.where(better, jnp.minimum(1.0, 2 * length), 0.25 * length), steps + 1

    state = jax.lax.while_loop(unfinished, advance, (guess, *newton(guess), jnp.ones(()), 0))
    return state[0], state[3], jnp.max(jnp.abs(state[1]))


def inverted_through(flow: Any, c: Array, x: Array) -> Array:
    """z with T(z) = x, from the last layer to the first, for the coefficients c (layers, ..) of a state."""
    return jax.lax.scan(lambda x, of_layer: (inverted(flow, of_layer, x, x)[0], None), x, c, reverse=True)[0]
