"""Independent spins: the density of naive mean-field theory."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from flowjax.distributions import AbstractDistribution
from jax import Array

from massieu.estimators import Bernoullis


class ProductSpins(AbstractDistribution):
    """p(s) = prod_i p_i(s_i), s_i = +-1, one logit ln p_i(+1) - ln p_i(-1) a spin; at the minimum m_i = <s_i> solves
    m_i = tanh(beta (h_i + sum_j J_ij m_j)).

    The logits start at random of size `spread`: zero is stationary without a field.
    """

    discrete: ClassVar[bool] = True

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)
    logit: Array  # (n,)

    def __init__(self, n: int, *, spread: float = 0.1, key: Array | None = None):
        self.shape, self.cond_shape = (n,), None
        self.logit = spread * jax.random.normal(jax.random.key(0) if key is None else key, (n,))

    @property
    def blocks(self) -> int:
        """Conditionals with parameters of their own: one a spin."""
        return self.shape[0]

    def factors(self) -> Bernoullis:
        """The factors, for measure-valued gradients."""
        return Bernoullis(self.logit)

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        return jnp.sum(jax.nn.log_sigmoid(x * self.logit))

    def _sample(self, key: Array, condition: Array | None = None) -> Array:
        u = jax.random.uniform(key, self.shape, self.logit.dtype)
        return jnp.where(u < jax.nn.sigmoid(self.logit), 1.0, -1.0).astype(u.dtype)
