"""Optimisers with optax's init/update: Adam, and the natural gradient on the Fisher metric of the density."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array


def ramp_and_cosine(steps: int, warm_up: int = 10, end: float = 0.02) -> optax.Schedule:
    """Relative learning rate: linear from 1/warm_up to 1, then a cosine down to `end` at the last step."""
    return optax.warmup_cosine_decay_schedule(1.0 / warm_up, 1.0, warm_up, max(steps, warm_up + 1), end)


def adam(learning_rate: float, schedule: optax.Schedule, clip: float) -> optax.GradientTransformationExtraArgs:
    """Adam with the gradient of beta F scaled down to global norm `clip` when it is longer."""
    rate = optax.scale_by_schedule(lambda count: -learning_rate * schedule(count))
    return optax.with_extra_args_support(
        optax.chain(optax.clip_by_global_norm(clip), optax.scale_by_adam(b2=0.99), rate)
    )


class NaturalState(NamedTuple):
    """Running Fisher matrix (K, p, p), running gradient (K, p) and the number of updates."""

    fisher: Array
    gradient: Array
    updates: Array


def natural_gradient(
    learning_rate: float,
    schedule: optax.Schedule,
    blocks: int = 1,
    trust: float = 0.3,
    damping: float = 0.02,
    floor: float = 1e-3,
    momentum: float = 0.9,
    memory: float = 0.97,
    damping_schedule: optax.Schedule | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Steps -lr (G + damping diag G + floor mean(diag G))^-1 grad with G = E[d ln p d ln p^T], a running mean.

    `update(grads, state, params, scores=..)` takes the gradient of beta F and the per-sample scores d ln p/dphi
    (leading axis B).  When ln p is a sum over conditionals with separate parameters, G is block diagonal: all leaves
    then have a leading axis of length `blocks`.  A step longer than `trust` in the Fisher metric (about the square
    root of twice the relative entropy between the densities before and after) is shortened to it.  Both damping terms
    are multiplied by damping_schedule(count).
    """

    def init(params: Any) -> NaturalState:
        theta = _flat(params, blocks, 0)
        p = theta.shape[-1]
        return NaturalState(jnp.zeros((blocks, p, p), theta.dtype), jnp.zeros_like(theta), jnp.zeros((), jnp.int32))

    def update(
        grads: Any, state: NaturalState, params: Any = None, *, scores: Any, **_: Any
    ) -> tuple[Any, NaturalState]:
        score = _flat(scores, blocks, 1)
        score = score - jnp.mean(score, axis=0)
        count = state.updates + 1
        metric = memory * state.fisher + (1 - memory) * jnp.einsum("bkp,bkq->kpq", score, score) / len(score)
        gradient = momentum * state.gradient + (1 - momentum) * _flat(grads, blocks, 0)
        ease = 1.0 if damping_schedule is None else damping_schedule(state.updates)
        direction = _solve(metric / (1 - memory**count), gradient / (1 - momentum**count), damping * ease, floor * ease)
        length = jnp.sqrt(jnp.einsum("kp,kpq,kq->", direction, metric / (1 - memory**count), direction))
        scale = schedule(state.updates) * jnp.minimum(learning_rate, trust / jnp.maximum(length, 1e-30))
        return _unflat(-scale * direction, grads, blocks), NaturalState(metric, gradient, count)

    return optax.GradientTransformationExtraArgs(init, update)


def _solve(metric: Array, gradient: Array, damping: Array | float, floor: Array | float) -> Array:
    """(G + ridge)^-1 g for each block, the ridge relative to the diagonal (Levenberg-Marquardt)."""
    diagonal = jnp.diagonal(metric, axis1=-2, axis2=-1)
    ridge = damping * diagonal + floor * jnp.mean(diagonal, axis=-1, keepdims=True) + 1e-8

    def block(g: Array, r: Array, b: Array) -> Array:
        return jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(g + jnp.diag(r)), b)

    if len(metric) == 1:
        return block(metric[0], ridge[0], gradient[0])[None]
    return jax.lax.map(lambda args: block(*args), (metric, ridge, gradient))


def _flat(tree: Any, blocks: int, lead: int) -> Array:
    """All leaves side by side as (*batch, blocks, p), keeping `lead` batch axes."""
    leaves = jax.tree.leaves(tree)
    return jnp.concatenate([leaf.reshape(*leaf.shape[:lead], blocks, -1) for leaf in leaves], axis=-1)


def _unflat(theta: Array, like: Any, blocks: int) -> Any:
    """The inverse of `_flat` for one set of parameters."""
    leaves, treedef = jax.tree.flatten(like)
    ends = np.cumsum([leaf.size // blocks for leaf in leaves])[:-1]
    parts = jnp.split(theta, ends, axis=-1)
    return jax.tree.unflatten(treedef, [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)])
