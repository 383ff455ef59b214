"""The loop: draw, weigh, differentiate, update, record.  One compiled step; the state is all there is to save."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array

from massieu import estimators, optimize
from massieu.methods.classical import by_example
from massieu.methods.classical import family as families
from massieu.methods.classical.options import ClassicalOptions
from massieu.methods.training import Problem, TrainState
from massieu.principle import Samples, scores, trainable
from massieu.systems.base import ClassicalSystem

GROUPS = 4  # sub-batches a step: they bound memory and show the variance of the gradient
FISHER_BYTES = 2**28  # memory for the per-sample scores of the natural gradient
LARGEST_FISHER = 2**30


def beta_schedule(beta: float, options: ClassicalOptions) -> Callable[[Array], Array]:
    """beta of each step: linear from beta_start (a tenth of beta) over the annealed fraction, then constant."""
    start = min(beta, 0.1 * beta if options.beta_start is None else options.beta_start)
    annealed = options.anneal * options.steps
    if annealed < 1:
        return lambda step: jnp.full((), beta)
    return lambda step: jnp.where(step < annealed, start + (beta - start) * step / annealed, beta)


def problem(
    system: ClassicalSystem, density: Any, beta: float, options: ClassicalOptions, optimiser: Any = None
) -> Problem:
    """Split the density, choose the optimiser, or take one of optax; the first call of `step` compiles."""
    params, static = trainable(density)
    params = jax.tree.map(lambda leaf: leaf.astype(options.precision), params)
    examples = by_example.examples(options, density)
    family = None if options.range is None else families.parse(options.range, system, beta)
    params = params if family is None else family.start(params)
    blocks = getattr(density, "blocks", 1)
    natural = optimiser is None and _is_natural(params, blocks, options) and not getattr(density, "augmented", False)
    optimiser = _optimiser(options, natural, blocks) if optimiser is None else optax.with_extra_args_support(optimiser)
    start = TrainState(params, optimiser.init(params), jax.random.key(options.seed), jnp.zeros((), jnp.int32))
    of_beta = family is not None and family.name == "beta"  # low beta is in the range: nothing to anneal
    beta_at = beta_schedule(beta, dataclasses.replace(options, anneal=0.0) if of_beta else options)
    for_fisher = _fisher_samples(params, options) // GROUPS if natural else 0

    @jax.jit
    def step(state: TrainState) -> tuple[TrainState, dict[str, Array]]:
        beta = beta_at(state.step)
        keys = jax.random.split(jax.random.fold_in(state.key, state.step), GROUPS)
        one = eqx.Partial(_group, state.params, static, system, options, family, for_fisher, beta)
        samples, beta_of, gradients, of_fisher = jax.lax.map(lambda args: one(*args), (keys, jnp.arange(GROUPS)))
        gradient = jax.tree.map(lambda g, p: jnp.mean(g, axis=0).astype(p.dtype), gradients, state.params)
        more = {}
        if examples is not None:
            choice = jax.random.fold_in(keys[0], GROUPS)
            gradient, loss = examples.mixed(gradient, state.params, static, choice, options.batch, beta)
            more = {"data_loss": loss}
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), of_fisher)
        updates, opt_state = optimiser.update(
            gradient, state.opt_state, state.params, **({"scores": flat} if natural else {})
        )
        new = TrainState(optax.apply_updates(state.params, updates), opt_state, state.key, state.step + 1)
        return new, {"beta": beta} | _metrics(samples, beta_of, gradients) | more

    def combine(params: Any, _: Any, value: float | None = None) -> Any:
        if family is not None:
            params = family.at(params, family.own if value is None else value)
        return eqx.combine(params, static)

    return Problem(step, start, static, combine)


def _group(params, static, system, options, family, for_fisher, beta, key, place):
    """Samples of one sub-batch, their beta, the gradient of beta F, and scores of the first ones for the Fisher matrix.

    Of a family each sub-batch has a value of the parameter of its own.
    """
    energy, own = system.energy, params
    if family is not None:
        value = family.draw(jax.random.fold_in(key, 1), place, GROUPS)
        (energy, beta), own = family.target(system, beta, value), family.at(params, value)
    estimate = estimators.estimator(options.gradient, options.clip_force)
    samples, gradient = estimate(own, static, energy, key, options.batch // GROUPS, beta)
    gradient = jax.tree.map(lambda g: beta * g, gradient)
    of_fisher = scores(own, static, samples.x[:for_fisher], beta) if for_fisher else ()
    if family is not None:
        gradient, of_fisher = (family.spread(tree, value) for tree in (gradient, of_fisher))
    return samples, jnp.asarray(beta, float), gradient, of_fisher


def _metrics(samples: Samples, beta: Array, gradients: Any) -> dict[str, Array]:
    """One row of metrics.csv (without the times) of sub-batches (G, B/G); of a family means over its values."""
    f = samples.energy + samples.log_prob / beta[:, None]
    log_weight = jax.nn.log_softmax(-beta[:, None] * f, axis=1)
    spread = jnp.mean(jnp.var(f, axis=1, ddof=1))
    total = jnp.asarray(0.0) + sum(jnp.sum(jnp.mean(g, axis=0) ** 2) for g in jax.tree.leaves(gradients))
    noise = jnp.asarray(0.0) + sum(jnp.sum(jnp.var(g, axis=0)) for g in jax.tree.leaves(gradients)) / (GROUPS - 1)
    return {
        "F": jnp.mean(f),
        "F_error": jnp.sqrt(spread / f.size),
        "E": jnp.mean(samples.energy),
        "S": -jnp.mean(samples.log_prob),
        "F_var": spread,
        "ess": jnp.sum(jnp.exp(log_weight)) ** 2 / (f.size * jnp.sum(jnp.exp(2 * log_weight))),
        "grad_norm": jnp.sqrt(total),
        "grad_var": noise,
    }


def _is_natural(params: Any, blocks: int, options: ClassicalOptions) -> bool:
    """Natural gradient where its Fisher matrix is small enough."""
    p = sum(leaf.size for leaf in jax.tree.leaves(params)) // blocks
    fits = 0 < p <= 4096 and 8 * blocks * p * p <= LARGEST_FISHER
    return options.optimiser == "natural" or (options.optimiser == "auto" and fits)


def _optimiser(options: ClassicalOptions, natural: bool, blocks: int) -> optax.GradientTransformationExtraArgs:
    schedule = optimize.ramp_and_cosine(options.steps)
    if natural:
        easing = optax.cosine_decay_schedule(1.0, options.steps, 0.01)  # weak directions are let go towards the end
        return optimize.natural_gradient(
            options.learning_rate or 0.05, schedule, blocks, options.trust, damping_schedule=easing
        )
    return optimize.adam(options.learning_rate or 3e-3, schedule, options.clip)


def _fisher_samples(params: Any, options: ClassicalOptions) -> int:
    """How many per-sample scores to take: as many as asked for and as fit the memory budget."""
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(params))
    return int(min(options.batch, options.fisher_batch or options.batch, max(32, FISHER_BYTES // size)))
