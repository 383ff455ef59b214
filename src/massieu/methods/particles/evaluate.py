"""The final evaluation of a density matrix: frozen parameters, independent samples, every number with its error."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import numpy as np

from massieu import statistics
from massieu.methods.evaluation import Evaluation, shaped
from massieu.methods.particles.options import ParticleOptions
from massieu.methods.particles.train import weigh
from massieu.methods.training import Problem, TrainState
from massieu.observables.momentum_distribution import momentum_distribution
from massieu.principle import Estimate
from massieu.states import DensityMatrix, FermionFlow
from massieu.systems.quantum import QuantumSystem

CHUNK = 500
KEPT = 2000  # configurations kept for samples.npz and the figures
MOVED = 8  # n(k) from an eighth of the samples, which costs about a quarter of the rest, but from
LEAST_MOVED = 200
MOVED_SEED = 2**30  # apart from the chunks


def evaluate(
    system: QuantumSystem, training: Problem, state: TrainState, beta: float, options: ParticleOptions, seed: int
) -> Evaluation:
    """`evaluate_quantum` of a training state."""
    return evaluate_quantum(system, training.density(state), beta, options.samples, seed)


def evaluate_quantum(system: QuantumSystem, rho: DensityMatrix, beta: float, samples: int, seed: int) -> Evaluation:
    """Draw `samples` labels and configurations and average; x64 must be on.

    C = beta^2 Var(H) of the variational density matrix comes by two routes, Var(ln p) and -beta Cov(E_loc, ln p), which
    agree when ln p(K) = beta (F - E_K): where the minimum over p is reached.  Both are averages over the twists of the
    fluctuations at one twist.
    """
    walkers, observed = _draw_all(system, rho, samples, seed)
    energy, log_prob, twist = walkers.energy.real, walkers.log_prob, walkers.label[:, 0]
    f = energy + log_prob / beta
    finite = math.isfinite(beta)
    own_log_prob, own_energy = (statistics.less_group_means(v, twist) for v in (log_prob, energy))
    C = statistics.variance(own_log_prob) if finite else Estimate(0.0, 0.0)
    observables: dict[str, Any] = {name: columns(values) for name, values in observed.items()}
    observables |= {
        "kinetic_energy": statistics.stratified(walkers.kinetic.real, twist).as_dict(),
        "potential_energy": statistics.stratified(walkers.potential, twist).as_dict(),
        "imaginary_energy": statistics.mean(walkers.energy.imag).as_dict(),
        "occupations": occupations(walkers.label, len(rho.psi.orbitals)),
        "occupation_sets": len(np.unique(walkers.label, axis=0)),
        "fraction_not_bijective": float(np.mean(walkers.least <= 0)),
    }
    spread = _within_labels(walkers.label, energy)
    if math.isfinite(spread):  # some states were drawn twice
        observables["energy_spread_within_states"] = spread
    if np.all(np.isfinite(walkers.least)):  # there are layers
        observables["least_pivot"] = float(walkers.least.min())
    if isinstance(rho.psi, FermionFlow):
        some = slice(max(LEAST_MOVED, len(f) // MOVED))
        unit = 2 * math.pi * math.sqrt(system.kinetic_scale)
        key = jax.random.fold_in(jax.random.key(seed), MOVED_SEED)
        found = momentum_distribution(rho.psi, walkers.label[some], walkers.z[some], key, unit)
        observables["momentum_distribution"] = found
    if finite:
        observables["heat_capacity_from_energy"] = statistics.mean(-beta * own_log_prob * own_energy).as_dict()
    return Evaluation(
        F=statistics.stratified(f, twist),
        E=statistics.stratified(energy, twist),
        S=statistics.stratified(-log_prob, twist) if finite else Estimate(0.0, 0.0),
        C=C,
        F_var=float(np.mean(statistics.less_group_means(f, twist) ** 2)),
        observables=observables,
        importance={},
        samples={"x": walkers.x[:KEPT], "label": walkers.label[:KEPT], "energy": energy[:KEPT],
                 "log_prob": log_prob[:KEPT]},
    )  # fmt: skip


def _draw_all(system: QuantumSystem, rho: DensityMatrix, samples: int, seed: int) -> tuple[Any, dict[str, Any]]:
    """Walkers, weighed samples and observables, chunk by chunk, as numpy arrays."""
    key = jax.random.key(seed)
    arrays, rest = eqx.partition(rho, lambda leaf: isinstance(leaf, jax.Array))  # no large constants

    @jax.jit
    def chunk(arrays, i):
        rho = eqx.combine(arrays, rest)
        walkers = weigh(rho, system, rho.draw(jax.random.fold_in(key, i), CHUNK))
        checks = jax.vmap(system.checks)(walkers.x, walkers.kinetic.real, walkers.gradient)
        return walkers, jax.vmap(system.observables)(walkers.label, walkers.x) | checks

    parts = [jax.tree.map(np.asarray, chunk(arrays, i)) for i in range(math.ceil(samples / CHUNK))]
    walkers, observed = jax.tree.map(lambda *rows: np.concatenate(rows)[:samples], *parts)
    return walkers, observed


def columns(values: np.ndarray) -> dict[str, Any]:
    """{"value", "error"} of a number or an array for each sample."""
    columns = values.reshape(len(values), -1).T
    return shaped(tuple(statistics.mean(column) for column in columns), values.shape[1:])


def occupations(label: np.ndarray, orbitals: int) -> dict[str, Any]:
    """Mean occupation of each orbital in p(K), spins summed."""
    places = np.arange(len(label))[:, None] * orbitals + label[:, 1:]
    of_place, count = np.unique(places, return_counts=True)  # most orbitals are empty
    first, second = (np.bincount(of_place % orbitals, count**power, orbitals) / len(label) for power in (1, 2))
    spread = np.maximum(second - first**2, 0.0) / (len(label) - 1 or math.nan)
    return {"value": first.tolist(), "error": np.sqrt(spread).tolist()}


def _within_labels(label: np.ndarray, energy: np.ndarray) -> float:
    """Standard deviation of E_loc about the mean of its own K: zero if every Psi_K is an eigenstate."""
    _, index, counts = np.unique(label, axis=0, return_inverse=True, return_counts=True)
    often = counts[index.ravel()] > 1
    if not np.any(often):
        return math.nan
    deviation = statistics.less_group_means(energy[often], index.ravel()[often])
    return float(np.sqrt(np.mean(deviation**2)))
