"""The final evaluation: frozen parameters, float64, many samples, every number with its error."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

from massieu import sampling, statistics
from massieu.methods.evaluation import Evaluation, shaped
from massieu.principle import Estimate, draw
from massieu.systems.base import ClassicalSystem

CHUNK = 1000
KEPT = 2000  # configurations kept for samples.npz and the figures
CHAINS = 20
LEAST_ESS = 0.01  # below this, reweighted averages are not to be trusted


def evaluate(system: ClassicalSystem, density: Any, beta: float, samples: int, seed: int) -> Evaluation:
    """Draw `samples` configurations from the density and average; x64 must be on."""
    drawn, observed = _draw_all(system, density, beta, samples, seed)
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
        observables=_observables(observed | {"energy": energy}, log_weights, seed),
        importance=_importance(energy, log_weights, beta),
        samples={"x": drawn["x"], "energy": energy[:KEPT], "log_prob": log_prob[:KEPT]},
    )


def refined(density: Any) -> Any:
    """The density with the accuracy that its evaluation asks for."""
    return density.for_evaluation() if hasattr(density, "for_evaluation") else density


def _draw_all(system: ClassicalSystem, density: Any, beta: float, samples: int, seed: int):
    """ln p, H and all observables of `samples` configurations, chunk by chunk, and the first configurations."""
    density = refined(density)
    key = jax.random.key(seed)

    @jax.jit
    def chunk(i):
        batch = draw(density, system.energy, jax.random.fold_in(key, i), CHUNK, beta)
        return batch, jax.vmap(system.observables)(batch.x)

    parts = [jax.tree.map(np.asarray, chunk(i)) for i in range(math.ceil(samples / CHUNK))]
    batches = [batch for batch, _ in parts]
    drawn = {
        "x": np.concatenate([b.x for b in batches[: KEPT // CHUNK]]),
        "energy": np.concatenate([b.energy for b in batches]),
        "log_prob": np.concatenate([b.log_prob for b in batches]),
    }
    observed = {name: np.concatenate([o[name] for _, o in parts]) for name in parts[0][1]}
    return drawn, observed


def _importance(energy: np.ndarray, log_weights: np.ndarray, beta: float) -> dict[str, Any]:
    """ln Z by reweighting to the Boltzmann distribution, with the effective sample size, and F, E, S from it."""
    lnZ = statistics.log_mean_weight(log_weights)
    F = Estimate(-lnZ.value / beta, lnZ.error / beta)
    E = statistics.reweighted_mean(energy, log_weights)
    S = Estimate(beta * (E.value - F.value), beta * math.hypot(E.error, F.error))
    ess = statistics.effective_sample_size(log_weights)
    return {"lnZ": lnZ.as_dict(), "ess": ess, "F": F.as_dict(), "E": E.as_dict(), "S": S.as_dict()}


def _observables(observed: dict[str, np.ndarray], log_weights: np.ndarray, seed: int) -> dict[str, Any]:
    """Unbiased averages by Metropolis with the density as proposal, beside the density's own averages."""
    chains = sampling.neural_proposals(log_weights, CHAINS, np.random.default_rng(seed))
    energy = observed["energy"][chains.held]
    out: dict[str, Any] = {
        "mcmc": {
            "acceptance": chains.acceptance,
            "autocorrelation_time": statistics.autocorrelation_time(energy),
            "r_hat": statistics.split_r_hat(energy),
        }
    }
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
