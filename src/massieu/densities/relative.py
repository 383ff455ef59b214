"""Densities that do not know where zero is: the first site is uniform on its circle, the others follow relative to it."""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from flowjax.distributions import AbstractDistribution
from jax import Array

from massieu.densities.torus import CircularSpline, wrapped


class Relative(AbstractDistribution):
    """p(x) = p_0(x_1 - x_0, .., x_{n-1} - x_0)/length: exactly invariant where all sites are turned together.

    base: shape (n - 1,), of angles on a circle of length 2 pi, or of the states 0 .. q - 1 of a circle of length q.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: tuple[int, ...] | None = eqx.field(static=True)
    base: AbstractDistribution
    states: int | None = eqx.field(static=True)

    def __init__(self, base: AbstractDistribution):
        self.shape, self.cond_shape, self.base = (base.shape[0] + 1,), base.cond_shape, base
        self.states = getattr(base, "states", None)

    @property
    def discrete(self) -> bool:
        """Whether x is."""
        return self.states is not None

    def _around(self, x: Array) -> Array:
        return wrapped(x) if self.states is None else jnp.mod(x, self.states)

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        length = 2 * math.pi if self.states is None else self.states
        return self.base._log_prob(self._around(x[1:] - x[:1]), condition) - math.log(length)

    def _sample_and_log_prob(self, key: Array, condition: Array | None = None) -> tuple[Array, Array]:
        of_first, of_others = jax.random.split(key)
        others, log_prob = self.base._sample_and_log_prob(of_others, condition)
        if self.states is None:
            first = jax.random.uniform(of_first, (1,), others.dtype, -jnp.pi, jnp.pi)
            log_prob = log_prob - math.log(2 * math.pi)
        else:
            first = jax.random.randint(of_first, (1,), 0, self.states, others.dtype)
            log_prob = log_prob - math.log(self.states)
        return jnp.concatenate([first, self._around(others + first)]), log_prob

    def _sample(self, key: Array, condition: Array | None = None) -> Array:
        return self._sample_and_log_prob(key, condition)[0]


def relative_angles(n: int, *, free: bool, key: Array, **sizes: int) -> AbstractDistribution:
    """Circular splines of n angles; where they are free to turn together, of those relative to the first."""
    if not free or n == 1:
        return CircularSpline(n, key=key, **sizes)
    return Relative(CircularSpline(n - 1, key=key, **sizes))
