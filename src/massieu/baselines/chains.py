"""What the networks must beat: Markov chains and annealing on the same systems, with errors and times.

ais         annealed importance sampling: independent walkers from a solvable start           ln Z, E
smc         sequential Monte Carlo: the same with resampling, several populations             ln Z, E
hmc         Hamiltonian Monte Carlo chains at beta (continuous systems)                       E, observables
metropolis  single-site heat bath, or Gaussian moves of all coordinates, at beta              E, observables
umbrella    chains in windows along the system's reaction coordinate, put together by WHAM    free-energy difference

One module: five methods on the same annealing paths and moves, behind one table.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu import statistics
from massieu.errors import InputError, one_of, require
from massieu.exact.annealed import (
    bridge,
    hmc,
    log_mean_weight,
    new_key,
    plan_steps,
    weighted_mean,
)
from massieu.exact.population import sequential_monte_carlo
from massieu.exact.thermodynamics import Thermodynamics
from massieu.exact.umbrella import umbrella_sampling
from massieu.methods.evaluation import shaped
from massieu.methods.method import method_of
from massieu.precision import double_precision
from massieu.principle import Estimate
from massieu.systems.base import ClassicalSystem, PairwiseSpins, Path
from massieu.systems.inheritance import by_class, holds
from massieu.systems.states import StateSpins

METHODS = ("ais", "smc", "hmc", "metropolis", "umbrella")
LEAPFROG = 5
SEGMENT = 5  # stages of annealing between looks at the weights
POPULATIONS = 8
CHAINS = 32
PREPARED = 50  # stages of annealing before the chains of continuous systems
BURN_IN = 0.2  # fraction of the moves of a chain that adapts its step and is not averaged
RECORDS = 1000  # states of each chain that are averaged


class Baseline(NamedTuple):
    """values: F, E, S, ln Z where the method gives them; observables; details such as acceptance; seconds in all.

    warnings: what speaks against the averages.
    """

    method: str
    values: Thermodynamics | None
    observables: dict[str, Any]
    details: dict[str, float]
    seconds: float
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found = {} if self.values is None else {k: getattr(self.values, k) for k in ("F", "E", "S", "lnZ")}
        known = {k: e.as_dict() for k, e in found.items() if e is not None and math.isfinite(e.value)}
        plain = {"observables": self.observables, "details": self.details, "seconds": self.seconds}
        plain |= {"trusted": not self.warnings, "warnings": list(self.warnings)}
        return {"method": self.method} | known | plain


def baseline(system: ClassicalSystem, method: str, walkers: int = 1000, stages: int = 500, seed: int = 0) -> Baseline:
    """Run one method: `walkers` of annealing (in all populations) in `stages`, or CHAINS chains of 20 x stages moves.

    InputError for a method that the system has no use for.
    """
    one_of("method", method, METHODS)
    classical(system)
    require(walkers >= 8 * POPULATIONS, "walkers", walkers, f"at least {8 * POPULATIONS}")
    require(stages >= 10, "stages", stages, "at least 10")
    began = time.monotonic()
    with double_precision():
        if method in ("ais", "smc"):
            values, details = _annealed(_annealing(system, stages, seed), method, walkers, stages, seed)
            return Baseline(method, values, {}, details, time.monotonic() - began)
        if method == "umbrella":
            observables, details = _umbrella(system, 4 * stages, seed)
            return Baseline(method, None, observables, details, time.monotonic() - began)
        x, details = chains(system, method, stages, seed)
        observables, mixed = _averages(system, x)
    doubts: dict[str, list[str]] = {}
    for name, found in mixed.items():
        doubts.setdefault(found.doubt() or "", []).append(name)
    warnings = tuple(f"{doubt}: {', '.join(names)}" for doubt, names in doubts.items() if doubt)
    details |= mixed["energy"].as_dict()
    return Baseline(method, None, observables, details, time.monotonic() - began, warnings)


def classical(system: Any) -> Any:
    """The system; InputError unless it is classical, and walkers sample its Hamiltonian and not its parent's."""
    require(method_of(system).baselines == "chains", "system", system.name, "a classical one")
    base = _of_sites(system)
    own = type(system).energy is base.energy if base else holds(type(system), "path")
    require(own, "system", type(system).__name__, "one with a `path` of its own: its energy is not that of its parent")
    return system


def _of_sites(system: ClassicalSystem) -> Any:
    """The base class of systems of discrete sites, whose `sites()` a heat bath visits; None for continuous ones."""
    return by_class({PairwiseSpins: PairwiseSpins, StateSpins: StateSpins}, type(system))


def default_chain(system: ClassicalSystem) -> str:
    """The chain that suits discrete or continuous x."""
    return "metropolis" if _of_sites(system) else "hmc"


# ---- annealing


def _annealing(system: Any, stages: int, seed: int) -> _SiteAnnealing | _FieldAnnealing:
    return (_SiteAnnealing if _of_sites(system) else _FieldAnnealing)(system, stages, seed)


def _annealed(annealing: Any, method: str, walkers: int, stages: int, seed: int):
    populations = POPULATIONS if method == "smc" else 1
    size, segments = walkers // populations, math.ceil(stages / SEGMENT)
    state, rng = annealing.start(populations * size), np.random.default_rng(seed)
    if method == "ais":
        log_w = np.zeros(size)
        for segment in range(segments):
            state, increments = annealing.carry(state, segment)
            log_w = log_w + np.asarray(increments)
        ratio, ess = log_mean_weight(log_w)
        details = {"ess": ess, "walkers": size}
    else:
        found = sequential_monte_carlo(state, annealing.carry, annealing.pick, segments, populations, size, rng)
        ratio, state, log_w = found.log_ratio, found.walkers, found.log_weights
        details = {"resampled": found.resampled / populations, "walkers": populations * size}
    E = weighted_mean(np.asarray(annealing.energy(state)), log_w)
    lnZ = ratio._replace(value=ratio.value + annealing.log_base)
    return Thermodynamics.from_estimates(lnZ, E, annealing.beta, method), details


class _FieldAnnealing:
    """HMC along the system's path; walkers are the last axis."""

    def __init__(self, system: ClassicalSystem, stages: int, seed: int):
        self.path, self.beta = system.path(), float(getattr(system, "beta", 1.0))
        self.log_base = self.path.log_base
        self.keys = jax.random.split(new_key(seed), 3 + math.ceil(stages / SEGMENT))
        self.ts = np.linspace(0.0, 1.0, len(self.keys) * SEGMENT - 3 * SEGMENT + 1)
        pilot = self.path.sample(self.keys[0], 128)
        self.steps = plan_steps(self.path.action, None, pilot, self.ts, self.path.width, self.keys[1], LEAPFROG)
        self.energy = jax.vmap(system.energy, in_axes=-1)

    def start(self, walkers: int) -> Array:
        return self.path.sample(self.keys[2], walkers)

    def carry(self, x: Array, segment: int) -> tuple[Array, Array]:
        at = slice(segment * SEGMENT, (segment + 1) * SEGMENT)
        ts, steps = self.ts[at.start : at.stop + 1], self.steps[at]
        key, none = self.keys[3 + segment], jnp.zeros(x.shape[-1])
        x, log_w, _, _ = bridge(self.path.action, None, x, none, ts, steps, key, False, LEAPFROG)
        return x, log_w

    @staticmethod
    def pick(x: Array, index: np.ndarray) -> Array:
        return x[..., index]


class _SiteAnnealing:
    """Heat-bath sweeps at rising beta from infinite temperature; walkers are columns (n, W)."""

    def __init__(self, system: PairwiseSpins | StateSpins, stages: int, seed: int):
        self.sites, self.rng = system.sites(), np.random.default_rng(seed + 1)
        self.beta, self.log_base, self.energy = system.beta, self.sites.log_states, self.sites.energy
        self.betas = np.linspace(0.0, system.beta, math.ceil(stages / SEGMENT) * SEGMENT + 1)

    def start(self, walkers: int) -> np.ndarray:
        return self.sites.start(self.rng, walkers)

    def carry(self, s: np.ndarray, segment: int) -> tuple[np.ndarray, np.ndarray]:
        s, log_w = s.copy(), np.zeros(s.shape[1])
        for k in range(segment * SEGMENT, (segment + 1) * SEGMENT):
            log_w -= (self.betas[k + 1] - self.betas[k]) * self.energy(s)
            self.sites.sweep(s, self.betas[k + 1], self.rng)
        return s, log_w

    @staticmethod
    def pick(s: np.ndarray, index: np.ndarray) -> np.ndarray:
        return s[:, index]


# ---- windows along a coordinate


def _umbrella(system: ClassicalSystem, moves: int, seed: int) -> tuple[dict[str, Any], dict[str, float]]:
    """Free-energy difference of the two states (unit of energy) and the profile along the coordinate."""
    along, path, beta = system.coordinate(), system.path(), float(getattr(system, "beta", 1.0))

    def start(key: Array, values: Array) -> Array:
        return along.place(path.sample(key, len(values)), values)

    found = umbrella_sampling(
        path.action, along.of, start, along.low, along.high, along.split, moves=moves, width=path.width, seed=seed
    )
    difference = Estimate(found.difference.value / beta, found.difference.error / beta)
    profile = {along.name: found.centres.tolist(), "F": (found.profile / beta).tolist()}
    return {"delta_F": difference.as_dict(), "profile": profile}, {"acceptance": found.acceptance, "moves": moves}


# ---- chains


def chains(system: Any, method: str, stages: int, seed: int) -> tuple[Array, dict[str, float]]:
    """States (CHAINS, T, *shape) of chains of 20 x stages moves at the system's beta, T <= RECORDS, and details."""
    if _of_sites(system):
        if method == "hmc":
            raise InputError(
                f"method = hmc: must be ais, smc or metropolis for {system.name}, whose states are discrete"
            )
        return _site_chains(system, 20 * stages, seed)
    return _field_chains(system, method, 20 * stages, seed)


def _site_chains(system: PairwiseSpins | StateSpins, sweeps: int, seed: int) -> tuple[Array, dict[str, float]]:
    """States (CHAINS, T, n) of single-site heat bath from random starts."""
    sites, rng, kept = system.sites(), np.random.default_rng(seed), []
    s = sites.start(rng, CHAINS)
    every = max(1, sweeps // RECORDS)
    for sweep in range(sweeps):
        sites.sweep(s, system.beta, rng)
        if sweep >= BURN_IN * sweeps and sweep % every == 0:
            kept.append(s.T.copy())
    return jnp.asarray(np.stack(kept, axis=1)), {"sweeps": sweeps, "recorded_every": every}


def _field_chains(system: ClassicalSystem, method: str, moves: int, seed: int) -> tuple[Array, dict[str, float]]:
    """States (CHAINS, T, *shape) of HMC or Gaussian Metropolis moves, from walkers annealed to the system."""
    annealing, key = _FieldAnnealing(system, PREPARED, seed), new_key(seed)
    path, x, log_w = annealing.path, annealing.start(8 * CHAINS), np.zeros(8 * CHAINS)
    for segment in range(PREPARED // SEGMENT):
        x, increments = annealing.carry(x, segment)
        log_w += np.asarray(increments)
    share = np.exp(log_w - log_w.max())  # walkers that were left behind on the way have no weight
    x = x[..., np.random.default_rng(seed).choice(8 * CHAINS, CHAINS, p=share / share.sum())]
    every, burn = max(1, moves // RECORDS), int(BURN_IN * moves)
    move = _hmc_move(path) if method == "hmc" else _metropolis_move(path)
    target = 0.8 if method == "hmc" else 0.4

    def adapt(state: tuple[Array, Array], key: Array) -> tuple[tuple[Array, Array], None]:
        x, step = state
        x, acceptance = move(x, step, key)
        return (x, step * jnp.exp(0.1 * (acceptance - target))), None

    def record(x: Array, key: Array) -> tuple[Array, tuple[Array, Array]]:
        x, accepted = jax.lax.scan(lambda x, k: move(x, step, k), x, jax.random.split(key, every))
        return x, (x, jnp.mean(accepted))

    first, second = jax.random.split(key)
    (x, step), _ = jax.lax.scan(adapt, (x, annealing.steps[-1]), jax.random.split(first, burn))
    _, (kept, accepted) = jax.lax.scan(record, x, jax.random.split(second, (moves - burn) // every))
    return jnp.moveaxis(kept, -1, 0), {"acceptance": float(jnp.mean(accepted)), "step": float(step), "moves": moves}


Move = Callable[[Array, Array, Array], tuple[Array, Array]]


def _hmc_move(path: Path) -> Move:
    def move(x: Array, step: Array, key: Array) -> tuple[Array, Array]:
        x, _, _, acceptance = hmc(path.action, None, x, 1.0, step, key, LEAPFROG)
        return x, acceptance

    return move


def _metropolis_move(path: Path) -> Move:
    def move(x: Array, step: Array, key: Array) -> tuple[Array, Array]:
        noise, coin = jax.random.split(key)
        trial = x + step * jax.random.normal(noise, x.shape)
        change = path.action(trial, 1.0, None) - path.action(x, 1.0, None)
        accept = jnp.log(jax.random.uniform(coin, change.shape)) < -change
        return jnp.where(accept, trial, x), jnp.mean(accept)

    return move


def _averages(system: ClassicalSystem, x: Array) -> tuple[dict[str, Any], dict[str, statistics.Mixing]]:
    """Blocked averages of the energy and all observables over chains (C, T, ..), and how the scalar ones have mixed.

    Observables that never change are not asked: only of the energy does that say that the chains stand still.
    """
    one = jax.jit(jax.vmap(lambda x: system.observables(x) | {"energy": system.energy(x)}))
    parts = [one(chain) for chain in x]
    found: dict[str, Any] = {}
    mixed: dict[str, statistics.Mixing] = {}
    for name in parts[0]:
        values = np.stack([np.asarray(part[name]) for part in parts])
        flat = values.reshape(*values.shape[:2], -1)
        columns = tuple(statistics.blocking(flat[..., k]) for k in range(flat.shape[-1]))
        found[name] = shaped(columns, values.shape[2:])
        if values.ndim == 2 and (name == "energy" or np.ptp(values) > 0):
            mixed[name] = statistics.mixing(values)
    return found, mixed
