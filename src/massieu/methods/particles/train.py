"""The loop for density matrices: draw K and x, weigh with F_loc, regress it on the scores of p and of Psi, update.

Gradients of F = E_{K~p}[ kT ln p(K) + E_{x~|Psi_K|^2} E_loc ] (principle.py):

    p        E[ (F_loc - F) d ln p(K) ]
    Psi      2 Re E[ (F_loc - F)^* d ln Psi_K(x) ]

For every K the mean of d ln|Psi_K|^2 over x is zero, so kT ln p(K) - F may stand for -<E_loc>_K as the baseline; at the
exact rho every single term vanishes.  F is that of the sample's own twist.  Both natural gradients are ridge
regressions of F_loc on the scores.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from massieu import optimize, sampling
from massieu.methods.particles.options import ParticleOptions
from massieu.methods.particles.remixing import Remixing, with_plain_tables
from massieu.methods.training import Problem, Regression, TrainState, centred, regress
from massieu.principle import trainable
from massieu.states import DensityMatrix
from massieu.states.density_matrix import Draw
from massieu.systems.quantum import QuantumSystem

CHUNK_BYTES = 2**22  # derivatives of one chunk of walkers: what stays in the cache of a core
REMIX_SEED = 2**30  # apart from the steps
FLOOR = 1e-2  # ridge of the flow's natural gradient: potentials of momenta that are hardly ever drawn learn slowly
LEARNING_RATE = 0.15  # of the natural gradient of p, in units of beta F


class Weighed(NamedTuple):
    """A weighed batch: labels (B, ..), ln p (B,), z, x and gradient of ln Psi at x (B, N, dim), energies (B,)."""

    label: Array
    log_prob: Array
    z: Array
    x: Array
    gradient: Array
    kinetic: Array
    potential: Array
    least: Array

    @property
    def energy(self) -> Array:
        """Complex local energy."""
        return self.kinetic + self.potential


def chunk_size(each: int, batch: int) -> int:
    """Walkers of `each` bytes that fit CHUNK_BYTES at a time."""
    return max(1, min(batch, CHUNK_BYTES // each))


def weigh(rho: DensityMatrix, system: QuantumSystem, draw: Any) -> Weighed:
    """Local energies of a draw, chunk by chunk."""

    def one(args: tuple[Array, Array]) -> tuple[Array, ...]:
        label, z = args
        local = rho.psi.local(label, z)
        kinetic = system.kinetic_scale * local.kinetic
        return local.x, local.gradient, kinetic, system.potential(local.x), local.least

    rows = jax.lax.map(one, (draw.label, draw.z), batch_size=chunk_size(rho.psi.walker_bytes, len(draw.z)))
    return Weighed(draw.label, draw.log_prob, draw.z, *rows)


def clipped(f: Array, deviations: float) -> Array:
    """f (B,) with values further than `deviations` mean absolute deviations from the median moved to that distance."""
    middle = jnp.median(f)
    reach = deviations * jnp.mean(jnp.abs(f - middle))
    return jnp.clip(f, middle - reach, middle + reach)


def less_twist_means(values: Array, twist: Array, twists: int) -> Array:
    """Values (B, ..) less the mean of those at the same twist (B,), 0 .. twists - 1; each twist is a gas of its own."""
    at = (twist[:, None] == jnp.arange(twists)[None]).astype(values.dtype)
    means = jnp.tensordot(at.T / jnp.maximum(1.0, jnp.sum(at, axis=0))[:, None], values, 1)
    return values - jnp.tensordot(at, means, 1)


def problem(system: QuantumSystem, rho: DensityMatrix, beta: float, options: ParticleOptions) -> Problem:
    """Split p and Psi into parameters and the rest; two natural gradients (or Adam); one compiled step."""
    rho = with_plain_tables(rho)
    p, static_p = trainable(rho.p)
    psi, static_psi = trainable(rho.psi)
    plain, network = _network_apart(p)
    params = (plain, network, psi)
    optimisers = _optimisers(system, rho, beta, options)
    opt_state = tuple(opt.init(part) for opt, part in zip(optimisers, params, strict=True))
    remixing = Remixing.of(system, rho) if options.remix else None
    frame = () if remixing is None else remixing.start

    def statics(frame: Any) -> tuple[Any, Any]:
        return (static_p, static_psi) if remixing is None else remixing.framed(static_p, static_psi, frame)

    def combined(params: Any, frame: Any) -> DensityMatrix:
        plain, network, psi = params
        of_p, of_psi = statics(frame)
        return DensityMatrix(eqx.combine(plain, network, of_p), eqx.combine(psi, of_psi))

    draw, walkers = _sampler(combined(params, frame), options)
    start = TrainState(params, opt_state, jax.random.key(options.seed), jnp.zeros((), jnp.int32), walkers, frame)
    beta_or_one = beta if jnp.isfinite(beta) else 1.0

    @jax.jit
    def step(state: TrainState) -> tuple[TrainState, dict[str, Array]]:
        rho = combined(state.params, state.frame)
        of_p, of_psi = statics(state.frame)
        keys = jax.random.split(jax.random.fold_in(state.key, state.step), options.accumulate)
        chains, (drawn, acceptance) = jax.lax.scan(lambda chains, key: draw(rho, chains, key), state.walkers, keys)
        walkers = weigh(rho, system, jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), drawn))
        f = walkers.energy.real + walkers.log_prob / beta
        at_twist = walkers.label[:, 0], len(rho.psi.twist)
        real = less_twist_means(clipped(less_twist_means(f, *at_twist), options.clip_energy), *at_twist)
        imaginary = clipped(walkers.energy.imag, options.clip_energy)
        scores_p = _scores_p(eqx.combine(*state.params[:2]), of_p, walkers, at_twist[1])
        scores_psi = _scores_psi(state.params[2], of_psi, walkers)
        both = jnp.concatenate([real, imaginary])
        of_both = (Regression(part, real, len(real)) for part in _network_apart(scores_p))
        regressions = (*of_both, Regression(scores_psi, both, len(real)))
        new = regress(optimisers, regressions, state.params, state.opt_state, beta_or_one)
        new.params[2] = trainable(eqx.combine(new.params[2], static_psi).projected())[0]
        after = TrainState(tuple(new.params), tuple(new.opt_state), state.key, state.step + 1, chains, state.frame)
        return after, _metrics(walkers, less_twist_means(f, *at_twist), f, beta) | {
            "grad_norm": new.norm,
            "acceptance": jnp.mean(acceptance),
        }

    if remixing is None:
        return Problem(step, start, (static_p, static_psi), combined)
    between_steps = _remixed_when_due(remixing, combined, options)
    return Problem(step, start, (static_p, static_psi), combined, between_steps, (".params[2]", ".frame.states"))


def _remixed_when_due(remixing: Remixing, combined: Any, options: ParticleOptions) -> Any:
    """State to state: new states, and p from their energies, at remix, 2 remix, .. in the first half of the steps."""

    def between_steps(state: TrainState) -> TrainState:
        step = int(state.step)
        if step < options.remix or 2 * step > options.steps or not math.log2(step / options.remix).is_integer():
            return state
        key = jax.random.fold_in(jax.random.fold_in(state.key, REMIX_SEED), step)
        frame = remixing.measured(combined(state.params, state.frame), state.frame, key)
        params = (jax.tree.map(jnp.zeros_like, state.params[0]), *state.params[1:])
        walkers = state.walkers
        if options.sampler != "direct":  # other states, other densities: the chains start anew in equilibrium
            drawn = combined(params, frame).draw(jax.random.fold_in(key, 1), options.batch)
            walkers = walkers._replace(label=drawn.label, x=drawn.z)
        return state._replace(params=params, frame=frame, walkers=walkers)

    return between_steps


def _sampler(rho: DensityMatrix, options: ParticleOptions) -> tuple[Any, Any]:
    """draw(rho, chains, key) -> (chains, (Draw, acceptance)), and the chains that it starts from.

    Chains live on the base points z, whose density |D_K(z)|^2 changes only with the mixing; they start in equilibrium.
    """
    if options.sampler == "direct":
        return lambda rho, chains, key: (chains, (rho.draw(key, options.batch), jnp.ones(()))), ()
    first = jax.jit(lambda key: rho.draw(key, options.batch))(jax.random.key(options.seed + 1))
    spacing = rho.p.n ** (-1 / rho.psi.orbitals.shape[1])
    walkers = sampling.Walkers(first.label, first.z, jnp.full((), 0.1 * spacing, first.z.dtype))

    def draw(rho: DensityMatrix, chains: sampling.Walkers, key: Array) -> tuple[sampling.Walkers, tuple[Draw, Array]]:
        def labels(key: Array) -> Array:
            return jax.vmap(rho.p.sample_and_log_prob)(jax.random.split(key, options.batch))[0]

        chains, report = sampling.advance(options.sampler, rho.psi.log_base_density, labels, key, chains, options.moves)
        drawn = Draw(chains.label, jax.vmap(rho.p.log_prob)(chains.label), chains.x)
        return chains, (drawn, report.acceptance)

    return draw, walkers


def _scores_p(params: Any, static: Any, walkers: Weighed, twists: int) -> Any:
    """d ln p(K|q) (B, ...) less its mean at the twist q."""
    one = jax.grad(lambda params, label: eqx.combine(params, static).log_prob(label))
    scores = jax.vmap(one, (None, 0))(params, walkers.label)
    return jax.tree.map(lambda s: less_twist_means(s, walkers.label[:, 0], twists), scores)


def _scores_psi(params: Any, static: Any, walkers: Weighed) -> Any:
    """Real, then imaginary parts of d ln Psi (2 B, ...) less their means."""

    def one(args: tuple[Array, Array, Array]) -> Any:
        found = eqx.combine(params, static).scores(*args)
        return jax.tree.map(lambda p, s: None if p is None else s, params, found, is_leaf=lambda leaf: leaf is None)

    psi = eqx.combine(params, static)
    if psi.flow.coefficients.size == 0:
        return jax.tree.map(lambda leaf: jnp.zeros((2 * len(walkers.z), *leaf.shape)), params)
    rows = (walkers.label, walkers.z, walkers.gradient)
    both = jax.lax.map(one, rows, batch_size=chunk_size(psi.score_bytes, len(walkers.z)))
    return jax.tree.map(lambda s: jnp.concatenate([centred(s[:, 0]), centred(s[:, 1])]), both)


def _network_apart(params: Any) -> tuple[Any, Any]:
    """Parameters (or scores) of p without its attention layers, and those alone."""
    if getattr(params, "attention", None) is None:
        return params, jax.tree.map(lambda _: None, params)
    without = eqx.tree_at(lambda p: p.attention, params, jax.tree.map(lambda _: None, params.attention))
    empty = jax.tree.map(lambda _: None, params)
    return without, eqx.tree_at(lambda p: p.attention, empty, params.attention, is_leaf=lambda x: x is None)


def _optimisers(
    system: QuantumSystem, rho: DensityMatrix, beta: float, options: ParticleOptions
) -> tuple[Any, Any, Any]:
    """For p, its attention layers, and Psi: natural gradients in units of beta F, Adam, and imaginary time."""
    schedule = optimize.ramp_and_cosine(options.steps)
    if options.optimiser == "adam":
        rate = options.learning_rate or 3e-3
        return tuple(optimize.adam(rate, schedule, options.clip) for _ in range(3))
    rate = options.learning_rate or 1.0
    flow = optimize.stochastic_reconfiguration(
        rate * system.imaginary_time,
        schedule,
        options.method,
        trust=0.02,
        floor=FLOOR if getattr(rho.psi.flow, "by_momentum", False) else 0.1 * FLOOR,
    )
    p = optimize.stochastic_reconfiguration(
        rate * LEARNING_RATE * beta, schedule, options.method, trust=0.1, damping=0.1
    )
    return p, optimize.adam(1e-3 * rate, schedule, options.clip), flow


def _metrics(walkers: Weighed, residual: Array, f: Array, beta: float) -> dict[str, Array]:
    """One row of metrics.csv (without the times)."""
    return {
        "beta": jnp.asarray(beta),
        "F": jnp.mean(f),
        "F_error": jnp.std(f) / jnp.sqrt(len(f) - 1.0),
        "E": jnp.mean(walkers.energy.real),
        "S": -jnp.mean(walkers.log_prob),
        "kinetic": jnp.mean(walkers.kinetic.real),
        "potential": jnp.mean(walkers.potential),
        "F_var": jnp.mean(residual**2),
        "least_pivot": jnp.min(walkers.least),
    }
