"""The loop for qubits: F = sum_x p(x) [ kT ln p(x) + <x|U^+ H U|x> ], over all basis states or over samples of p.

Over all basis states F is a smooth function of the angles without noise, which L-BFGS minimises, at first at a higher
temperature, where all levels count and none is left out.  With samples,

    p     E[ (F_loc - b) d ln p(x) ]  with the leave-one-out baseline b,   F_loc = kT ln p(x) + E_x
    U     E[ d E_x ]                  through the circuit

are the two halves of the gradient of one surrogate, and Adam follows it.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array

from massieu import optimize
from massieu.methods.qubits.options import QubitOptions
from massieu.methods.training import Problem, TrainState
from massieu.principle import leave_one_out, trainable
from massieu.states.ensemble import CircuitEnsemble
from massieu.systems.qubits import QubitSystem

MEMORY = 20  # pairs of steps and gradients that L-BFGS keeps
LEARNING_RATE = 0.01
HOT = 0.5  # of beta: where annealing starts


def problem(system: QubitSystem, rho: CircuitEnsemble, beta: float, options: QubitOptions) -> Problem:
    """Split the ensemble into angles (and weights of p) and the rest; one compiled step."""
    params, static = trainable(rho)
    exact = system.sums_over_all
    lbfgs = exact and options.optimiser == "auto"
    optimiser: Any
    if lbfgs:
        optimiser = optax.lbfgs(memory_size=MEMORY)
    else:
        schedule = optimize.ramp_and_cosine(options.steps)
        optimiser = optimize.adam(options.learning_rate or LEARNING_RATE, schedule, options.clip)
    start = TrainState(params, optimiser.init(params), jax.random.key(options.seed), jnp.zeros((), jnp.int32))
    loss = _over_all if exact else _over_samples
    hot = min(beta, options.beta_start or HOT * beta)
    switch = round(options.anneal * options.steps)

    @jax.jit
    def step(state: TrainState) -> tuple[TrainState, dict[str, Array]]:
        key = jax.random.fold_in(state.key, state.step)
        beta_now = jnp.where(state.step < switch, hot, beta)
        fresh = optimiser.init(state.params)  # curvatures of another temperature are of no use
        kept = jax.tree.map(lambda new, old: jnp.where(state.step == switch, new, old), fresh, state.opt_state)

        def value(params: Any) -> tuple[Array, dict[str, Array]]:
            return loss(eqx.combine(params, static), system, beta_now, key, options.batch)

        (f, metrics), gradient = jax.value_and_grad(value, has_aux=True)(state.params)
        extra = {"value": f, "grad": gradient, "value_fn": lambda p: value(p)[0]} if lbfgs else {}
        updates, opt_state = optimiser.update(gradient, kept, state.params, **extra)
        new = TrainState(optax.apply_updates(state.params, updates), opt_state, state.key, state.step + 1)
        return new, {"beta": beta_now} | metrics | {"grad_norm": optax.tree.norm(gradient)}

    return Problem(step, start, static, lambda params, _: eqx.combine(params, static))


def _over_all(rho: CircuitEnsemble, system: QubitSystem, beta: Array, key: Array, batch: int):
    """F and a row of metrics, exactly."""
    levels = rho.all_levels(system.hamiltonian)
    log_p = rho.all_log_prob(levels.energy, beta)
    p = jnp.exp(log_p)
    f = levels.energy + log_p / beta
    mean = jnp.sum(p * f)
    spread = jnp.sum(p * ((f - mean) ** 2 + levels.variance))
    return mean, _row(mean, jnp.zeros(()), jnp.sum(p * levels.energy), -jnp.sum(p * log_p), spread)


def _over_samples(rho: CircuitEnsemble, system: QubitSystem, beta: Array, key: Array, batch: int):
    """A function whose gradient is an unbiased estimate of that of F, and a row of metrics."""
    spins, _ = jax.lax.stop_gradient(rho.p.sample_and_log_prob(key, (batch,)))
    levels, _ = rho.levels_and_states(system.hamiltonian, spins)
    log_p = rho.p.log_prob(spins)
    f = jax.lax.stop_gradient(levels.energy + log_p / beta)
    surrogate = jnp.mean(levels.energy + leave_one_out(f) * log_p)
    spread = jnp.var(f) + jnp.mean(levels.variance)
    error = jnp.std(f) / jnp.sqrt(batch - 1.0)
    return surrogate, _row(jnp.mean(f), error, jnp.mean(levels.energy), -jnp.mean(log_p), spread)


def _row(F: Array, error: Array, E: Array, S: Array, spread: Array) -> dict[str, Array]:
    return {"F": F, "F_error": error, "E": E, "S": S, "F_var": spread, "acceptance": jnp.ones(())}
