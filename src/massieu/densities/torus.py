"""Densities of angles: couplings whose maps are circular splines (Rezende et al., ICML 2020, arXiv:2002.02428)."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flowjax.bijections import RationalQuadraticSpline
from flowjax.distributions import AbstractDistribution
from jax import Array

from massieu.densities.perceptron import Perceptron, apply, perceptron

LEAST_BIN, LEAST_SLOPE = 1e-3, 1e-3  # of the spline: width and height in units of 2 pi, and derivative
UNIT_SLOPE = float(np.log(np.expm1(1 - LEAST_SLOPE)))  # softplus of it is 1 - LEAST_SLOPE


class CircularSpline(AbstractDistribution):
    """Angles (d,) in [-pi, pi), from the uniform density by `depth` couplings; starts as uniform.

    Each layer moves every other angle by x -> spline(x) + phase (mod 2 pi).  The spline is rational-quadratic with
    `bins` bins and the same slope at both ends, so that ln p is continuous on the torus; its parameters come from a
    network of the cosines and sines of the angles that stay.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)
    bins: int
    networks: list[Perceptron]

    def __init__(self, d: int, *, width: int = 64, depth: int = 6, bins: int = 8, key: Array):
        self.shape, self.cond_shape, self.bins = (d,), None, bins
        self.networks = []
        for layer, k in enumerate(jax.random.split(key, depth)):
            moved = int(self._moves(layer).sum())
            self.networks.append(perceptron(k, [1 + 2 * (d - moved), width, width, moved * (3 * bins + 1)]))

    def _moves(self, layer: int) -> np.ndarray:
        """Which angles the layer moves (d,): every other one, by turns; a single one always."""
        return (np.arange(self.shape[0]) + layer) % 2 == 0 if self.shape[0] > 1 else np.ones(1, bool)

    def _splines(self, layer: int, still: Array) -> tuple[tuple[Array, Array, Array], Array]:
        """Knots, their images and slopes (moved, bins + 1) of the splines of the moved angles, and phases (moved,)."""
        features = jnp.concatenate([jnp.ones(1, still.dtype), jnp.cos(still), jnp.sin(still)])
        found = apply(self.networks[layer], features).reshape(-1, 3 * self.bins + 1)
        widths, heights, slopes, phase = jnp.split(found, [self.bins, 2 * self.bins, 3 * self.bins], axis=1)
        slopes = jax.nn.softplus(slopes + UNIT_SLOPE) + LEAST_SLOPE
        around = jnp.concatenate([slopes, slopes[:, :1]], axis=1)
        return (self._knots(widths), self._knots(heights), around), phase[:, 0]

    def _knots(self, logits: Array) -> Array:
        share = LEAST_BIN + (1 - LEAST_BIN * self.bins) * jax.nn.softmax(logits, axis=1)
        inner = -jnp.pi + 2 * jnp.pi * jnp.cumsum(share, axis=1)[:, :-1]
        end = jnp.full((len(logits), 1), jnp.pi, logits.dtype)
        return jnp.concatenate([-end, inner, end], axis=1)

    def _through(self, x: Array, backwards: bool) -> tuple[Array, Array]:
        """x at the other end of all layers, and the log-determinant of the way."""
        template, total = RationalQuadraticSpline(knots=self.bins - 1, interval=float(np.pi)), jnp.zeros((), x.dtype)

        def one(values: tuple[Array, Array, Array], angle: Array) -> tuple[Array, Array]:
            spline = eqx.tree_at(lambda s: (s.x_pos, s.y_pos, s.derivatives), template, values)
            return spline.inverse_and_log_det(angle) if backwards else spline.transform_and_log_det(angle)

        for layer in range(len(self.networks))[:: -1 if backwards else 1]:
            moves = self._moves(layer)
            values, phase = self._splines(layer, x[~moves])
            angle = wrapped(x[moves] - phase) if backwards else x[moves]
            angle, log_det = jax.vmap(one)(values, angle)
            x = x.at[moves].set(angle if backwards else wrapped(angle + phase))
            total = total + jnp.sum(log_det)
        return x, total

    def _sample_and_log_prob(self, key: Array, condition: Array | None = None) -> tuple[Array, Array]:
        z = jax.random.uniform(key, self.shape, minval=-jnp.pi, maxval=jnp.pi)
        x, log_det = self._through(z, backwards=False)
        return x, -self.shape[0] * jnp.log(2 * jnp.pi) - log_det

    def _sample(self, key: Array, condition: Array | None = None) -> Array:
        return self._sample_and_log_prob(key)[0]

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        return self._through(wrapped(x), backwards=True)[1] - self.shape[0] * jnp.log(2 * jnp.pi)


def wrapped(angle: Array) -> Array:
    """The angle in [-pi, pi)."""
    return jnp.mod(angle + jnp.pi, 2 * jnp.pi) - jnp.pi
