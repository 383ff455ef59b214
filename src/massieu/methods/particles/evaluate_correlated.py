"""The final evaluation of correlated states: independent sets K, chains at each, overlaps, every number with its error.

Chains start from the bare determinants, all at once, so that the mean over them shows how they relax.  The first BURNED
measurements are dropped; `burn_in` is how many of all the marginal standard error rule would drop
(`statistics.equilibrated`): where it is more, they were too few.  The sets are independent: their means give all
errors, autocorrelation included.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from massieu import statistics
from massieu.densities.occupation import Occupation
from massieu.methods.evaluation import Evaluation
from massieu.methods.particles import chains, completeness, overlaps
from massieu.methods.particles.correlated import levels_of
from massieu.methods.particles.evaluate import columns, occupations
from massieu.methods.particles.options import ParticleOptions
from massieu.methods.particles.overlap_chains import WALKERS as WALKERS_OF_GROUP
from massieu.methods.particles.overlap_chains import squared_overlaps
from massieu.methods.particles.thermal_share import HOT, thermal_share
from massieu.methods.training import Problem, TrainState
from massieu.observables.momentum_distribution import from_positions
from massieu.principle import Estimate
from massieu.states import DensityMatrix

WALKERS = 2  # chains of each set K
CALLS = 20  # measurements of each chain
BURNED = 8  # measurements before these, dropped
KEPT = 2000
LABELS = 20_000  # sets K for averages of the model of E_K, and for S
LABELS_AT_ONCE = 2000
MOVED = 1000  # configurations whose electrons are moved for n(k)
LABEL_SEED, PAIR_SEED, MOVED_SEED = 2**20, 2**20 + 1, 2**20 + 2  # apart from the calls
OF_PAIR = 60  # measurements of each walker of a pair
OF_GROUPS = 2  # measurements of groups, at most, for each of the samples
FEWEST = 8  # sets


class Measured(NamedTuple):
    """What the chains of G sets gave: labels (G, 1 + N), ln p (G,), a configuration of each, and per call parts.

    kinetic (complex), potential and ln J (G, W, T) with the calls of the burn-in; others: means of the rest by set
    (G, ..); acceptance of the moves.
    """

    label: np.ndarray
    log_prob: np.ndarray
    x: np.ndarray
    kinetic: np.ndarray
    potential: np.ndarray
    log_jastrow: np.ndarray
    others: dict[str, np.ndarray]
    acceptance: float

    @property
    def energy(self) -> np.ndarray:
        """Real local energies (G, W, T) after the burn-in."""
        return (self.kinetic.real + self.potential)[:, :, BURNED:]


def evaluate(
    system: Any, training: Problem, state: TrainState, beta: float, options: ParticleOptions, seed: int
) -> Evaluation:
    """Draw sets from p, run chains at each, and average; x64 must be on."""
    rho, key = training.density(state), jax.random.key(seed)
    found = _measured(system, rho, state.walkers.step, options, key)
    energy, twist = found.energy.mean(axis=(1, 2)), found.label[:, 0]
    spread = float(np.mean(found.energy.var(axis=(1, 2), ddof=1)))
    observables = _observables(found, len(rho.psi.orbitals)) | {"energy_spread_within_states": math.sqrt(spread)}
    unit = 2 * math.pi * math.sqrt(system.kinetic_scale)
    some = slice(MOVED)
    observables["momentum_distribution"] = from_positions(
        rho.psi, jnp.asarray(found.label[some]), jnp.asarray(found.x[some]), jax.random.fold_in(key, MOVED_SEED), unit
    )
    samples = {"x": found.x, "label": found.label, "energy": energy, "log_prob": found.log_prob}
    samples = {name: values[:KEPT] for name, values in samples.items()}
    if not isinstance(rho.p, Occupation):
        E, none = statistics.stratified(energy, twist), Estimate(0.0)
        return Evaluation(E, E, none, none, spread, observables, {}, samples, found.energy.size)
    label, log_prob = _labels(rho, jax.random.fold_in(key, LABEL_SEED))
    model = levels_of(system, rho)
    coefficients = model.fitted(state.frame)
    predicted = jax.jit(jax.vmap(lambda label: model.energy(coefficients, label)))
    of_labels, miss = np.asarray(predicted(label)), energy - np.asarray(predicted(found.label))
    f, S, of_E = of_labels + log_prob / beta, statistics.mean(-log_prob), statistics.mean(miss)
    F, error = f.mean() + miss.mean(), math.hypot(of_E.error, statistics.mean(f).error)
    of_pairs = jax.random.fold_in(key, PAIR_SEED)
    overlap: completeness.Complete | overlaps.Bound
    if completeness.applies(rho.psi) and thermal_share(system, rho, beta, options.seed) > HOT:
        log_jastrow = found.log_jastrow[:, :, BURNED:].reshape(len(found.label), -1)
        overlap = completeness.bound(rho.psi, found.label, log_jastrow, of_pairs)
    else:
        weights = overlaps.Weights(label, log_prob, rho.psi.orbitals, rho.psi.spins, len(rho.psi.twist))
        overlap = _overlaps(rho, weights, state.walkers.step, options, beta * error, of_pairs)
    loss, together = overlap.value, 2 * overlap.covariance(miss) / beta
    own, others = (statistics.less_group_means(v, twist) for v in (found.log_prob, energy))
    observables |= overlap.as_dict() | {
        "free_energy_without_overlaps": float(F),
        "entropy_of_labels": S.as_dict(),
        "level_error": of_E.as_dict(),
        "entropy_step": entropy_step(beta, (f, log_prob, label[:, 0]), (miss, found.log_prob, twist)).as_dict(),
        "heat_capacity_from_energy": statistics.mean(-beta * own * others).as_dict(),
    }
    return Evaluation(
        F=Estimate(float(F + loss.value / beta), math.sqrt(max(error**2 + (loss.error / beta) ** 2 + together, 0.0))),
        E=Estimate(float(of_labels.mean() + miss.mean()), math.hypot(of_E.error, statistics.mean(of_labels).error)),
        S=Estimate(S.value - loss.value, math.hypot(S.error, loss.error)),
        C=statistics.variance(statistics.less_group_means(log_prob, label[:, 0])),
        F_var=spread + float(np.var(f)),
        observables=observables,
        importance={},
        samples=samples,
        drawn=found.energy.size,
    )


def entropy_step(beta: float, *parts: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Estimate:
    """dS = beta Cov_p(F_loc, ln p): what a Newton step of p towards its best temperature would add to S.

    Of p^a, dF/da = Cov(F_loc, ln p), d^2F/da^2 = kT Var ln p, dS/da = -Var ln p.  F_loc is a sum of parts, each with
    ln p and the stratum of samples of its own (M,).  Zero at the minimum of F, where S is that of the best p; its error
    is how far noise lets S be from that.
    """
    means = [
        statistics.mean(statistics.less_group_means(f, group) * statistics.less_group_means(log_prob, group))
        for f, log_prob, group in parts
    ]
    return Estimate(beta * sum(m.value for m in means), beta * math.hypot(*(m.error for m in means)))


def _overlaps(
    rho: DensityMatrix, weights: overlaps.Weights, step: Any, options: ParticleOptions, wanted: float, key: Any
) -> overlaps.Bound:
    """The entropy lost by overlaps, to half the error `wanted` or with OF_GROUPS times the samples."""
    label, settling, found = weights.pool.label, BURNED * options.moves, weights.pairs(seed=0)
    of_pairs, squared = np.zeros(0), np.zeros((0, overlaps.MEMBERS, overlaps.MEMBERS))
    if len(found):
        of_pairs = squared_overlaps(rho.psi, label[found], step, settling, key, OF_PAIR, lambda _: False)[:, 0, 1]
    groups = weights.groups(seed=1)
    if len(groups):
        most = math.ceil(OF_GROUPS * options.samples / (len(groups) * WALKERS_OF_GROUP))
        squared = squared_overlaps(
            rho.psi, label[groups], step, settling, jax.random.fold_in(key, 1), most,
            lambda v: weights.bound(of_pairs, groups, v).value.error < 0.5 * wanted,
        )  # fmt: skip
    return weights.bound(of_pairs, groups, squared)


def _measured(system: Any, rho: DensityMatrix, step: Any, options: ParticleOptions, key: Any) -> Measured:
    """Independent sets from p and chains at each of them."""
    count = max(FEWEST, math.ceil(options.samples / (WALKERS * CALLS)))
    arrays, rest = eqx.partition(rho, lambda leaf: isinstance(leaf, jax.Array))  # no large constants
    chunk = chains.at_once(rho.psi, count)

    @jax.jit
    def start(arrays: Any, key: Any) -> chains.Groups:
        return chains.started(eqx.combine(arrays, rest), key, count, WALKERS)._replace(step=step)

    @jax.jit
    def call(arrays: Any, groups: chains.Groups, key: Any) -> tuple[chains.Groups, Any]:
        psi = eqx.combine(arrays, rest).psi
        groups, acceptance = chains.moved(psi, groups, key, options.moves)

        def one(args: tuple[Any, Any]) -> Any:
            label, x = args
            local = psi.local(label, x)
            kinetic, potential = system.kinetic_scale * local.kinetic, system.potential(local.x)
            others = system.observables(label, local.x) | system.checks(local.x, kinetic.real, local.gradient)
            return kinetic, potential, psi.jastrow.log(local.x), others

        return groups, (jax.lax.map(one, (groups.each(), groups.flat()), batch_size=chunk), acceptance)

    def by_set(values: Any) -> np.ndarray:
        return np.asarray(values).reshape(count, WALKERS, *values.shape[1:])

    groups = start(arrays, jax.random.fold_in(key, 0))
    label = np.asarray(groups.label)
    parts: list[list[np.ndarray]] = [[], [], []]
    others, accepted = [], []
    for i in range(BURNED + CALLS):
        groups, (measured, acceptance) = call(arrays, groups, jax.random.fold_in(key, 1 + i))
        for part, values in zip(parts, measured, strict=False):
            part.append(by_set(values))
        if i < BURNED:
            continue
        others.append({name: by_set(values).mean(axis=1) for name, values in measured[3].items()})
        accepted.append(float(acceptance))
    means = {name: np.mean([row[name] for row in others], axis=0) for name in others[0]}
    kinetic, potential, log_jastrow = (np.stack(part, axis=2) for part in parts)
    x = np.asarray(jax.lax.map(rho.psi.positions, groups.x[:, 0]))
    accepted_mean = float(np.mean(accepted))
    return Measured(label, np.asarray(groups.log_prob), x, kinetic, potential, log_jastrow, means, accepted_mean)


def _observables(found: Measured, orbitals: int) -> dict[str, Any]:
    """Averages over the sets, and how well the chains have mixed."""
    kinetic, potential = (part[:, :, BURNED:].mean(axis=(1, 2)) for part in (found.kinetic, found.potential))
    twist = found.label[:, 0]
    parts = {"kinetic_energy": kinetic.real, "potential_energy": potential, "imaginary_energy": kinetic.imag}
    over_calls = (found.kinetic.real + found.potential).mean(axis=(0, 1))
    return {name: columns(values) for name, values in found.others.items()} | {
        **{name: statistics.stratified(values, twist).as_dict() for name, values in parts.items()},
        "occupations": occupations(found.label, orbitals),
        "occupation_sets": len(np.unique(found.label, axis=0)),
        "acceptance": found.acceptance,
        "r_hat": statistics.r_hat_within(found.energy),
        "burn_in": max(statistics.equilibrated(values) for values in (over_calls, found.log_jastrow.mean(axis=(0, 1)))),
        "sets": len(found.label),
    }


def _labels(rho: DensityMatrix, key: Any) -> tuple[np.ndarray, np.ndarray]:
    """LABELS sets from p with ln p."""
    draw = jax.jit(lambda keys: jax.vmap(rho.p.sample_and_log_prob)(keys))
    keys = jax.random.split(key, (LABELS // LABELS_AT_ONCE, LABELS_AT_ONCE))
    label, log_prob = zip(*map(draw, keys), strict=True)
    return np.concatenate(label), np.concatenate(log_prob)
