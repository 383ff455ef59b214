"""A diffusion run backwards, trained on energies: noise becomes a configuration in steps whose densities are known.

    x_K ~ N(0, s^2),  x_{k-1} ~ q_k = N(sqrt(1 - b_k) x_k + b_k s u(x_k, k), b_k s^2),  k = K .. 1;  x = x_0
    noising           x_k     ~ r_k = N(sqrt(1 - b_k) x_{k-1}, b_k s^2)

    F[path] = E_q[ H(x_0) + kT (ln N(x_K) + sum ln q_k - ln r_k) ]  >=  F[marginal of x_0]  >=  -kT ln Z

(Vargas, Grathwohl and Doucet, ICLR 2023, arXiv:2302.13834).  In place of ln p(x) stands the bracket, so that S is a
lower bound on the entropy of x; exp of minus the bracket, times exp(-beta H), has the mean Z: reweighting is exact.
"""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flowjax.distributions import AbstractDistribution
from jax import Array

from massieu.densities.neural_ode import FREQUENCIES, time_features
from massieu.densities.perceptron import Perceptron, apply, perceptron
from massieu.errors import InputError

LEAST_LEFT = 0.02  # of the signal, once all noise is added
LONGEST_PULL = 10.0  # of the guiding force, in units of the inverse width


class DiffusionSampler(AbstractDistribution):
    """Configurations of shape `shape` from noise of standard deviation `width_of_noise` in `steps` steps.

    u is a network; with `force` (the gradient of -beta H, a function of x) it adds a multiple of the force that depends
    on the step.  It starts as the normal distribution.  There is no ln p(x) at a given x: train with the pathwise
    gradient and Adam.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)
    force: Callable[[Array], Array] | None = eqx.field(static=True)
    noise: np.ndarray  # b_k of the steps (K,)
    scale: float
    network: Perceptron
    gate: Perceptron  # of the force, from the time alone

    def __init__(
        self,
        shape: tuple[int, ...],
        width_of_noise: float = 1.0,
        *,
        force: Callable[[Array], Array] | None = None,
        width: int = 64,
        depth: int = 2,
        steps: int = 32,
        key: Array,
    ):
        self.shape, self.cond_shape, self.force, self.scale = tuple(shape), None, force, float(width_of_noise)
        d, (k1, k2) = int(np.prod(shape)), jax.random.split(key)
        # sqrt(prod (1 - b)) falls as a cosine from 1 to LEAST_LEFT: small steps where the configuration is made
        signal = np.cos(np.linspace(0, np.arccos(LEAST_LEFT), steps + 1))
        self.noise = 1 - (signal[1:] / signal[:-1]) ** 2
        self.network = perceptron(k1, [d + 1 + 2 * FREQUENCIES, *[width] * depth, d])
        self.gate = perceptron(k2, [1 + 2 * FREQUENCIES, width, 1])

    @property
    def augmented(self) -> bool:
        """ln p belongs to the whole path, not to x."""
        return True

    def _drift(self, x: Array, t: Array) -> Array:
        """u at the time t = k/K."""
        features = time_features(t)
        u = apply(self.network, jnp.concatenate([x.reshape(-1) / self.scale, features])).reshape(self.shape)
        if self.force is None:
            return u
        pull = self.scale * self.force(x) + x / self.scale
        length = jnp.sqrt(jnp.mean(pull**2) + 1e-12)
        return u + apply(self.gate, features)[0] * pull * jnp.minimum(1.0, LONGEST_PULL / length)

    def _sample_and_log_prob(self, key: Array, condition: Array | None = None) -> tuple[Array, Array]:
        first, others = jax.random.split(key)
        z = jax.random.normal(first, self.shape)

        def step(state: tuple[Array, Array], at: tuple[Array, Array, Array]) -> tuple[tuple[Array, Array], None]:
            (x, change), (key, b, t) = state, at
            noise = jax.random.normal(key, self.shape)
            new = jnp.sqrt(1 - b) * x + self.scale * (b * self._drift(x, t) + jnp.sqrt(b) * noise)
            back = (x - jnp.sqrt(1 - b) * new) / (self.scale * jnp.sqrt(b))
            return (new, change + 0.5 * jnp.sum(back**2 - noise**2)), None

        count = len(self.noise)
        times = jnp.arange(count, 0, -1) / count
        along = (jax.random.split(others, count), jnp.asarray(self.noise[::-1].copy()), times)
        (x, change), _ = jax.lax.scan(jax.checkpoint(step), (self.scale * z, jnp.zeros(())), along)
        at_start = -0.5 * jnp.sum(z**2) - z.size * np.log(self.scale * np.sqrt(2 * np.pi))
        return x, at_start + change

    def _sample(self, key: Array, condition: Array | None = None) -> Array:
        return self._sample_and_log_prob(key)[0]

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        raise InputError(
            "density = DiffusionSampler: must be one with ln p(x) for this, a diffusion has only that of its path"
        )
