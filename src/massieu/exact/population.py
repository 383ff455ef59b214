"""Sequential Monte Carlo: annealed importance sampling whose walkers are resampled when their weights degenerate.

Z_1/Z_0 = product of the mean weights between resamplings, unbiased (Del Moral, Doucet and Jasra, J. R. Stat. Soc. B 68,
411 (2006)).  Several independent populations give the error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from massieu.exact.annealed import log_mean_weight
from massieu.principle import Estimate

LEAST_ESS = 0.5  # fraction of a population below which it is resampled


class Population(NamedTuple):
    """ln Z_1/Z_0, the final walkers (as `carry` keeps them), their log weights (P W,) and how often was resampled."""

    log_ratio: Estimate
    walkers: Any
    log_weights: np.ndarray
    resampled: int


def sequential_monte_carlo(
    walkers: Any,
    carry: Callable[[Any, int], tuple[Any, np.ndarray]],
    pick: Callable[[Any, np.ndarray], Any],
    segments: int,
    populations: int,
    size: int,
    rng: np.random.Generator,
) -> Population:
    """carry(walkers, segment) -> walkers, increments of their log weights (P W,); pick(walkers, index) -> walkers.

    Walkers of one population are neighbours: population p has the indices p W .. p W + W - 1.
    """
    log_w, log_z, resampled = np.zeros((populations, size)), np.zeros(populations), 0
    for segment in range(segments):
        walkers, increments = carry(walkers, segment)
        log_w += np.asarray(increments, float).reshape(populations, size)
        poor = np.array([log_mean_weight(row)[1] for row in log_w]) < LEAST_ESS * size
        if segment < segments - 1 and poor.any():
            index = np.arange(populations * size).reshape(populations, size)
            for p in np.flatnonzero(poor):
                log_z[p] += log_mean_weight(log_w[p])[0].value
                index[p] = p * size + _systematic(log_w[p], rng)
                log_w[p] = 0.0
            walkers, resampled = pick(walkers, index.ravel()), resampled + int(poor.sum())
    last = np.array([log_mean_weight(row)[0].value for row in log_w])
    log_z += last
    top = log_z.max()
    z = np.exp(log_z - top)
    error = float(z.std(ddof=1) / z.mean() / np.sqrt(populations))
    share = log_w + (log_z - last)[:, None]
    return Population(Estimate(float(top + np.log(z.mean())), error), walkers, share.ravel(), resampled)


def _systematic(log_w: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Indices of the survivors: walker i leaves W w_i of them on average, rounded up or down."""
    share = np.cumsum(np.exp(log_w - log_w.max()))
    places = (rng.uniform() + np.arange(len(share))) / len(share)
    return np.minimum(np.searchsorted(share / share[-1], places), len(share) - 1)
