"""Thermodynamic integration along a path of actions: ln Z_1 - ln Z_0 = -int_0^1 <dU/dt>_t dt.

The chains are carried from node to node in annealing stages and keep their annealing weights, so that populations
frozen into different arrangements are averaged with the right shares.  Errors are those of independent chains: each
chain contributes one number to the whole integral.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from massieu.exact.annealed import (
    Action,
    Annealed,
    Number,
    bridge,
    dwell,
    log_mean_weight,
    new_key,
    plan_steps,
    weighted_mean,
)
from massieu.precision import double_precision
from massieu.principle import Estimate

LEAPFROG = 5


def thermodynamic_integration(
    action: Action,
    sample_base: Callable[[jax.Array, int], jax.Array],
    log_base: float,
    parameters: Any,
    observable: Action,
    chains: int = 2000,
    nodes: int = 20,
    bridges: int = 20,
    moves: int = 40,
    seed: int = 1,
    width: float = 1.0,
) -> Annealed:
    """ln of int dx exp(-action(x, 1, parameters)), and the mean of the observable (x, t, parameters) -> (W,) at t = 1.

    Gauss-Legendre `nodes`, `bridges` stages from one to the next, `moves` of every chain at each; arguments otherwise
    those of `annealed_importance_sampling`.
    """
    points, shares = np.polynomial.legendre.leggauss(nodes)
    stops = np.concatenate([[0.0], 0.5 * (points + 1), [1.0]])
    legs = [np.linspace(start, stop, bridges + 1) for start, stop in itertools.pairwise(stops)]
    both = partial(_slope_and_observable, action, observable)
    *slopes, (last, log_w) = _walk(legs, action, both, sample_base, parameters, chains, moves, seed, width)
    integral, spread = 0.0, np.zeros(chains)
    for share, (values, weights) in zip(0.5 * shares, slopes, strict=True):
        mean, influence = _influence(values[0], weights)
        integral, spread = integral + share * mean, spread + share * influence
    lnZ = Estimate(log_base - integral, float(np.sqrt(np.sum(spread**2))))
    return Annealed(lnZ, weighted_mean(last[1], log_w), log_mean_weight(log_w)[1], math.nan)


def _slope_and_observable(action: Action, observable: Action, x: jax.Array, t: Number, parameters: Any) -> jax.Array:
    """dU/dt and the observable of the walkers x (.., W): (2, W)."""
    t = jnp.asarray(t, x.dtype)
    slope = jax.jvp(lambda t: action(x, t, parameters), (t,), (jnp.ones_like(t),))[1]
    return jnp.stack([slope, observable(x, t, parameters)])


def _walk(legs, action, both, sample_base, parameters, chains, moves, seed, width):
    """Anneal along each leg and dwell at its end: each chain's mean of `both` (2, W) and its log weight (W,)."""
    stages, found = len(legs[0]) - 1, []
    with double_precision():
        keys = jax.random.split(new_key(seed), 3 + 2 * len(legs))
        ts = np.concatenate([legs[0], *(leg[1:] for leg in legs[1:])])
        pilot = sample_base(keys[-1], max(64, chains // 8))
        steps = np.asarray(plan_steps(action, parameters, pilot, ts, width, keys[-2], LEAPFROG))
        x, log_w = sample_base(keys[-3], chains), jnp.zeros(chains)
        for i, leg in enumerate(legs):
            step = steps[i * stages : (i + 1) * stages]
            x, log_w, _, _ = bridge(action, parameters, x, log_w, leg, step, keys[2 * i], False, LEAPFROG)
            x, values = dwell(action, both, parameters, x, leg[-1], step[-1], keys[2 * i + 1], LEAPFROG, moves)
            found.append((np.asarray(values), np.asarray(log_w)))
    return found


def _influence(values: np.ndarray, log_weights: np.ndarray) -> tuple[float, np.ndarray]:
    """Weighted mean over chains, and how far each chain (W,) pulls it; the error is the root of the summed squares."""
    share = np.exp(log_weights - log_weights.max())
    share /= share.sum()
    mean = float(share @ values)
    return mean, share * (values - mean)


def combine(estimates: list[Estimate]) -> Estimate:
    """Error-weighted mean; the error grows by sqrt(chi^2 / (k - 1)) where the estimates disagree."""
    values = np.array([e.value for e in estimates])
    weight = np.array([1 / e.error**2 for e in estimates])
    mean = float(weight @ values / weight.sum())
    chi2 = float(weight @ (values - mean) ** 2) / max(1, len(values) - 1)
    return Estimate(mean, math.sqrt(max(1.0, chi2) / weight.sum()))
