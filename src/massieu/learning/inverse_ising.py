"""Inverse Ising: couplings from configurations by maximum likelihood, with a network that knows the model's averages.

    d ln L/dJ_ij = <s_i s_j>_data - <s_i s_j>_J

An autoregressive density is trained at the present J (minimal F), its reweighted samples give the averages and their
covariance, and J takes a Newton step; later steps are averaged (gain 1/k), so that the sampling noise falls with them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from massieu import optimize
from massieu.densities import BlanketMADE
from massieu.errors import at_least, require
from massieu.exact import inverse_ising as exact
from massieu.exact.inverse_ising import Couplings, Moments
from massieu.principle import draw, score_function_gradient, scores, trainable

MOST_SPINS = 64
NEWTON = 8  # steps of full length before averaging
INNER = 8  # natural-gradient steps of the density at each J
FIRST = 40  # and at the first
INNER_BATCH = 512
MEMORY = 2**29  # bytes for the statistics of a batch
LONGEST = 0.3  # of a step of any coupling


class Inferred(NamedTuple):
    """The couplings, a row for each step (residual of the moments, ESS, ln L per configuration), and other methods'."""

    couplings: Couplings
    history: list[dict[str, float]]
    others: dict[str, Couplings]

    def errors(self, truth: Couplings) -> dict[str, float]:
        """Root mean square error of the couplings (i < j) of every method."""
        pairs = np.triu_indices(len(truth.h), 1)
        every = {"network": self.couplings} | self.others
        return {name: float(np.sqrt(np.mean((c.J - truth.J)[pairs] ** 2))) for name, c in every.items()}


def inverse_ising(
    spins: np.ndarray, *, fields: bool = True, steps: int = 40, batch: int | None = None, seed: int = 0
) -> Inferred:
    """J and h (times beta) of configurations (M, n) of +-1; InputError for anything else.

    batch: samples of the density a step (default: M/8 within what fits in memory, so that the data limit the answer).
    """
    data = checked(spins, fields)
    at_least("steps", steps, 1)
    if batch is None:
        most = MEMORY // (8 * len(data.m) ** 2)
        batch = int(np.clip(data.size // 8, 4096, min(131072, most)))
    at_least("batch", batch, 100)
    others = _other_methods(np.asarray(spins), data, fields)
    start = others["Sessak-Monasson"]
    if not np.all(np.isfinite(start.J)) or np.abs(start.J).max() > 3:
        start = others["pseudo-likelihood"]
    with jax.enable_x64(True):
        couplings, history = _ascend(data, start, fields, steps, batch, seed)
    return Inferred(couplings, history, others)


def checked(spins: np.ndarray, fields: bool) -> Moments:
    """The moments of valid data; InputError otherwise."""
    spins = np.asarray(spins)
    require(spins.ndim == 2 and min(spins.shape) >= 2, "data", f"of shape {spins.shape}", "configurations (M, n)")
    require(spins.shape[1] <= MOST_SPINS, "data", f"of {spins.shape[1]} spins", f"of at most {MOST_SPINS}")
    require(bool(np.all(np.abs(spins) == 1)), "data", "other values", "of +1 and -1 only")
    return exact.moments(spins, fields)


def _other_methods(spins: np.ndarray, data: Moments, fields: bool) -> dict[str, Couplings]:
    rare = 1 / data.size
    shrunk = data._replace(q=(1 - rare) * data.q + rare * np.eye(len(data.m)))  # spins may be always equal
    found = {
        "naive mean field": exact.naive_mean_field(shrunk),
        "TAP": exact.tap(shrunk),
        "independent pairs": exact.independent_pairs(shrunk),
        "Sessak-Monasson": exact.sessak_monasson(shrunk),
        "pseudo-likelihood": exact.pseudo_likelihood(spins, fields),
    }
    if len(data.m) <= exact.MAX_ENUMERATED:
        found["maximum likelihood, enumerated"] = exact.maximum_likelihood(data, fields)
    return found


def _ascend(data: Moments, start: Couplings, fields: bool, steps: int, batch: int, seed: int):
    n = len(data.m)
    density = BlanketMADE(start.J, start.h if fields else None, width=32, seed=seed)
    params, static = trainable(density)
    optimiser = optimize.natural_gradient(0.3, optax.constant_schedule(1.0), density.blocks)
    target = jnp.asarray(exact.targets(data, fields))
    rows, columns = np.triu_indices(n, 1)

    def matrix(theta: Array) -> tuple[Array, Array]:
        J = jnp.zeros((n, n)).at[rows, columns].set(theta[: len(rows)])
        return J + J.T, theta[len(rows) :] if fields else jnp.zeros(n)

    def features(s: Array) -> Array:
        pairs = s[:, rows] * s[:, columns]
        return jnp.concatenate([pairs, s], axis=1) if fields else pairs

    def train(J: Array, h: Array, carry: Any, key: Array):
        params, state = carry
        here = static.with_couplings(J, h)
        samples = draw(eqx.combine(params, here), lambda s: -0.5 * s @ J @ s - h @ s, key, INNER_BATCH, 1.0)
        gradient = score_function_gradient(params, here, samples, 1.0)
        updates, state = optimiser.update(gradient, state, params, scores=scores(params, here, samples.x, 1.0))
        return (optax.apply_updates(params, updates), state), None

    @eqx.filter_jit
    def step(theta: Array, params: Any, state: Any, key: Array, gain: Array, inner: int):
        J, h = matrix(theta)
        of_training, of_samples = jax.random.split(key)
        keys = jax.random.split(of_training, inner)
        (params, state), _ = jax.lax.scan(lambda carry, key: train(J, h, carry, key), (params, state), keys)
        density = eqx.combine(params, static.with_couplings(J, h))
        samples = draw(density, lambda s: -0.5 * s @ J @ s - h @ s, of_samples, batch, 1.0)
        log_w = -samples.energy - samples.log_prob
        share = jax.nn.softmax(log_w)
        t = features(samples.x)
        mean = share @ t
        covariance = (t * share[:, None]).T @ t - jnp.outer(mean, mean) + jnp.eye(t.shape[1]) / data.size
        slope = target - mean - theta / data.size
        move = jnp.linalg.solve(covariance + 1e-6 * jnp.eye(len(mean)), slope)
        move = move * jnp.minimum(1.0, LONGEST / jnp.max(jnp.abs(move)))
        lnZ = jax.nn.logsumexp(log_w) - jnp.log(batch)
        row = {"residual": jnp.sqrt(jnp.mean((target - mean) ** 2)), "ess": 1 / (batch * jnp.sum(share**2)),
               "log_likelihood": theta @ target - lnZ}  # fmt: skip
        return theta + gain * move, params, state, row

    theta, state, history = jnp.asarray(exact.parameters(start, fields)), optimiser.init(params), []
    for k in range(steps):
        gain = jnp.asarray(1.0 / max(1, k - NEWTON + 2))
        key = jax.random.fold_in(jax.random.key(seed), k)
        theta, params, state, row = step(theta, params, state, key, gain, FIRST if k == 0 else INNER)
        history.append({"step": k} | {name: float(value) for name, value in row.items()})
    return exact.couplings(np.asarray(theta), n, fields), history
