"""Continuous flows of real vectors: a general velocity, the gradient of a potential, and a reversed diffusion.

All three are carried by the integrator of `continuous`; they differ in what v(x, t) is.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flowjax.distributions import AbstractDistribution, StandardNormal
from jax import Array

from massieu.densities.continuous import ContinuousFlow
from massieu.densities.perceptron import Perceptron, apply, perceptron

FREQUENCIES = 2  # sines and cosines of 2 pi f t beside t
LEAST_NOISE, MOST_NOISE = 0.1, 20.0  # rate of the diffusion at its ends (Song et al. 2021)
EARLIEST = 1e-3  # diffusion time at which the data are taken to be


def time_features(t: Array) -> Array:
    """t and its first sines and cosines (1 + 2 FREQUENCIES,)."""
    phase = 2 * jnp.pi * jnp.arange(1, FREQUENCIES + 1) * t
    return jnp.concatenate([t[None], jnp.sin(phase), jnp.cos(phase)])


def standard_normal(d: int) -> AbstractDistribution:
    """Independent normal variates, shape (d,)."""
    return StandardNormal((d,))  # type: ignore[call-arg]


class NeuralODE(ContinuousFlow):
    """v(x, t) a network of tanh units (Chen, Rubanova, Bettencourt and Duvenaud 2018); x of shape (d,).

    probe: without it the divergence is exact, d directional derivatives; with a random vector of mean zero and unit
    covariance it is Hutchinson's estimate with that vector, one directional derivative.
    adjoint: gradients by the adjoint equation, with memory that does not grow with the steps (see `runge_kutta`).
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)
    base: AbstractDistribution
    steps: int
    network: Perceptron
    probe: Array | None
    adjoint: bool

    def __init__(self, d: int, *, width: int = 64, depth: int = 2, steps: int = 10, adjoint: bool = False, key: Array):
        self.shape, self.cond_shape, self.steps, self.probe, self.adjoint = (d,), None, steps, None, adjoint
        self.base = standard_normal(d)
        self.network = perceptron(key, [d + 1 + 2 * FREQUENCIES, *[width] * depth, d])

    @property
    def by_adjoint(self) -> bool:
        return self.adjoint

    def velocity(self, x: Array, t: Array, condition: Array | None = None) -> tuple[Array, Array]:
        times = time_features(jnp.asarray(t, x.dtype))
        return with_divergence(lambda x: apply(self.network, jnp.concatenate([x, times])), x, self.probe)

    def stochastic_log_prob(self, x: Array, key: Array) -> Array:
        """An unbiased estimate of ln p(x) that needs one directional derivative of the velocity."""
        probe = jax.random.rademacher(key, x.shape, x.dtype)
        return eqx.tree_at(lambda f: f.probe, self, probe, is_leaf=lambda leaf: leaf is None)._log_prob(x)


class MongeAmpereFlow(ContinuousFlow):
    """v = grad u, u = sum_k a_k(t) ln cosh(w_k.x + b_k + c_k t) (Zhang, E and Wang, arXiv:1809.10188); x of shape (d,).

    permutations (G, d), a group, and `even` make u and with it the density invariant under them and under x -> -x: the
    potential is averaged over the group.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)
    base: AbstractDistribution
    steps: int
    even: bool
    permutations: np.ndarray  # (G, d)
    amplitude: Array  # (1 + 2 FREQUENCIES + 1, width)
    weight: Array  # (width, d)
    bias: Array  # (2, width): constant, and rate with t

    def __init__(
        self,
        d: int,
        *,
        width: int = 64,
        steps: int = 10,
        permutations: np.ndarray | None = None,
        even: bool = False,
        key: Array,
    ):
        of_weight, of_bias = jax.random.split(key)
        self.shape, self.cond_shape, self.steps, self.even = (d,), None, steps, even
        self.base = standard_normal(d)
        self.permutations = np.arange(d)[None] if permutations is None else np.asarray(permutations, int)
        self.amplitude = jnp.zeros((2 + 2 * FREQUENCIES, width))
        self.weight = jax.random.normal(of_weight, (width, d)) / np.sqrt(d)
        self.bias = jax.random.normal(of_bias, (2, width)) * (not even)

    def velocity(self, x: Array, t: Array, condition: Array | None = None) -> tuple[Array, Array]:
        """Gradient and Laplacian of u in closed form, averaged over the group."""
        t = jnp.asarray(t, x.dtype)
        share = jnp.concatenate([jnp.ones(1, x.dtype), time_features(t)]) @ self.amplitude / len(self.permutations)
        bias = (self.bias[0] + self.bias[1] * t) * (not self.even)
        slope = jnp.tanh(x[self.permutations] @ self.weight.T + bias[None])  # (G, width)
        pulled = (share[None] * slope) @ self.weight  # (G, d), by the permuted coordinates
        v = jnp.zeros_like(x).at[self.permutations].add(pulled)
        return v, jnp.sum((1 - slope**2) @ (share * jnp.sum(self.weight**2, axis=1)))


class Diffusion(ContinuousFlow):
    """Data turned into noise, dx = -beta(s) x/2 ds + sqrt(beta(s)) dW, and back by the probability flow; x (d,).

    The network predicts the noise beyond that of normal data; `loss` trains it by denoising (Ho, Jain and Abbeel 2020;
    Song et al. 2021).  ln p is that of the probability flow dx/ds = -beta(s) (x + grad ln p_s(x))/2 from s = 1 (noise,
    t = 0) to EARLIEST, s = (1 - t)^2.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)
    base: AbstractDistribution
    steps: int
    network: Perceptron

    def __init__(self, d: int, *, width: int = 128, depth: int = 3, steps: int = 30, key: Array):
        self.shape, self.cond_shape, self.steps = (d,), None, steps
        self.base = standard_normal(d)
        self.network = perceptron(key, [d + 1 + 2 * FREQUENCIES, *[width] * depth, d])

    def _excess(self, x: Array, s: Array) -> Array:
        """The noise in x at diffusion time s, less sigma x, what it would be were the data standard normal."""
        return apply(self.network, jnp.concatenate([x, time_features(jnp.sqrt(s))]))

    def velocity(self, x: Array, t: Array, condition: Array | None = None) -> tuple[Array, Array]:
        rest = 1 - jnp.asarray(t, x.dtype)
        s = EARLIEST + (1 - EARLIEST) * rest**2
        rate = (1 - EARLIEST) * rest * (LEAST_NOISE + s * (MOST_NOISE - LEAST_NOISE))
        sigma = noise_level(s)[1]
        return with_divergence(lambda x: -rate / sigma * self._excess(x, s), x, None)

    def loss(self, x: Array, key: Array) -> Array:
        """|noise - its prediction|^2 at a random time: a bound on -ln p up to weights and constants."""
        of_time, of_noise = jax.random.split(key)
        s = EARLIEST + (1 - EARLIEST) * jax.random.uniform(of_time) ** 2  # more often early, where ln p is made
        noise = jax.random.normal(of_noise, x.shape)
        keep, sigma = noise_level(s)
        noisy = keep * x + sigma * noise
        return jnp.mean((noise - sigma * noisy - self._excess(noisy, s)) ** 2)

    def noised(self, x: Array, s: float, key: Array) -> Array:
        """The forward process: x (.., d) at diffusion time s in [0, 1]."""
        keep, sigma = noise_level(jnp.asarray(s))
        return keep * x + sigma * jax.random.normal(key, x.shape)


def noise_level(s: Array) -> tuple[Array, Array]:
    """(alpha, sigma) with x_s = alpha x_0 + sigma noise and alpha^2 + sigma^2 = 1."""
    spent = LEAST_NOISE * s + 0.5 * (MOST_NOISE - LEAST_NOISE) * s**2
    return jnp.exp(-0.5 * spent), jnp.sqrt(-jnp.expm1(-spent))


def with_divergence(v, x: Array, probe: Array | None) -> tuple[Array, Array]:
    """v(x) and its divergence: exact, or probe . dv/dx probe."""
    if probe is not None:
        value, slope = jax.jvp(v, (x,), (probe,))
        return value, jnp.sum(probe * slope)
    value, pushed = jax.linearize(v, x)
    return value, jnp.trace(jax.vmap(pushed)(jnp.eye(x.size, dtype=x.dtype)))
