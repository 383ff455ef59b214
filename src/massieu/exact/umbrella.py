"""Umbrella sampling along a coordinate, and the free-energy profile by the weighted histogram analysis method.

chains in windows, U_w(x) = beta H(x) + k (c(x) - c_w)^2/2;   p(c) ~ sum_w n_w(c) / sum_w N_w exp(f_w - k (c - c_w)^2/2)
exp(-f_w) = int p(c) exp(-k (c - c_w)^2/2) dc        (Ferrenberg and Swendsen, Phys. Rev. Lett. 63, 1195 (1989))
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from massieu.exact.annealed import bridge, hmc, new_key, plan_steps
from massieu.precision import double_precision
from massieu.principle import Estimate

LEAPFROG = 5
BINS = 200
STIFFNESS = 1.5  # of a window: its width is the distance of the centres over the root of this
TOLERANCE = 1e-9


class Umbrella(NamedTuple):
    """F(above split) - F(below) in kT, and the profile -ln p(c) (BINS,) at `centres`; the mean acceptance."""

    difference: Estimate
    centres: np.ndarray
    profile: np.ndarray
    acceptance: float


def umbrella_sampling(
    action: Callable[..., jax.Array],
    coordinate: Callable[[jax.Array], jax.Array],
    start: Callable[[jax.Array, jax.Array], jax.Array],
    low: float,
    high: float,
    split: float,
    *,
    windows: int = 24,
    chains: int = 8,
    stages: int = 200,
    moves: int = 2000,
    width: float = 0.1,
    seed: int = 0,
) -> Umbrella:
    """Hamiltonian Monte Carlo in `windows` between low and high, `chains` in each, annealed along action(x, t, None).

    start(key, values (W,)) -> x (.., W) draws at t = 0 with the coordinate at the values; coordinate(x) -> (W,).  The
    error is that of leaving out one chain of every window in turn (jackknife).
    """
    places = np.linspace(low, high, windows)
    k = STIFFNESS / (places[1] - places[0]) ** 2
    middles = np.tile(places, chains)

    def biased(x: jax.Array, t: Any, middles: jax.Array) -> jax.Array:
        return action(x, t, None) + 0.5 * k * (coordinate(x) - middles) ** 2

    @jax.jit
    def record(x: jax.Array, step: jax.Array, keys: jax.Array) -> Any:
        def move(x: jax.Array, key: jax.Array) -> Any:
            x, _, _, acceptance = hmc(biased, jnp.asarray(middles), x, 1.0, step, key, LEAPFROG)
            return x, (coordinate(x), acceptance)

        return jax.lax.scan(move, x, keys)[1]

    with double_precision():
        keys = jax.random.split(new_key(seed), 4)
        ts, x = np.linspace(0.0, 1.0, stages + 1), start(keys[0], jnp.asarray(middles))
        steps = plan_steps(biased, jnp.asarray(middles), x, ts, width, keys[1], LEAPFROG)
        none = jnp.zeros(len(middles))
        x = bridge(biased, jnp.asarray(middles), x, none, ts, np.asarray(steps), keys[2], False, LEAPFROG)[0]
        values, acceptance = record(x, steps[-1], jax.random.split(keys[3], moves))
    found = np.asarray(values)[moves // 10 :].T.reshape(chains, windows, -1)
    edges = np.linspace(found.min(), found.max(), BINS + 1)
    counts = np.stack([[np.histogram(one, edges)[0] for one in chain] for chain in found])  # (chains, windows, BINS)
    middle = 0.5 * (edges[1:] + edges[:-1])

    def difference(counts: np.ndarray) -> tuple[float, np.ndarray]:
        p = weighted_histogram(counts.sum(axis=0), 0.5 * k * (middle - places[:, None]) ** 2)
        above = middle > split
        return -math.log(p[above].sum() / p[~above].sum()), p

    value, p = difference(counts)
    others = np.array([difference(np.delete(counts, one, axis=0))[0] for one in range(chains)])
    error = math.sqrt((chains - 1) / chains * np.sum((others - others.mean()) ** 2))
    with np.errstate(divide="ignore"):
        return Umbrella(Estimate(value, error), middle, -np.log(p), float(np.mean(acceptance)))


def weighted_histogram(counts: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Probabilities (BINS,) from the counts (windows, BINS) of samples under the bias (windows, BINS) in kT."""
    total, drawn = counts.sum(axis=0), counts.sum(axis=1)
    weights, f = np.exp(-bias), np.zeros(len(counts))
    for _ in range(100000):
        p = total / ((drawn * np.exp(f)) @ weights)
        p /= p.sum()
        new = -np.log(weights @ p)
        new -= new[0]
        if np.max(np.abs(new - f)) < TOLERANCE:
            break
        f = new
    return p
