"""Inverse Ising: couplings from configurations by maximum likelihood, with a network that knows the model's averages.

    d ln L/dJ_ij = <s_i s_j>_data - <s_i s_j>_J

An autoregressive density is trained at the present J, its reweighted samples give the averages and their covariance,
and J takes a Newton step; later steps are averaged (gain 1/k), so that the sampling noise falls with them.  The density
learns by minimal F and by example at once: near the maximum the data are samples of the model, and show it the modes
that it would leave out.  Its conditionals are bounded, so that it draws what neither it nor the data have seen.  A
Gaussian prior on every J and h,

    ln L(J, h)/M - (sum_{i<j} J_ij^2 + sum_i h_i^2)/(2 M prior^2),

keeps the maximum finite where a spin never flips or two are always alike.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from massieu import optimize
from massieu.densities import BlanketMADE
from massieu.errors import InputError, at_least, positive, require
from massieu.exact import inverse_ising as exact
from massieu.exact.inverse_ising import Couplings, Moments
from massieu.learning.kinds import as_spins, as_text, two_values
from massieu.methods.classical.by_example import Examples
from massieu.methods.trust import LEAST_ESS, few
from massieu.precision import double_precision
from massieu.principle import condition_of, draw, score_function_gradient, scores, trainable
from massieu.progress import Progress, Silent
from massieu.text import named_numbers

MOST_SPINS = 64
NEWTON = 8  # steps of full length before averaging
INNER = 8  # natural-gradient steps of the density at each J
FIRST = 40  # and at the first
INNER_BATCH = 512
MEMORY = 2**29  # bytes for the statistics of a batch
LONGEST = 0.1  # of a step of any coupling
ENOUGH = 0.2  # effective sample size, of 1, below which steps are shorter in proportion
SHOWN = 4096  # configurations of the data that the density is shown
BY_EXAMPLE = 0.5  # share of the data in what the density learns from
FLIPPED = 0.1  # spins of a sample that are turned against all that the density has learned: no state is out of reach
LINES = 10  # of all steps, that are told
TINY = 1e-12
APART = 1.0  # nats between what the density and what its couplings give to the data: it has collapsed


class Inferred(NamedTuple):
    """The couplings, a row for each step (residual of the moments, ESS, ln L per configuration), and other methods'.

    warnings: why the couplings are not to be trusted.
    """

    couplings: Couplings
    history: list[dict[str, float]]
    others: dict[str, Couplings]
    warnings: tuple[str, ...] = ()

    def penalty(self, size: int, prior: float) -> float:
        """What a prior of that width takes from the log likelihood per configuration, of `size` of them."""
        pairs = np.triu_indices(len(self.couplings.h), 1)
        return float(np.sum(self.couplings.J[pairs] ** 2) + np.sum(self.couplings.h**2)) / (2 * size * prior**2)

    def errors(self, truth: Couplings) -> dict[str, float]:
        """Root mean square error of the couplings (i < j) of every method."""
        pairs = np.triu_indices(len(truth.h), 1)
        every = {"network": self.couplings} | self.others
        return {name: float(np.sqrt(np.mean((c.J - truth.J)[pairs] ** 2))) for name, c in every.items()}


def inverse_ising(
    spins: np.ndarray,
    *,
    fields: bool = True,
    steps: int = 40,
    batch: int | None = None,
    seed: int = 0,
    values: Any = None,
    prior: float = 1.0,
    progress: Progress | None = None,
) -> Inferred:
    """J and h (times beta) of configurations (M, n) of +-1; InputError for anything else.

    prior: standard deviation of a Gaussian prior on every J and h;
    values: the two values of a spin, down and up, where they are others, such as (0, 1);
    batch: samples of the density a step (default: M/8 within what fits in memory, so that the data limit the answer).
    """
    spins = np.asarray(spins, float) if values is None else as_spins(np.asarray(spins, float), as_text(values))
    data = checked(spins, fields)
    at_least("steps", steps, 1)
    positive("prior", prior)
    if batch is None:
        most = MEMORY // (8 * len(data.m) ** 2)
        batch = int(np.clip(data.size // 8, 4096, min(131072, most)))
    at_least("batch", batch, 100)
    progress = progress or Silent()
    progress.say("the other methods first")
    others = _other_methods(spins, data, fields, prior)
    start, shown = others["pseudo-likelihood"], np.random.default_rng(seed).permutation(spins)[:SHOWN]
    progress.say("compiling the first step")
    with double_precision():
        couplings, history, of_density = _ascend(data, start, fields, steps, batch, seed, shown, prior, progress)
    return Inferred(couplings, history, others, _doubts(history[-1], of_density, others))


def _doubts(last: dict[str, float], of_density: float, others: dict[str, Couplings]) -> tuple[str, ...]:
    """A density without the configurations of the data underestimates ln Z, and its ESS, of its own samples, is 1."""
    claimed, found = last["log_likelihood"], []
    better = "maximum likelihood, enumerated"
    instead = f"take those of {better if better in others else 'pseudo-likelihood'}"
    if claimed > 0 or claimed - of_density >= APART:
        found.append(
            f"the density has collapsed: its couplings seem to give the data ln p = {claimed:.4g} (at most 0), it "
            f"gives {of_density:.4g} itself; the couplings are not to be trusted; {instead}"
        )
    if few(last["ess"]):
        found.append(
            f"the density does not follow its couplings: effective sample size {last['ess']:.2g} of 1, below "
            f"{LEAST_ESS:g}; their steps were short, they may be near their start, the pseudo-likelihood; {instead}"
        )
    return tuple(found)


def checked(spins: np.ndarray, fields: bool) -> Moments:
    """The moments of valid data; InputError otherwise."""
    spins = np.asarray(spins)
    require(spins.ndim == 2 and min(spins.shape) >= 2, "data", f"of shape {spins.shape}", "configurations (M, n)")
    require(spins.shape[1] <= MOST_SPINS, "data", f"of {spins.shape[1]} spins", f"of at most {MOST_SPINS}")
    if not np.all(np.abs(spins) == 1):
        pair = two_values(spins)
        others, how = (f"of the values {pair}", f"; --values {pair} converts them") if pair else ("other values", "")
        raise InputError(f"data = {others}: must be of +1 and -1 only{how}")
    return exact.moments(spins, fields)


def _other_methods(spins: np.ndarray, data: Moments, fields: bool, prior: float) -> dict[str, Couplings]:
    rare = 1 / data.size
    shrunk = data._replace(q=(1 - rare) * data.q + rare * np.eye(len(data.m)))  # spins may be always equal
    found = {
        "naive mean field": exact.naive_mean_field(shrunk),
        "TAP": exact.tap(shrunk),
        "independent pairs": exact.independent_pairs(shrunk),
        "Sessak-Monasson": exact.sessak_monasson(shrunk),
        "pseudo-likelihood": exact.pseudo_likelihood(spins, fields, prior),
    }
    if len(data.m) <= exact.MAX_ENUMERATED:
        found["maximum likelihood, enumerated"] = exact.maximum_likelihood(data, fields, prior)
    return found


def _ascend(
    data: Moments, start: Couplings, fields: bool, steps: int, batch: int, seed: int, shown: np.ndarray, prior: float,
    progress: Progress,
) -> tuple[Couplings, list[dict[str, float]], float]:  # fmt: skip
    """The couplings, the history, and the mean of ln p of the density over the configurations `shown`."""
    n, ridge = len(data.m), 1 / (data.size * prior**2)
    graph = start.J + TINY * (1 - np.eye(n))  # every pair may turn out to be coupled
    density = BlanketMADE(graph, start.h if fields else None, width=32, seed=seed, least=FLIPPED / n)
    params, static = trainable(density)
    optimiser = optimize.natural_gradient(0.3, optax.constant_schedule(1.0), density.blocks)
    target = jnp.asarray(exact.targets(data, fields))
    matrix, features = partial(_matrix, n, fields), partial(_features, fields)

    def train(J: Array, h: Array, examples: Examples, carry: Any, key: Array):
        params, state = carry
        here = static.with_couplings(J, h)
        of_samples, of_examples = jax.random.split(key)
        samples = draw(eqx.combine(params, here), lambda s: -0.5 * s @ J @ s - h @ s, of_samples, INNER_BATCH, 1.0)
        gradient = score_function_gradient(params, here, samples, 1.0)
        gradient, _ = examples.mixed(gradient, params, here, of_examples, INNER_BATCH, 1.0)
        updates, state = optimiser.update(gradient, state, params, scores=scores(params, here, samples.x, 1.0))
        return (optax.apply_updates(params, updates), state), None

    @eqx.filter_jit
    def step(theta: Array, params: Any, state: Any, x: Array, key: Array, gain: Array, inner: int):
        J, h = matrix(theta)
        of_training, of_samples = jax.random.split(key)
        keys = jax.random.split(of_training, inner)
        learn = lambda carry, key: train(J, h, Examples(x, BY_EXAMPLE), carry, key)  # noqa: E731
        (params, state), _ = jax.lax.scan(learn, (params, state), keys)
        density = eqx.combine(params, static.with_couplings(J, h))
        samples = draw(density, lambda s: -0.5 * s @ J @ s - h @ s, of_samples, batch, 1.0)
        log_w = -samples.energy - samples.log_prob
        share = jax.nn.softmax(log_w)
        t = features(samples.x)
        mean = share @ t
        covariance = (t * share[:, None]).T @ t - jnp.outer(mean, mean) + ridge * jnp.eye(t.shape[1])
        slope = target - mean - ridge * theta
        move = jnp.linalg.solve(covariance + 1e-6 * jnp.eye(len(mean)), slope)
        move = move * jnp.minimum(1.0, LONGEST / jnp.max(jnp.abs(move)))
        ess = 1 / (batch * jnp.sum(share**2))
        move = move * jnp.minimum(1.0, ess / ENOUGH)
        lnZ = jax.nn.logsumexp(log_w) - jnp.log(batch)
        row = {"residual": jnp.sqrt(jnp.mean((target - mean) ** 2)), "ess": ess,
               "log_likelihood": theta @ target - lnZ}  # fmt: skip
        return theta + gain * move, params, state, row

    theta, state, history = jnp.asarray(exact.parameters(start, fields)), optimiser.init(params), []
    x = jnp.asarray(shown)
    for k in range(steps):
        gain = jnp.asarray(1.0 / max(1, k - NEWTON + 2))
        key = jax.random.fold_in(jax.random.key(seed), k)
        theta, params, state, row = step(theta, params, state, x, key, gain, FIRST if k == 0 else INNER)
        history.append({"step": k} | {name: float(value) for name, value in row.items()})
        if k % max(1, steps // LINES) == 0:
            progress.say(named_numbers(history[-1]))
    density = eqx.combine(params, static.with_couplings(*matrix(theta)))
    of_density = float(jnp.mean(jax.jit(lambda s: density.log_prob(s, condition_of(density, 1.0)))(x)))
    return exact.couplings(np.asarray(theta), n, fields), history, of_density


def _matrix(n: int, fields: bool, theta: Array) -> tuple[Array, Array]:
    """J (n, n) and h (n,) of the parameters; they may be traced."""
    pairs = n * (n - 1) // 2
    J = jnp.zeros((n, n)).at[np.triu_indices(n, 1)].set(theta[:pairs])
    return J + J.T, theta[pairs:] if fields else jnp.zeros(n)


def _features(fields: bool, s: Array) -> Array:
    """s_i s_j for i < j, then s_i with fields (.., P), of configurations (.., n)."""
    rows, columns = np.triu_indices(s.shape[-1], 1)
    pairs = s[..., rows] * s[..., columns]
    return jnp.concatenate([pairs, s], axis=-1) if fields else pairs
