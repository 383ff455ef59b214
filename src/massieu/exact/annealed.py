"""Annealed importance sampling: ln Z with an error bar from walkers carried from a solvable system to the target.

    ln w = sum_k [U(x_k, t_k) - U(x_k, t_{k+1})],   Z_1 / Z_0 = <w>      (R. Neal, Stat. Comput. 11, 125 (2001))

U(x, t) is the action (energy over temperature) along a path t = 0 ... 1; between two values of t the walkers move by
Hamiltonian Monte Carlo.  Step sizes come from a separate pilot run and are then fixed, so <w> has no bias.
The batch of walkers is the *last* axis of every array: sums over particles then run along contiguous memory.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from massieu.exact.enumeration import check_beta, check_problem
from massieu.exact.thermodynamics import Thermodynamics
from massieu.precision import double_precision
from massieu.principle import Estimate

Number = jax.Array | float
Action = Callable[[jax.Array, Number, Any], jax.Array]

TARGET_ACCEPTANCE = 0.85


class Annealed(NamedTuple):
    """ln Z and the mean of the observable at t = 1 (None if not asked for), effective sample size, acceptance."""

    lnZ: Estimate
    mean: Estimate | None
    ess: float
    acceptance: float


def new_key(seed: int) -> jax.Array:
    """A random key whose generator compiles and runs several times faster on a CPU than the default one."""
    return jax.random.key(seed, impl="rbg")


def weighted_mean(values: np.ndarray, log_weights: np.ndarray) -> Estimate:
    """sum w a / sum w over independent walkers, with the error of the ratio to first order."""
    share = np.exp(log_weights - log_weights.max())
    share /= share.sum()
    mean = float(share @ values)
    return Estimate(mean, float(np.sqrt(np.sum((share * (values - mean)) ** 2))))


def log_mean_weight(log_weights: np.ndarray) -> tuple[Estimate, float]:
    """ln <w> with its error sqrt(1/ESS - 1/W), and ESS = (sum w)^2 / sum w^2, over independent walkers (W,)."""
    top = float(log_weights.max())
    w = np.exp(log_weights - top)
    ess = float(w.sum() ** 2 / (w**2).sum())
    return Estimate(top + float(np.log(w.mean())), float(np.sqrt(max(0.0, 1 / ess - 1 / len(w))))), ess


def hmc(
    action: Action, parameters: Any, x: jax.Array, t: Number, step: Number, key: jax.Array, leapfrog: int
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """One Hamiltonian Monte Carlo move of all walkers (..., W) at fixed t.

    Returns the walkers, their action before and after the move (W,), and the mean acceptance.
    """
    momentum_key, length_key, accept_key = jax.random.split(key, 3)
    particles = tuple(range(x.ndim - 1))
    # a random length for each walker keeps trajectories from closing on themselves in harmonic traps
    step = step * jax.random.uniform(length_key, (*(1,) * len(particles), x.shape[-1]), x.dtype, 0.6, 1.0)
    p = jax.random.normal(momentum_key, x.shape, x.dtype)

    def leap(state: tuple[jax.Array, jax.Array], part: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        y, q = state
        y = y + part[0] * step * q
        value, pullback = jax.vjp(lambda z: action(z, t, parameters), y)
        return (y, q - part[1] * step * pullback(jnp.ones_like(value))[0]), value

    # drifts and kicks of leapfrog: half a kick first, then full ones, half a kick last
    parts = np.ones((leapfrog + 1, 2))
    parts[0], parts[-1, 1] = (0.0, 0.5), 0.5
    (y, q), values = jax.lax.scan(leap, (x, p), jnp.asarray(parts, x.dtype))
    change = values[-1] - values[0] + 0.5 * (jnp.sum(q**2, particles) - jnp.sum(p**2, particles))
    change = jnp.where(jnp.isfinite(change), change, jnp.inf)  # two particles met: refuse
    accept = jnp.log(jax.random.uniform(accept_key, change.shape, x.dtype)) < -change
    after = jnp.where(accept, values[-1], values[0])
    return jnp.where(accept, y, x), values[0], after, jnp.minimum(1.0, jnp.exp(-change)).mean()


@partial(jax.jit, static_argnames=("action", "leapfrog"))
def bridge(
    action: Action,
    parameters: Any,
    x: jax.Array,
    log_w: jax.Array,
    ts: np.ndarray,
    steps: np.ndarray,
    key: jax.Array,
    adapt: bool,
    leapfrog: int,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Carry the walkers along ts (K+1,): K weight updates, each followed by one move with leapfrog step `steps` (K,).

    With `adapt` (a pilot run) only steps[0] is used and every stage corrects the step of the next one.  Returns the
    walkers, their log weights (W,), the step used at each stage (K,) and the acceptance (K,).
    """

    def stage(carry: Any, inputs: Any) -> Any:
        x, log_w, value, step = carry
        t_next, planned, key = inputs
        step = jnp.where(adapt, step, planned)
        x, before, after, acceptance = hmc(action, parameters, x, t_next, step, key, leapfrog)
        log_w = log_w + value - before  # U(x, t) - U(x, t_next), both at the walkers before the move
        return (x, log_w, after, step * jnp.exp(0.5 * (acceptance - TARGET_ACCEPTANCE))), (step, acceptance)

    keys = jax.random.split(key, len(ts) - 1)
    start = (x, log_w, action(x, ts[0], parameters), steps[0])
    (x, log_w, _, _), (used, acceptance) = jax.lax.scan(stage, start, (ts[1:], steps, keys))
    return x, log_w, used, acceptance


@partial(jax.jit, static_argnames=("action", "observable", "leapfrog", "moves"))
def dwell(
    action: Action,
    observable: Action,
    parameters: Any,
    x: jax.Array,
    t: Number,
    step: Number,
    key: jax.Array,
    leapfrog: int,
    moves: int,
) -> tuple[jax.Array, jax.Array]:
    """`moves` moves at fixed t; the walkers and each walker's time average of observable(x, t, parameters) (..., W)."""

    def move(x: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        x, *_ = hmc(action, parameters, x, t, step, key, leapfrog)
        return x, observable(x, t, parameters)

    x, trace = jax.lax.scan(move, x, jax.random.split(key, moves))
    return x, trace.mean(axis=0)


def plan_steps(
    action: Action, parameters: Any, x: jax.Array, ts: np.ndarray, width: float, key: jax.Array, leapfrog: int
) -> jax.Array:
    """Leapfrog steps (K,) for each stage of ts from a pilot run of separate walkers x."""
    guess = np.full(len(ts) - 1, 0.8 * width)
    return bridge(action, parameters, x, jnp.zeros(x.shape[-1]), ts, guess, key, True, leapfrog)[2]


def annealed_importance_sampling(
    action: Action,
    sample_base: Callable[[jax.Array, int], jax.Array],
    log_base: float,
    parameters: Any = (),
    observable: Action | None = None,
    walkers: int = 2000,
    steps: int = 300,
    seed: int = 0,
    width: float = 1.0,
    leapfrog: int = 5,
    moves: int = 20,
) -> Annealed:
    """ln of int dx exp(-action(x, 1, parameters)) for a continuous system; everything in float64.

    action(x (..., W), t, parameters) -> (W,), dimensionless; at t = 0 its integral is exp(log_base) and
    sample_base(key, W) -> (..., W) draws from it.  `width` is a typical length of the base (first leapfrog step).
    `observable(x, t, parameters)` -> (W,) is averaged over `moves` further moves of each weighted walker at t = 1.
    The error of ln Z trusts the weights: with ess below about 20 it is too small, so raise `steps`.
    """
    with double_precision():
        pilot_key, base_key, anneal_key, dwell_key = jax.random.split(new_key(seed), 4)
        ts = np.linspace(0.0, 1.0, steps + 1)
        pilot = sample_base(jax.random.fold_in(pilot_key, 0), max(64, walkers // 8))
        plan = np.asarray(plan_steps(action, parameters, pilot, ts, width, pilot_key, leapfrog))
        x = sample_base(base_key, walkers)
        x, log_w, _, acceptance = bridge(
            action, parameters, x, jnp.zeros(walkers), ts, plan, anneal_key, False, leapfrog
        )
        mean = None
        if observable is not None:
            _, values = dwell(action, observable, parameters, x, ts[-1], plan[-1], dwell_key, leapfrog, moves)
            mean = weighted_mean(np.asarray(values), np.asarray(log_w))
        ratio, ess = log_mean_weight(np.asarray(log_w))
        return Annealed(Estimate(log_base + ratio.value, ratio.error), mean, ess, float(acceptance.mean()))


def heat_bath(s: np.ndarray, couplings: np.ndarray, field: np.ndarray, beta: float, rng: np.random.Generator) -> None:
    """One sweep of single-site heat bath over the columns of s (n, W), in place."""
    # s_i = +1 with probability 1/(1 + exp(-2 beta h_i)), i.e. where 2 beta h_i exceeds a logistic variate
    noise = rng.logistic(size=s.shape) / (2 * beta)
    for i, row in enumerate(couplings):
        s[i] = np.where(field[i] + row @ s > noise[i], 1.0, -1.0)


def columns_energy(s: np.ndarray, couplings: np.ndarray, field: np.ndarray) -> np.ndarray:
    """H of the columns of s (n, W): (W,)."""
    return -0.5 * np.sum(s * (couplings @ s), axis=0) - field @ s


class Sites(NamedTuple):
    """Discrete sites that a heat bath visits, walkers in columns s (n, W).

    log_states: ln of the number of states; start(rng, W) -> s at infinite temperature; energy(s) -> (W,);
    sweep(s, beta, rng) visits every site once, in place.
    """

    log_states: float
    start: Callable[[np.random.Generator, int], np.ndarray]
    energy: Callable[[np.ndarray], np.ndarray]
    sweep: Callable[[np.ndarray, float, np.random.Generator], None]


def spin_sites(couplings: np.ndarray, field: np.ndarray) -> Sites:
    """Spins +-1 with H = -sum_{i<j} J_ij s_i s_j - sum_i h_i s_i."""
    n = len(field)
    return Sites(
        n * math.log(2.0),
        lambda rng, walkers: rng.choice([-1.0, 1.0], size=(n, walkers)),
        lambda s: columns_energy(s, couplings, field),
        lambda s, beta, rng: heat_bath(s, couplings, field, beta, rng),
    )


def ais_spins(
    couplings: np.ndarray,
    field: np.ndarray | float | None,
    beta: float,
    walkers: int = 1000,
    sweeps: int = 500,
    seed: int = 0,
) -> Thermodynamics:
    """ln Z, F, E, S of any number of spins by annealing independent walkers from infinite temperature; totals.

    As `ais_sites`.
    """
    check_beta(beta)
    return ais_sites(spin_sites(*check_problem(couplings, field)), beta, walkers, sweeps, seed)


def ais_sites(sites: Sites, beta: float, walkers: int = 1000, sweeps: int = 500, seed: int = 0) -> Thermodynamics:
    """ln Z, F, E, S of discrete sites by annealing independent walkers from infinite temperature; totals.

    `sweeps` heat-bath sweeps at inverse temperatures rising linearly to beta, then sweeps/5 more at beta for E.
    Errors come from the spread of the weights; the effective number of walkers is in `method` (below 20: distrust).
    """
    rng = np.random.default_rng(seed)
    s = sites.start(rng, walkers)
    betas, log_w = np.linspace(0.0, beta, sweeps + 1), np.full(walkers, sites.log_states)
    for now, after in itertools.pairwise(betas):
        log_w -= (after - now) * sites.energy(s)
        sites.sweep(s, after, rng)
    mean = np.zeros(walkers)
    for _ in range(last := max(1, sweeps // 5)):
        mean += sites.energy(s) / last
        sites.sweep(s, beta, rng)
    lnZ, ess = log_mean_weight(log_w)
    method = f"annealed importance sampling (ESS {ess:.0f} of {walkers})"
    return Thermodynamics.from_estimates(lnZ, weighted_mean(mean, log_w), beta, method)
