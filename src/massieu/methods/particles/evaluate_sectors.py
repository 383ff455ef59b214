"""Few electrons, evaluated: energies and overlaps of the states of every sector from independent samples.

    F_bound = sum_k p(k) [ kT ln p(k) + H_kk/S_kk ] + kT (entropy lost by the overlaps S_kk'; principle.py)

is unbiased by the choice of states: an upper bound whatever the noise of the measurement that chose them was.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jax import Array

from massieu.methods.evaluation import Evaluation
from massieu.methods.particles.options import ParticleOptions
from massieu.methods.particles.sector_sums import (
    CHUNK,
    LEAST_WEIGHT,
    Sums,
    diagonal,
    in_basis,
    measured_families,
    sums_of,
)
from massieu.methods.training import Problem, TrainState
from massieu.principle import Estimate, log_tangent
from massieu.states import DensityMatrix

BATCHES = 16  # of an evaluation, for its errors
KEPT = 2000
LEAST_SHARE = 0.02  # of the points of an evaluation, for every family
LEAST_OVERLAP = 1e-5  # squared, between two states, in the tangent
EVALUATE_SEED = 2**28


class Totals(NamedTuple):
    """F, E, S, the potential energy, the entropy that overlaps of the states lose, and C = -beta Cov(E_k, ln p).

    p_S, p_C: entropy and heat capacity of the Boltzmann weights of the energies as evaluated, beside those of p.
    """

    F: float
    E: float
    S: float
    potential: float
    loss: float
    C: float
    p_S: float = 0.0
    p_C: float = 0.0


def evaluate(
    system: Any, training: Problem, state: TrainState, beta: float, options: ParticleOptions, seed: int
) -> Evaluation:
    """Energies and overlaps of the states from independent samples; sums over all states are exact; x64 must be on.

    C is Var(ln p).  p(k) ~ exp(-beta E_k) has the noise of the energies that it was made from: errors of S and C
    contain how far the entropy and the heat capacity of the Boltzmann weights of the independent energies here are.
    """
    rho, key = training.density(state), jax.random.fold_in(jax.random.key(seed), EVALUATE_SEED)
    sectors = rho.psi.mixing
    log_prob = np.asarray(jax.nn.log_softmax(rho.p.logits(0)))
    p, states = np.exp(log_prob), np.asarray(sectors.states)
    sums, parts, copies = sums_of(system, rho.psi, sectors), [], len(rho.psi.jastrow.factors())
    found, drawn = [], 0
    for number, family in measured_families(sectors):
        count = family.states
        shared = np.mean(p[sectors.members[family.sectors][:, :count]], axis=0)  # alike but for the ground state
        weight = float(shared.sum()) * len(family.sectors)
        if weight < LEAST_WEIGHT:
            continue
        c = in_basis(states[number, : copies * family.size, :count], family, copies)
        points = math.ceil((0.5 * weight + 0.5 * LEAST_SHARE) * options.samples / BATCHES)
        drawn += BATCHES * CHUNK * math.ceil(points / CHUNK)
        keys = jax.random.split(jax.random.fold_in(key, number), BATCHES)
        batches = [sums(rho.psi, family, c, shared * len(family.sectors), points, k) for k in keys]
        found.append((family, c, shared, weight))
        parts.append(batches)
    every = np.arange(BATCHES)
    total = _totals(found, parts, every, beta)
    left_out = [_totals(found, parts, every[every != b], beta) for b in every]
    estimates = {name: _jackknife(getattr(total, name), [getattr(t, name) for t in left_out]) for name in total._fields}
    kinetic = _jackknife(total.E - total.potential, [t.E - t.potential for t in left_out])
    finite = math.isfinite(beta)
    S, C = _with_noise_of_p(estimates, total, float(p @ _squares(log_prob, p)))
    apart = rho.psi.apart(beta)
    orbitals = system.orbitals_kept  # both lists rise by energy: one is the beginning of the other
    observables = _observed(parts) | {
        "kinetic_energy": _shifted(kinetic, 0.5 * apart.E).as_dict(),  # of an oscillator, half of the energy
        "potential_energy": _shifted(estimates["potential"], 0.5 * apart.E).as_dict(),
        "entropy_loss": estimates["loss"].as_dict(),
        "occupation_sets": int(np.sum(p > LEAST_WEIGHT)),
        "weight_left_out": float(max(0.0, 1 - sum(f[-1] for f in found))),
    }
    if all(family.basis is None for family in sectors.families):
        known = max(orbitals, len(rho.psi.orbitals))
        observables["occupations"] = _occupations(sectors.sets, p, known, orbitals)
    if finite:
        observables["heat_capacity_from_energy"] = _shifted(estimates["C"], apart.C).as_dict()
    return Evaluation(
        F=_shifted(estimates["F"], apart.F),
        E=_shifted(estimates["E"], apart.E),
        S=_shifted(S, apart.S) if finite else Estimate(0.0),
        C=_shifted(C, apart.C) if finite else Estimate(0.0),
        F_var=float(BATCHES * estimates["F"].error ** 2 * options.samples / BATCHES),
        observables=observables,
        importance={},
        samples=_samples(rho, jax.random.fold_in(key, 1), orbitals),
        drawn=drawn,
    )


def _totals(found: list[Any], parts: list[list[Sums]], batches: np.ndarray, beta: float) -> Totals:
    """From the sums of these batches."""
    E = S = V = loss = of_both = 0.0
    spectrum, counts = [], []
    for (family, c, p, _), of_family in zip(found, parts, strict=True):
        halves = [_mean([of_family[b] for b in half]) for half in (batches[::2], batches[1::2])]
        whole, count = _mean([of_family[b] for b in batches]), len(family.sectors)
        norm = diagonal(whole.overlap, c)
        energies = diagonal(whole.energy, c) / norm
        spectrum.append(energies[p > 0])
        counts.append(np.full(len(spectrum[-1]), count))
        E += count * float(p @ energies)
        of_both += count * float(scipy.special.xlogy(p, p) @ energies)
        V += count * float(p @ (diagonal(whole.potential, c) / norm))
        S -= count * float(np.sum(scipy.special.xlogy(p, p)))
        loss += count * _loss([half.overlap for half in halves], c, p)
    if math.isinf(beta):
        return Totals(E, E, S - loss, V, loss, 0.0)
    weights = _canonical(np.concatenate(spectrum), np.concatenate(counts), beta)
    return Totals(E - (S - loss) / beta, E, S - loss, V, loss, -beta * (of_both + S * E), *weights)


def _canonical(energies: np.ndarray, counts: np.ndarray, beta: float) -> tuple[float, float]:
    """S and C of levels (n,) with these degeneracies."""
    log_p = -beta * energies - scipy.special.logsumexp(-beta * energies, b=counts)
    p = counts * np.exp(log_p)
    S = -float(p @ log_p)
    return S, float(p @ (log_p + S) ** 2)


def _loss(overlaps: list[np.ndarray], c: np.ndarray, p: np.ndarray) -> float:
    """The entropy that a sector loses (principle.py); squares are products of two halves, without bias."""
    grams = [c.T @ (0.5 * (s + s.T)) @ c for s in overlaps]
    first, second = (g / np.sqrt(np.diag(g))[:, None] / np.sqrt(np.diag(g)) for g in grams)
    squared = first * second * (1 - np.eye(len(p)))
    mean = max(LEAST_OVERLAP, float(np.sum(squared)) / max(1, len(p) * (len(p) - 1)))
    there = p > 0
    a = (p + mean * (p.sum() - p))[there]
    weight = p[there] / np.sqrt(a)
    own = p[there] @ (log_tangent(p[there], a) - np.log(p[there]))
    return float(own + weight @ squared[np.ix_(there, there)] @ weight)


def _mean(batches: list[Sums]) -> Sums:
    return jax.tree.map(lambda *v: np.mean(v, axis=0), *batches)


def _jackknife(value: float, left_out: list[float]) -> Estimate:
    """The error of a function of means from leaving out one batch at a time."""
    b = len(left_out)
    return Estimate(float(value), math.sqrt((b - 1) * float(np.var(left_out))))


def _with_noise_of_p(estimates: dict[str, Estimate], total: Totals, own_C: float) -> tuple[Estimate, Estimate]:
    """S and C with errors that contain how far p is from the Boltzmann weights of independent energies."""
    of_S = math.hypot(estimates["p_S"].error, total.p_S - total.S - total.loss)
    of_C = math.hypot(estimates["p_C"].error, total.p_C - own_C)
    S, C = estimates["S"], Estimate(own_C, estimates["C"].error)
    return S._replace(error=math.hypot(S.error, of_S)), C._replace(error=math.hypot(C.error, of_C))


def _shifted(estimate: Estimate, by: float) -> Estimate:
    """With something added that is known exactly."""
    return Estimate(estimate.value + by, estimate.error)


def _squares(values: np.ndarray, p: np.ndarray) -> np.ndarray:
    """(values less their mean)^2 where p > 0."""
    values = np.where(p > 0, values, 0.0)
    return (values - p @ values) ** 2


def _observed(parts: list[list[Sums]]) -> dict[str, Any]:
    """Averages of the observables over rho, with jackknife errors."""
    counts = np.sum([[batch.count for batch in of] for of in parts], axis=0)
    found = {}
    for name in parts[0][0].observed:
        values = np.sum([[batch.observed[name] for batch in of] for of in parts], axis=0)  # (batches, ..)
        mean = values.sum(axis=0) / counts.sum()
        out = [(values.sum(axis=0) - v) / (counts.sum() - count) for v, count in zip(values, counts, strict=True)]
        error = np.sqrt((BATCHES - 1) * np.var(out, axis=0))
        found[name] = {"value": np.asarray(mean).tolist(), "error": np.asarray(error).tolist()}
    return found


def _occupations(sets: np.ndarray, p: np.ndarray, orbitals: int, shown: int) -> dict[str, Any]:
    """Mean occupation of the first orbitals by the labels, exact."""
    mean = np.zeros(orbitals)
    np.add.at(mean, sets, p[:, None])
    return {"value": mean[:shown].tolist(), "error": np.zeros(shown).tolist()}


def _samples(rho: DensityMatrix, key: Array, orbitals: int) -> dict[str, np.ndarray]:
    """Labels drawn from p, but for those with orbitals beyond the thermal ones; positions of particles in a trap."""
    of_label, of_x = jax.random.split(key)
    drawn = jax.jit(jax.vmap(rho.p.sample_and_log_prob))(jax.random.split(of_label, KEPT))
    label, log_prob = (np.asarray(v) for v in drawn)
    low = np.all(label[:, 1:] < orbitals, axis=1)
    beside = eqx.filter_jit(lambda psi, key, label: psi.drawn(key, label))(rho.psi, of_x, jnp.asarray(label[low]))
    return {"label": label[low], "log_prob": log_prob[low], **{name: np.asarray(v) for name, v in beside.items()}}
