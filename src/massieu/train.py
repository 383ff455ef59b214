"""The loop: draw, weigh, differentiate, update, record.  One compiled step; the state is all there is to save."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array

from massieu import optimize
from massieu.config import Config
from massieu.principle import (
    Samples,
    draw,
    local_free_energy,
    pathwise_gradient,
    score_function_gradient,
    scores,
    trainable,
)
from massieu.systems.base import ClassicalSystem

GROUPS = 4  # sub-batches a step: they bound memory and show the variance of the gradient
FISHER_BYTES = 2**28  # memory for the per-sample scores of the natural gradient
LARGEST_FISHER = 2**30


class TrainState(NamedTuple):
    """Everything that the next step depends on; a checkpoint is exactly this."""

    params: Any
    opt_state: Any
    key: Array
    step: Array
    walkers: Any = ()  # of Markov chains, where there are any
    frame: Any = ()  # of a density matrix: what is measured from time to time instead of trained


Step = Callable[[TrainState], tuple[TrainState, dict[str, Array]]]


class Problem(NamedTuple):
    """A compiled training problem: the step, where it starts, and the part of the density that is not trained.

    between_steps: from a state to the one that the next step starts from, mostly itself; carried: leaves of the state
    that a start from another run takes over.
    """

    step: Step
    start: TrainState
    static: Any
    combine: Callable[[Any, Any], Any] | None = None
    between_steps: Callable[[TrainState], TrainState] = lambda state: state
    carried: tuple[str, ...] = (".params",)

    def density(self, state: TrainState) -> Any:
        """The density (matrix) with the parameters of a state, in float64."""
        wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), state.params)
        return eqx.combine(wide, self.static) if self.combine is None else self.combine(wide, state.frame)


def beta_schedule(beta: float, config: Config) -> Callable[[Array], Array]:
    """beta of each step: linear from beta_start (a tenth of beta) over the annealed fraction, then constant."""
    start = min(beta, 0.1 * beta if config.beta_start is None else config.beta_start)
    annealed = config.anneal * config.steps
    if annealed < 1:
        return lambda step: jnp.full((), beta)
    return lambda step: start + (beta - start) * jnp.minimum(1.0, step / annealed)


def problem(system: ClassicalSystem, density: Any, beta: float, config: Config) -> Problem:
    """Split the density, choose the optimiser, and compile nothing yet: the first call of `step` does."""
    params, static = trainable(density)
    params = jax.tree.map(lambda leaf: leaf.astype(config.precision), params)
    blocks = getattr(density, "blocks", 1)
    natural = _is_natural(params, blocks, config)
    optimiser = _optimiser(config, natural, blocks)
    start = TrainState(params, optimiser.init(params), jax.random.key(config.seed), jnp.zeros((), jnp.int32))
    beta_at = beta_schedule(beta, config)
    for_fisher = _fisher_samples(params, config) if natural else 0

    @jax.jit
    def step(state: TrainState) -> tuple[TrainState, dict[str, Array]]:
        beta = beta_at(state.step)
        keys = jax.random.split(jax.random.fold_in(state.key, state.step), GROUPS)
        one = eqx.Partial(_sampled_gradient, state.params, static, system, config, beta)
        samples, gradients = jax.lax.map(one, keys)
        samples = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), samples)
        gradient = jax.tree.map(lambda g: beta * jnp.mean(g, axis=0).astype(g.dtype), gradients)
        gradient = jax.tree.map(lambda g, p: g.astype(p.dtype), gradient, state.params)
        extra = {"scores": scores(state.params, static, samples.x[:for_fisher], beta)} if natural else {}
        updates, opt_state = optimiser.update(gradient, state.opt_state, state.params, **extra)
        new = TrainState(optax.apply_updates(state.params, updates), opt_state, state.key, state.step + 1)
        return new, _metrics(samples, beta, gradients)

    return Problem(step, start, static)


def _sampled_gradient(params: Any, static: Any, system: ClassicalSystem, config: Config, beta: Array, key: Array):
    """Samples and gradient of F of one sub-batch."""
    size = config.batch // GROUPS
    if config.gradient == "score":
        samples = draw(eqx.combine(params, static), system.energy, key, size, beta)
        return samples, score_function_gradient(params, static, samples, beta)
    path_only = config.gradient == "pathwise"
    return pathwise_gradient(params, static, system.energy, key, size, beta, path_only, config.clip_force)


def _metrics(samples: Samples, beta: Array, gradients: Any) -> dict[str, Array]:
    """One row of metrics.csv (without the times)."""
    f = local_free_energy(samples, beta)
    weight = jnp.exp(-beta * (f - jnp.min(f)))
    total = jnp.asarray(0.0) + sum(jnp.sum(jnp.mean(g, axis=0) ** 2) for g in jax.tree.leaves(gradients))
    spread = jnp.asarray(0.0) + sum(jnp.sum(jnp.var(g, axis=0)) for g in jax.tree.leaves(gradients)) / (GROUPS - 1)
    return {
        "beta": beta,
        "F": jnp.mean(f),
        "F_error": jnp.std(f) / math.sqrt(len(f) - 1),
        "E": jnp.mean(samples.energy),
        "S": -jnp.mean(samples.log_prob),
        "F_var": jnp.var(f),
        "ess": jnp.sum(weight) ** 2 / (len(f) * jnp.sum(weight**2)),
        "grad_norm": jnp.sqrt(total),
        "grad_var": spread,
    }


def _is_natural(params: Any, blocks: int, config: Config) -> bool:
    """Natural gradient where its Fisher matrix is small enough."""
    p = sum(leaf.size for leaf in jax.tree.leaves(params)) // blocks
    fits = 0 < p <= 4096 and 8 * blocks * p * p <= LARGEST_FISHER
    return config.optimiser == "natural" or (config.optimiser == "auto" and fits)


def _optimiser(config: Config, natural: bool, blocks: int) -> optax.GradientTransformationExtraArgs:
    schedule = optimize.ramp_and_cosine(config.steps)
    if natural:
        easing = optax.cosine_decay_schedule(1.0, config.steps, 0.01)  # weak directions are let go towards the end
        return optimize.natural_gradient(
            config.learning_rate or 0.05, schedule, blocks, config.trust, damping_schedule=easing
        )
    return optimize.adam(config.learning_rate or 3e-3, schedule, config.clip)


def _fisher_samples(params: Any, config: Config) -> int:
    """How many per-sample scores to take: as many as asked for and as fit the memory budget."""
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(params))
    return int(min(config.batch, config.fisher_batch or config.batch, max(32, FISHER_BYTES // size)))
