"""Blankets of plane rotors, for the XY model (`vector_blanket` has the equations).

The conditional density of an angle is piecewise linear between K knots around the circle, whose logarithms the model
gives: normalised by their sum, drawn by inverting a quadratic, and of relative error (2 pi/K)^2 p''/(12 p) where it is
smooth.
"""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.densities.torus import wrapped
from massieu.densities.vector_blanket import AbstractVectorBlanket, Blankets, by_rank, first_coefficients


class AngleBlanket(AbstractVectorBlanket):
    """Angles (n,) in [-pi, pi).

    couplings: (n, n) symmetric, zero diagonal; field: (n, 2); width: random features a site; knots: K.  Without fields
    the first angle is uniform and the knots of the others are counted from it: rotations are exact.  With fields the
    direction 0 is one more vector of every blanket.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: tuple[int, ...] = eqx.field(static=True)
    knots: int = eqx.field(static=True)
    free: bool = eqx.field(static=True)
    order: np.ndarray
    couplings: np.ndarray
    field: np.ndarray
    blankets: Blankets
    coefficients: Array

    def __init__(
        self, couplings: np.ndarray, field: np.ndarray | None = None, *, width: int = 16, knots: int = 32, seed: int = 0
    ):
        self.shape, self.cond_shape, self.knots = (len(couplings),), (), knots
        self.order, self.couplings, self.field = by_rank(couplings, field, 2)
        self.free = not np.any(self.field)
        found = Blankets.of(self.couplings, 2, width, seed)
        if not self.free:
            head, rng = len(found.mask), np.random.default_rng(seed)
            zero = rng.normal(size=(head, 1, 2, width))
            mixing, mask = np.concatenate([found.mixing, zero], axis=1), np.pad(found.mask, [(0, 0), (0, 1)])
            mask[:, -1] = 1.0
            found = found._replace(mixing=mixing, mask=mask)
        self.blankets, self.coefficients = found, first_coefficients(found, 1, False)

    def vectors(self, s: Array) -> Array:
        return jnp.stack([jnp.cos(s), jnp.sin(s)], axis=-1)

    def candidates(self) -> np.ndarray:
        angles = 2 * np.pi * np.arange(self.knots) / self.knots
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)

    def seen(self, s: Array) -> Array:
        s = s if self.free else jnp.concatenate([s, jnp.zeros(1, s.dtype)])
        return self.vectors(s[None] - 2 * np.pi * np.arange(self.knots)[:, None] / self.knots)

    def log_sum(self, fields: Array) -> Array:
        x = jnp.sqrt(jnp.sum(fields**2, axis=-1) + 1e-300)
        return jnp.log(jax.scipy.special.i0e(x)) + x

    def choose(self, u: Array, logit: Array) -> Array:
        """The angle in [0, 2 pi) up to which the density holds the share u."""
        w = jnp.exp(logit - jnp.max(logit, axis=-1, keepdims=True))
        after = jnp.roll(w, -1, axis=-1)
        rising = jnp.cumsum(0.5 * (w + after), axis=-1)
        aim = jnp.expand_dims(u, -1) * rising[..., -1:]
        at = jnp.minimum(jnp.sum(aim >= rising, axis=-1, keepdims=True), self.knots - 1)
        w0, w1, end = (jnp.take_along_axis(values, at, axis=-1) for values in (w, after, rising))
        left = aim - (end - 0.5 * (w0 + w1))
        # of w0 t + (w1 - w0) t^2/2 = left
        t = 2 * left / jnp.maximum(w0 + jnp.sqrt(jnp.maximum(w0**2 + 2 * (w1 - w0) * left, 0.0)), 1e-300)
        return (2 * math.pi / self.knots * (at + jnp.clip(t, 0.0, 1.0)))[..., 0].astype(u.dtype)

    def log_conditional(self, s: Array, logit: Array) -> Array:
        place = jnp.expand_dims(jnp.mod(s, 2 * math.pi), -1) * (self.knots / (2 * math.pi))
        at = jnp.minimum(jnp.floor(place).astype(int), self.knots - 1)
        low = jnp.take_along_axis(logit, at, axis=-1)
        high = jnp.take_along_axis(logit, jnp.mod(at + 1, self.knots), axis=-1)
        t = jnp.clip(place - at, 0.0, 1.0)
        top = jnp.maximum(low, high)
        value = top + jnp.log((1 - t) * jnp.exp(low - top) + t * jnp.exp(high - top))
        return value[..., 0] - jax.nn.logsumexp(logit, axis=-1) - math.log(2 * math.pi / self.knots)

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        if self.free:
            x = x - x[self.order[:1]]
        return super()._log_prob(wrapped(x), condition)

    def _sample_and_log_prob(self, key: Array, condition: Array | None = None) -> tuple[Array, Array]:
        u = jax.random.uniform(key, self.shape)
        if not self.free:
            x, log_p = self.drawn(u, condition)
            return wrapped(x), log_p
        x, log_p = self.drawn(u.at[0].set(0.0), condition)
        return wrapped(x + 2 * math.pi * u[0]), log_p
