"""Optimisers with optax's init/update: Adam, and the natural gradient on the Fisher metric of the density."""

from __future__ import annotations

import math
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
        score = score - jnp.mean(score, axis=0, keepdims=True)
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


class ReconfigurationState(NamedTuple):
    """Running Fisher matrix (P, P) and gradient (P,) (SR), or the last direction and running scales (P,) (SPRING)."""

    fisher: Array
    direction: Array
    scale: Array
    updates: Array


SMALL_FISHER = 1200  # parameters up to which the running Fisher matrix is the better choice


def stochastic_reconfiguration(
    learning_rate: float,
    schedule: optax.Schedule,
    method: str = "auto",
    trust: float = 0.05,
    damping: float = 0.02,
    floor: float = 1e-3,
    memory: float = 0.97,
    momentum: float = 0.9,
    reach: float = math.inf,
) -> optax.GradientTransformationExtraArgs:
    """Natural gradient as a regression: the step is -lr times the ridge fit of the residual on the scores.

    `update(grads, state, params, scores=.., residual=..)`: scores are d ln p or Re, Im of d ln Psi (leading axis R,
    mean zero over samples), residual (R,) the local free energy less its mean; grads give the shape.  With S = O^T O/R

        sr       S and O^T r/R as running means, dense solve; for few parameters
        minsr    the same step from the R x R matrix O O^T (Chen and Heyl, Nature Physics 20, 1476 (2024))
        spring   minsr that keeps `momentum` of the last step where the samples do not contradict it
                 (Goldshlager, Abrahamsen and Lin, J. Comput. Phys. 516, 113351 (2024))

    "auto" is sr for up to SMALL_FISHER parameters, else spring.  Steps longer than `trust` (root mean square of O step)
    are shortened to it; in sample space also those longer than `reach`, where the scores of each parameter have size 1:
    about what a step does to configurations outside the batch, which have had no say in it.
    """

    def chosen(size: int) -> str:
        return method if method != "auto" else ("sr" if size <= SMALL_FISHER else "spring")

    def init(params: Any) -> ReconfigurationState:
        size = sum(leaf.size for leaf in jax.tree.leaves(params))
        side = size if chosen(size) == "sr" else 0
        return ReconfigurationState(jnp.zeros((side, side)), jnp.zeros(size), jnp.zeros(size), jnp.zeros((), jnp.int32))

    def update(grads: Any, state: ReconfigurationState, params: Any = None, *, scores: Any, residual: Array, **_: Any):
        o = _flat(scores, 1, 1)[:, 0]
        count = state.updates + 1
        kind = chosen(o.shape[1])
        if kind == "sr":
            fisher = memory * state.fisher + (1 - memory) * (o.T @ o) / len(o)
            kept = momentum * state.direction + (1 - momentum) * (residual @ o) / len(o)
            metric = fisher / (1 - memory**count)
            step = _solve(metric[None], kept[None] / (1 - momentum**count), damping, floor)[0]
            new, blind = ReconfigurationState(fisher, kept, state.scale, count), jnp.zeros(())
        else:
            scale = memory * state.scale + (1 - memory) * jnp.mean(o**2, axis=0)
            size = jnp.sqrt(scale / (1 - memory**count))
            size = size + floor * jnp.sqrt(jnp.mean(size**2)) + 1e-30
            kept = momentum * state.direction if kind == "spring" else jnp.zeros_like(state.direction)
            step = kept + _sample_space(o / size[None], residual - o @ kept, damping) / size
            new = ReconfigurationState(state.fisher, step, scale, count)
            blind = jnp.linalg.norm(size * step)
        length = jnp.sqrt(jnp.mean((o @ step) ** 2))
        rate = jnp.minimum(learning_rate, trust / jnp.maximum(length, 1e-30))
        rate = schedule(state.updates) * jnp.minimum(rate, reach / jnp.maximum(blind, 1e-30))
        return _unflat(-rate * step[None], grads, 1), new

    return optax.GradientTransformationExtraArgs(init, update)


def _sample_space(o: Array, residual: Array, damping: float) -> Array:
    """O^T (O O^T + damping mean diag)^-1 residual."""
    gram = o @ o.T
    ridge = damping * jnp.mean(jnp.diagonal(gram)) + 1e-30
    factor = jax.scipy.linalg.cho_factor(gram + ridge * jnp.eye(len(gram)))
    return o.T @ jax.scipy.linalg.cho_solve(factor, residual)


class ImaginaryTimeState(NamedTuple):
    """Running overlaps S and stiffness K of the scores (P, P), running gradient (P,), and the number of updates."""

    overlap: Array
    stiffness: Array
    gradient: Array
    updates: Array


def imaginary_time(
    tau: float,
    schedule: optax.Schedule,
    trust: float = 0.3,
    damping: float = 1e-3,
    memory: float = 0.9,
    momentum: float = 0.5,
) -> optax.GradientTransformationExtraArgs:
    """An implicit step of imaginary time for few parameters: -(S/tau + K)^-1 g, for stiff directions of any size.

    `update(grads, state, params, overlap=S, stiffness=K)`: S = Re <O^* O> connected, K = <O^* (H - E) O>, which for
    real O is <grad O . grad O> times the kinetic scale (f-sum rule), g = Re <O^* (E_loc - E)>.  Plain stochastic
    reconfiguration is the limit K = 0.  S and K are running means over `memory`, g over `momentum`; steps that change
    the states by more than `trust` (root of dc S dc) are shortened to it.
    """

    def init(params: Any) -> ImaginaryTimeState:
        size = sum(leaf.size for leaf in jax.tree.leaves(params))
        square = jnp.zeros((size, size))
        return ImaginaryTimeState(square, square, jnp.zeros(size), jnp.zeros((), jnp.int32))

    def update(
        grads: Any, state: ImaginaryTimeState, params: Any = None, *, overlap: Array, stiffness: Array, **_: Any
    ) -> tuple[Any, ImaginaryTimeState]:
        new = (overlap, stiffness, _flat(grads, 1, 0)[0])
        old = (state.overlap, state.stiffness, state.gradient)
        count, rates = state.updates + 1, (memory, memory, momentum)
        kept = [rate * a + (1 - rate) * b for rate, a, b in zip(rates, old, new, strict=True)]
        s, k, g = [value / (1 - rate**count) for rate, value in zip(rates, kept, strict=True)]
        matrix = s / tau + k
        size = jnp.sqrt(jnp.diagonal(matrix)) + 1e-30
        relative = matrix / size[:, None] / size[None] + damping * jnp.eye(len(size))
        step = jnp.linalg.solve(relative, g / size) / size
        length = jnp.sqrt(jnp.maximum(step @ s @ step, 0.0))
        rate = schedule(state.updates) * jnp.minimum(1.0, trust / jnp.maximum(length, 1e-30))
        return _unflat(-rate * step[None], grads, 1), ImaginaryTimeState(kept[0], kept[1], kept[2], count)

    return optax.GradientTransformationExtraArgs(init, update)
