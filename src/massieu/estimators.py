"""Estimators of the gradient of F behind one interface, and convex combinations of them.

An estimator is a function (params, static, energy, key, batch, beta) -> (Samples, gradient of F), unbiased:

    score             E[(F_loc - b) d ln p/dphi]                                       any density
    pathwise          E_z[dF_loc(g(z))/dphi] without the term d ln p/dphi at fixed x    continuous x
    pathwise-total    the same with that term                                           continuous x
    measure           weak derivatives of the factors of a product density:
      Bernoulli       dF/dp_i     = E[F_loc(s_i = +1) - F_loc(s_i = -1)]
      Gaussian mean   dF/dm_i     = E[F_loc(m_i + sigma_i W) - F_loc(m_i - sigma_i W)]/(sigma_i sqrt(2 pi))
      Gaussian scale  dF/dsigma_i = E[F_loc(m_i + sigma_i M) - F_loc(m_i + sigma_i M U)]/sigma_i

with W of a Rayleigh, M of a double-sided Maxwell distribution and U uniform, so that M U is normal (Pflug, Optimization
of Stochastic Models, 1996; Mohamed, Rosca, Figurnov and Mnih, J. Mach. Learn. Res. 21, 132 (2020), section 6).  The
other coordinates stay those of the sample, which is exact for a product and wrong for anything else.

"score+pathwise" is the combination whose weights minimise the estimated variance, "0.3*score+0.7*pathwise" a given one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import paramax
from flowjax.distributions import Normal
from jax import Array

from massieu.errors import InputError, one_of, require
from massieu.principle import Energy, Params, Samples, draw, pathwise_gradient, score_function_gradient

Estimator = Callable[[Params, Any, Energy, Array, int, Array | float], tuple[Samples, Params]]

PARTS = 16  # sub-batches, in two halves, that the weights of a combination are estimated from
AT_ONCE = 16  # coordinates moved at a time: bounds the memory of a measure-valued gradient


class Bernoullis(NamedTuple):
    """Independent spins +-1 (n,) by their logits ln p_i(+1) - ln p_i(-1)."""

    logit: Array

    def slopes(self, energy: Energy, samples: Samples, key: Array, beta: Array | float) -> Bernoullis:
        """dF/dlogit (n,) from the energies of every sample and of its n neighbours."""

        def flipped(i: Array) -> Array:
            return jax.vmap(energy)(samples.x.at[:, i].multiply(-1.0))

        after = jax.lax.map(flipped, jnp.arange(len(self.logit)), batch_size=AT_ONCE)
        difference = jnp.mean(samples.x.T * (samples.energy[None] - after), axis=1)  # H(s_i = +1) - H(s_i = -1)
        p = jax.nn.sigmoid(self.logit)
        return Bernoullis((p * (1 - p) * (difference + self.logit / beta)).astype(self.logit.dtype))


class Gaussians(NamedTuple):
    """Independent normal variables by their means and standard deviations, both of the shape of x."""

    mean: Array
    scale: Array

    def slopes(self, energy: Energy, samples: Samples, key: Array, beta: Array | float) -> Gaussians:
        """dF/dmean and dF/dscale from four energies a coordinate of every sample."""
        flat = samples.x.reshape(len(samples.x), -1)
        mean, scale = self.mean.ravel(), self.scale.ravel()
        k1, k2, k3 = jax.random.split(key, 3)
        w = jax.random.rayleigh(k1, 1.0, flat.shape, flat.dtype)
        m = jax.random.double_sided_maxwell(k2, 0.0, 1.0, flat.shape, flat.dtype)
        z = jnp.stack([w, -w, m, m * jax.random.uniform(k3, flat.shape, flat.dtype)])  # (4, B, d)

        def moved(i: Array) -> Array:
            """F_loc (4,), up to a constant, with coordinate i at the four points, averaged over the samples."""

            def one(z: Array) -> Array:
                x = flat.at[:, i].set(mean[i] + scale[i] * z).reshape(samples.x.shape)
                return jnp.mean(jax.vmap(energy)(x) - z**2 / (2 * beta))

            return jax.vmap(one)(z[:, :, i])

        f = jax.lax.map(moved, jnp.arange(flat.shape[1]), batch_size=AT_ONCE)
        of_mean = (f[:, 0] - f[:, 1]) / (scale * math.sqrt(2 * math.pi))
        of_scale = (f[:, 2] - f[:, 3]) / scale
        shape, dtype = self.mean.shape, self.mean.dtype
        return Gaussians(of_mean.reshape(shape).astype(dtype), of_scale.reshape(shape).astype(dtype))


Factors = Bernoullis | Gaussians


def factors_of(density: Any) -> Factors | None:
    """The factors of a product density (its method `factors`, or flowjax's Normal), None for any other."""
    if isinstance(density, Normal):
        plain = paramax.unwrap(density)
        return Gaussians(plain.bijection.loc, plain.bijection.scale)
    return density.factors() if hasattr(density, "factors") else None


def measure_valued_gradient(
    params: Params, static: Any, energy: Energy, key: Array, batch: int, beta: Array | float
) -> tuple[Samples, Params]:
    """Weak derivatives of a product density; n + 1 (spins) or 4 d + 1 (reals) energies a sample.

    F_loc contains ln p, so the variance vanishes at the exact density.  InputError for a density that is no product.
    """
    check("measure", eqx.combine(params, static))
    for_samples, for_pairs = jax.random.split(key)
    samples = draw(eqx.combine(params, static), energy, for_samples, batch, beta)
    factors: Any
    factors, pull_back = jax.vjp(lambda params: factors_of(eqx.combine(params, static)), params)
    (gradient,) = pull_back(factors.slopes(energy, samples, for_pairs, beta))
    return samples, gradient


def _score(
    params: Params, static: Any, energy: Energy, key: Array, batch: int, beta: Array | float
) -> tuple[Samples, Params]:
    samples = draw(eqx.combine(params, static), energy, key, batch, beta)
    return samples, score_function_gradient(params, static, samples, beta)


def _pathwise(
    params: Params, static: Any, energy: Energy, key: Array, batch: int, beta: Array | float, **options: Any
) -> tuple[Samples, Params]:
    check("pathwise", eqx.combine(params, static))
    return pathwise_gradient(params, static, energy, key, batch, beta, **options)


ESTIMATORS: dict[str, Estimator] = {
    "score": _score,
    "pathwise": _pathwise,
    "pathwise-total": partial(_pathwise, path_only=False),
    "measure": measure_valued_gradient,
}


# ---- by name


def parse(text: str) -> list[tuple[float | None, str]]:
    """'score', 'score+pathwise' or '0.3*score+0.7*pathwise' as (weight or None, name); InputError otherwise."""
    terms: list[tuple[float | None, str]] = []
    for term in str(text).split("+"):
        weight, _, name = term.strip().rpartition("*")
        try:
            terms.append((float(weight) if weight else None, name.strip()))
        except ValueError:
            raise InputError(f"gradient = {text}: must be terms such as 0.3*score, not {term.strip()}") from None
    for _, name in terms:
        one_of("gradient", name, ESTIMATORS)
    weights = [weight for weight, _ in terms]
    distinct = len({name for _, name in terms}) == len(terms)
    require(distinct, "gradient", text, "a sum of different estimators")
    if all(weight is None for weight in weights):
        return terms
    known = [weight for weight in weights if weight is not None]
    convex = len(known) == len(weights) and min(known) >= 0 and abs(sum(known) - 1) < 1e-9
    require(convex, "gradient", text, "a sum with a weight >= 0 for each, of sum 1, or for none")
    return terms


def estimator(text: str, clip: float = math.inf) -> Estimator:
    """The estimator or combination of that name; clip: of the pull on a sample in `pathwise` (see principle)."""
    terms = parse(text)
    table = ESTIMATORS | {"pathwise": partial(_pathwise, clip=clip)}
    if len(terms) == 1:
        return table[terms[0][1]]
    return combined([table[name] for _, name in terms], [weight for weight, _ in terms])


def check(text: str, density: Any) -> None:
    """InputError unless every estimator in `text` applies to the density."""
    kind = type(density).__name__
    for _, name in parse(text):
        if name.startswith("pathwise"):
            discrete = getattr(density, "discrete", False)
            require(not discrete, "gradient", text, f"without {name} for {kind}, whose x is discrete")
        if name == "measure":
            product = factors_of(density) is not None
            allowed = f"without measure for {kind}, which is no product density (ProductSpins, flowjax's Normal)"
            require(product, "gradient", text, allowed)


# ---- combinations


def combined(parts: Sequence[Estimator], weights: Sequence[float | None] | None = None) -> Estimator:
    """sum_k c_k g_k with all g_k from the same random numbers: given weights of sum 1, or those of least variance.

    The latter come from the sub-batches of one half of the batch and are used for the other half, so that the
    combination stays unbiased; they need a batch that is a multiple of PARTS with two samples or more in each.
    """
    if weights is not None and None not in weights:
        return partial(_with_weights, tuple(parts), tuple(w for w in weights if w is not None))
    return partial(_with_least_variance, tuple(parts))


def _with_weights(parts, weights, params, static, energy, key, batch, beta) -> tuple[Samples, Params]:
    found = [part(params, static, energy, key, batch, beta) for part in parts]
    gradients = [gradient for _, gradient in found]
    return found[0][0], jax.tree.map(lambda *g: sum(w * one for w, one in zip(weights, g, strict=True)), *gradients)


def _with_least_variance(parts, params, static, energy, key, batch, beta) -> tuple[Samples, Params]:
    require(batch % PARTS == 0 and batch >= 2 * PARTS, "batch", batch, f"a multiple of {PARTS}, at least {2 * PARTS}")

    def sub_batch(key: Array) -> tuple[Samples, list[Params]]:
        found = [part(params, static, energy, key, batch // PARTS, beta) for part in parts]
        return found[0][0], [gradient for _, gradient in found]

    samples, gradients = jax.lax.map(sub_batch, jax.random.split(key, PARTS))
    stacked = jax.tree.map(lambda *g: jnp.stack(g), *gradients)  # (K, PARTS, ..)
    leaves = [leaf.reshape(*leaf.shape[:2], -1) for leaf in jax.tree.leaves(stacked)]
    first, second = jnp.split(jnp.concatenate(leaves, axis=2), 2, axis=1)
    weights = jnp.stack([least_variance_weights(_covariance(half)) for half in (second, first)], axis=1)  # (K, 2)
    each = jnp.repeat(weights, PARTS // 2, axis=1) / PARTS
    gradient = jax.tree.map(lambda leaf: jnp.einsum("ks,ks...->...", each, leaf).astype(leaf.dtype), stacked)
    return jax.tree.map(lambda leaf: leaf.reshape(batch, *leaf.shape[2:]), samples), gradient


def _covariance(gradients: Array) -> Array:
    """Covariance (K, K), summed over the parameters, of K estimators in S sub-batches (K, S, P)."""
    centred = gradients - jnp.mean(gradients, axis=1, keepdims=True)
    return jnp.einsum("ksp,lsp->kl", centred, centred) / (gradients.shape[1] - 1)


def least_variance_weights(covariance: Array) -> Array:
    """The c >= 0 (K,) of sum 1 with the least c C c, C (K, K): the best of the stationary points on all faces."""
    k = len(covariance)
    ridge = 1e-9 * jnp.trace(covariance) + 1e-30
    trials, variances = [], []
    for face in itertools.chain.from_iterable(itertools.combinations(range(k), m) for m in range(1, k + 1)):
        chosen = jnp.array(face)
        block = covariance[jnp.ix_(chosen, chosen)] + ridge * jnp.eye(len(face))
        inverse = jnp.linalg.solve(block, jnp.ones(len(face)))
        trial = jnp.zeros(k).at[chosen].set(inverse / jnp.sum(inverse))
        trials.append(trial)
        variances.append(jnp.where(jnp.min(trial) >= 0, trial @ covariance @ trial, jnp.inf))
    return jnp.stack(trials)[jnp.argmin(jnp.stack(variances))]
