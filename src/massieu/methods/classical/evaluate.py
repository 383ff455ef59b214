"""The final evaluation: frozen parameters, float64, many samples, every number with its error."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from massieu import sampling, statistics
from massieu.methods.evaluation import Evaluation, Observed, shaped
from massieu.methods.trust import few
from massieu.principle import Estimate, draw
from massieu.systems.base import ClassicalSystem

CHUNK = 1000
KEPT = 2000  # configurations kept for samples.npz and the figures
CHAINS = 20
Named = dict[str, np.ndarray]


def evaluate(system: ClassicalSystem, density: Any, beta: float, samples: int, seed: int) -> Evaluation:
    """Draw `samples` configurations from the density and average; x64 must be on."""
    drawn, observed = draw_all(system, density, beta, samples, seed, system.observables, KEPT)
    return averages(drawn, observed, beta, seed)


def observe(
    system: ClassicalSystem, density: Any, beta: float, functions: dict[str, Any], samples: int, seed: int
) -> dict[str, Observed]:
    """Averages of functions of one configuration over `samples` of them; x64 must be on."""

    def of_one(x: Any) -> dict[str, Any]:
        return {name: function(x) for name, function in functions.items()}

    drawn, observed = draw_all(system, density, beta, samples, seed, of_one, 0)
    log_weights = -beta * drawn["energy"] - drawn["log_prob"]
    found = _observables(observed, drawn["energy"], log_weights, seed)
    return {name: Observed.of(found[name]) for name in functions}


def averages(drawn: Named, observed: Named, beta: float, seed: int) -> Evaluation:
    """All averages with their errors, of independent samples: energy and log_prob (M,), observables (M, ..), x."""
    energy, log_prob = drawn["energy"], drawn["log_prob"]
    f = energy + log_prob / beta
    log_weights = -beta * f
    C = statistics.variance(energy)
    return Evaluation(
        F=statistics.mean(f, unit=1 / beta),
        E=statistics.mean(energy, unit=1 / beta),
        S=statistics.mean(-log_prob, unit=1.0),
        C=Estimate(beta**2 * C.value, beta**2 * C.error),
        F_var=float(np.var(f, ddof=1)),
        observables=_observables(observed | {"energy": energy}, energy, log_weights, seed),
        importance=_importance(energy, log_weights, beta),
        samples={"x": drawn["x"], "energy": energy[:KEPT], "log_prob": log_prob[:KEPT]},
    )


def refined(density: Any) -> Any:
    """The density with the accuracy that its evaluation asks for."""
    return density.for_evaluation() if hasattr(density, "for_evaluation") else density


def draw_all(
    system: ClassicalSystem, density: Any, beta: float, samples: int, seed: int, of_one: Callable[[Any], Any], kept: int
) -> tuple[Named, Named]:
    """ln p, H and observables `of_one` of `samples` configurations, chunk by chunk, and the first `kept` of them."""
    density = refined(density)
    key, size = jax.random.key(seed), min(CHUNK, samples)

    @jax.jit
    def chunk(i):
        batch = draw(density, system.energy, jax.random.fold_in(key, i), size, beta)
        return batch, jax.vmap(of_one)(batch.x)

    parts = [jax.tree.map(np.asarray, chunk(i)) for i in range(math.ceil(samples / size))]
    batches = [batch for batch, _ in parts]
    drawn = {
        "x": np.concatenate([b.x for b in batches[: max(1, math.ceil(kept / size))]])[: min(kept, samples)],
        "energy": np.concatenate([b.energy for b in batches])[:samples],
        "log_prob": np.concatenate([b.log_prob for b in batches])[:samples],
    }
    observed = {name: np.concatenate([o[name] for _, o in parts])[:samples] for name in parts[0][1]}
    return drawn, observed


def _importance(energy: np.ndarray, log_weights: np.ndarray, beta: float) -> dict[str, Any]:
    """ln Z by reweighting to the Boltzmann distribution, with the effective sample size, and F, E, S from it.

    Without errors where so few samples have a weight that their spread says nothing.
    """
    lnZ = statistics.log_mean_weight(log_weights)
    F = Estimate(-lnZ.value / beta, lnZ.error / beta)
    E = statistics.reweighted_mean(energy, log_weights)
    S = statistics.reweighted_entropy(energy, log_weights, beta)
    ess, found = statistics.effective_sample_size(log_weights), {"lnZ": lnZ, "F": F, "E": E, "S": S}
    if few(ess):
        found = {name: estimate._replace(error=math.nan) for name, estimate in found.items()}
    return {"ess": ess} | {name: estimate.as_dict() for name, estimate in found.items()}


def _observables(observed: Named, energy: np.ndarray, log_weights: np.ndarray, seed: int) -> dict[str, Any]:
    """Unbiased averages by Metropolis with the density as proposal, beside its own; how well the energy mixes."""
    chains = sampling.neural_proposals(log_weights, CHAINS, np.random.default_rng(seed))
    mixed = statistics.mixing(energy[chains.held])
    out: dict[str, Any] = {"mcmc": {"acceptance": chains.acceptance, **mixed.as_dict(), "doubt": mixed.doubt()}}
    for name, values in observed.items():
        flat = values.reshape(len(values), -1)
        rows = [
            (
                statistics.blocking(column[chains.held]),
                statistics.mean(column),
                statistics.reweighted_mean(column, log_weights),
            )
            for column in flat.T
        ]
        mcmc, model, weighted = (shaped(kind, values.shape[1:]) for kind in zip(*rows, strict=True))
        out[name] = mcmc | {"model": model, "reweighted": weighted}
    return out
