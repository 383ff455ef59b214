"""The loop for hydrogen: protons walk, electrons follow, F_loc = kT ln p(S) + E_loc is regressed on the scores.

    p(S)      E[ (<E_loc>_S + kT ln p(S) - F) d ln p(S) ]       F: a running mean at each twist
    Psi_S     2 Re E_S[ cov( E_loc^*, d ln Psi_S ) ]            over the electrons at the same S

Psi_S is not normalised, and its norm depends on S: only the covariance at one S is free of it, so that every proton
configuration has several electron walkers.  Thermal states of unknown norm depend on n too: covariance at one (S, n).
"""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from massieu import optimize
from massieu.densities.protons import ProtonFlow, tuned
from massieu.methods.atoms import chains
from massieu.methods.atoms.chains import AtomWalkers, chunked, expanded
from massieu.methods.atoms.options import AtomOptions
from massieu.methods.atoms.overlaps import local_loss
from massieu.methods.particles.train import clipped
from massieu.methods.training import Problem, Regression, TrainState, centred, regress
from massieu.principle import trainable
from massieu.systems.hydrogen import Atoms, Hydrogen

MEMORY = 0.9  # of the running mean of F at each twist
OF_PROTONS = 0.15  # learning rate of p, in units of beta F
OF_LABELS = 0.003  # learning rate of p(n|S)
IMAGINARY_TIME = 0.1  # 1/Ry per step, of Psi
ADAM, WARM_UP = 1e-3, 50  # learning rate, and the steps over which it rises to it
PROTONS = {"trust": 0.2, "damping": 0.1, "floor": 0.1}  # of p(S); the floor is for forces that the batch hardly sees
DENSE = {"trust": 0.2, "reach": 0.2, "damping": 0.01, "floor": 0.1}  # of the regression for Psi
# where atoms leave much of the box empty, and for thermal states, at whose many nodes a rough J makes the variance grow
# without end: parameters in their own units, so that smooth functions stay so
DILUTE = {"trust": 0.05, "reach": 0.05, "damping": 0.03, "floor": 1.0}
FEW = 2  # atoms that leave much of a box empty
CLIP_LOSS = 1.0  # deviations, of what overlaps cost: ratios of states have heavy tails at nodes


def problem(system: Hydrogen, rho: Atoms, beta: float, options: AtomOptions) -> Problem:
    """Split p and Psi into parameters and the rest; two natural gradients; one compiled step."""
    if isinstance(rho.protons, ProtonFlow) and options.tune:
        rho = eqx.tree_at(
            lambda r: r.protons, rho, tuned(rho.protons, system.screened_energy, beta, jax.random.key(options.seed + 2))
        )
    protons, static_protons = trainable(rho.protons)
    psi, static_psi = trainable(rho.psi)
    occupation, static_occupation = trainable(rho.occupation)
    params = (protons, psi, occupation)
    optimisers = _optimisers(rho.overlapping or system.n <= FEW, beta, options)
    groups, per_group = chains.groups_of(system, options.batch, options.walkers)
    walkers = chains.start(system, rho, groups, per_group, jax.random.key(options.seed + 1))
    opt_state = tuple(o.init(part) for o, part in zip(optimisers, params, strict=True))
    start = TrainState(params, opt_state, jax.random.key(options.seed), jnp.zeros((), jnp.int32), walkers)

    def combined(params: Any, _: Any = None) -> Atoms:
        parts = zip(params, (static_protons, static_psi, static_occupation), strict=True)
        return Atoms(*(eqx.combine(part, static) for part, static in parts))

    @jax.jit
    def step(state: TrainState) -> tuple[TrainState, dict[str, Array]]:
        rho = combined(state.params)
        key = jax.random.fold_in(state.key, state.step)
        walkers, at, acceptance = chains.follow(system, rho, state.walkers, key, options.sampler, options.moves)
        found = chains.energies(system, rho, walkers, at)
        log_prob = chains.log_probs(rho, walkers.z)
        log_labels = chains.label_log_probs(rho, walkers, at)
        local = found.kinetic + found.potential + log_labels / beta  # kT ln p(n|S): nothing for the ground state
        f = jnp.mean(local.real, axis=1) + log_prob / beta
        residual, baseline = _less_baseline(f, walkers)
        states, total = chains.states_of(rho, walkers), local
        if rho.overlapping:
            loss = local_loss(rho, at, walkers.x, states).reshape(-1) / beta
            total = local + clipped(loss, CLIP_LOSS).reshape(local.shape)
        own = _centred(total, states)
        parts = [clipped(own.real.reshape(-1), options.clip_energy)]
        parts += [] if rho.psi.is_real else [clipped(own.imag.reshape(-1), options.clip_energy)]
        of_psi, of_s = jnp.concatenate(parts), _scores_protons(state.params[0], rho, walkers.z)
        regressions = [
            Regression(of_s, clipped(residual, options.clip_energy), len(f)),
            Regression(_scores_psi(state.params[1], system, rho, walkers, at), of_psi, len(of_psi)),
        ]
        if rho.occupation is not None:
            scores = _scores_occupation(state.params[2], rho, walkers, at)
            of_label = clipped(_centred(local.real, 1).reshape(-1), options.clip_energy)
            regressions.append(Regression(scores, of_label, len(of_label)))
        new = regress(optimisers, regressions, state.params, state.opt_state)
        if rho.occupation is not None:
            new.params[1] = trainable(eqx.combine(new.params[1], static_psi).projected())[0]
        walkers = walkers._replace(baseline=baseline)
        after = TrainState(tuple(new.params), tuple(new.opt_state), state.key, state.step + 1, walkers)
        found_metrics = _metrics(system, found, log_prob, log_labels, beta)
        return after, found_metrics | {"acceptance": acceptance, "grad_norm": new.norm}

    notes = (f"{groups} proton configurations with {per_group} electron walkers each",)
    return Problem(step, start, (static_protons, static_psi, static_occupation), combined, notes=notes)


def _optimisers(smooth: bool, beta: float, options: AtomOptions) -> tuple[Any, Any, Any]:
    """For p a natural gradient in units of beta F, with a running Fisher matrix; for Psi that in sample space.

    Psi has many times more parameters than a batch has walkers: SPRING, which keeps what earlier batches found.
    """
    schedule = optimize.ramp_and_cosine(options.steps, WARM_UP)
    rate, inverse = options.learning_rate or 1.0, beta if math.isfinite(beta) else 1.0
    of_protons = optimize.stochastic_reconfiguration(rate * OF_PROTONS * inverse, schedule, "sr", **PROTONS)
    of_labels = optimize.adam(rate * OF_LABELS, schedule, options.clip)  # a level seldom drawn has no Fisher matrix
    if options.optimiser == "adam":
        return of_protons, optimize.adam(rate * ADAM, schedule, options.clip), of_labels
    of_psi = optimize.stochastic_reconfiguration(
        rate * IMAGINARY_TIME, schedule, options.method, **(DILUTE if smooth else DENSE)
    )
    return of_protons, of_psi, of_labels


def _less_baseline(f: Array, walkers: AtomWalkers) -> tuple[Array, Array]:
    """f (G,) less the running mean at its twist, which earlier steps made, and the new running means (Q,)."""
    twists = len(walkers.baseline)
    at = (walkers.twist[:, None] == jnp.arange(twists)[None]).astype(f.dtype)
    means = at.T @ f / jnp.sum(at, axis=0)
    first = jnp.isnan(walkers.baseline)
    old = jnp.where(first, jnp.mean(f), walkers.baseline)
    residual = f - old[walkers.twist]
    return residual - jnp.mean(residual), jnp.where(first, means, MEMORY * old + (1 - MEMORY) * means)


def _scores_protons(params: Any, rho: Atoms, z: Array) -> Any:
    """d ln p(S) (G, ..) less its mean, which is zero on average."""
    if not jax.tree.leaves(params):
        return params
    found = trainable(jax.lax.map(rho.protons.scores, z, batch_size=16))[0]
    return centred(found)


def _scores_psi(params: Any, system: Hydrogen, rho: Atoms, walkers: AtomWalkers, at: Any) -> Any:
    """Real, then (at a twist) imaginary parts of d ln Psi_S (B or 2B, ..) less their means at the same S."""
    each = 2 * chains.walker_bytes(system, rho) // (3 * system.n) + 16 * sum(map(jnp.size, jax.tree.leaves(params)))
    rows: Any = expanded(walkers)
    if rho.occupation is not None:
        rows = (at, rows[2])
    real, imaginary = chunked(rho.psi.scores, each, rows)
    real, imaginary = trainable(real)[0], imaginary if imaginary is None else trainable(imaginary)[0]
    states = chains.states_of(rho, walkers)
    real = _less_group_means(real, walkers, states)
    if imaginary is None:
        return real
    return jax.tree.map(lambda r, i: jnp.concatenate([r, i]), real, _less_group_means(imaginary, walkers, states))


def _less_group_means(scores: Any, walkers: AtomWalkers, states: int = 1) -> Any:
    """Scores (B, ..) of every walker less their means at the same S, or in each of the `states` there."""
    shape = walkers.x.shape[:2]
    return jax.tree.map(
        lambda leaf: _centred(leaf.reshape(*shape, *leaf.shape[1:]), states).reshape(leaf.shape), scores
    )


def _centred(values: Array, states: int) -> Array:
    """Values (G, W, ..) less their means over the walkers of one of `states` at one S."""
    grouped = values.reshape(len(values) * states, -1, *values.shape[2:])
    return (grouped - jnp.mean(grouped, axis=1, keepdims=True)).reshape(values.shape)


def _scores_occupation(params: Any, rho: Atoms, walkers: AtomWalkers, at: Any) -> Any:
    """d ln p(n|S) (B, ..) less its mean at the same S."""
    found = jax.vmap(jax.grad(lambda o, at, n: o.log_prob(at, n)), (None, 0, 0))(params, at.shared, at.label)
    return _less_group_means(found, walkers)


def _metrics(system: Hydrogen, found: Any, log_prob: Array, of_label: Array, beta: float) -> dict[str, Array]:
    """One row of metrics.csv (without the times); totals with the ideal part of the ions."""
    ions = system.ideal_ions()
    local = (found.kinetic + found.potential).real
    every = local + (log_prob[:, None] + of_label) / beta
    f = jnp.mean(every, axis=1)
    spread = jnp.std(f) / math.sqrt(max(1, len(f) - 1)) if len(f) > 1 else jnp.std(local) / math.sqrt(local.size)
    kinetic, potential = jnp.mean(found.kinetic.real), jnp.mean(found.potential)
    pressure = {"P": jnp.asarray(system.pressure(kinetic, potential))} if system.has_pressure else {}
    return {
        "beta": jnp.asarray(beta),
        "F": jnp.mean(f) + ions.F,
        "F_error": spread,
        "E": jnp.mean(local) + ions.E,
        "S": jnp.asarray(ions.S) - jnp.mean(log_prob) - jnp.mean(of_label),
        "S_electrons": -jnp.mean(of_label),
        "kinetic": kinetic,
        "potential": potential,
        "F_var": jnp.var(every),
        "E_var_at_S": jnp.mean(jnp.var(local, axis=1)),
        **pressure,
    }
