"""Blankets of sites with q states, for the Potts and the clock model (`vector_blanket` has the equations)."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.densities.states import AbstractStates
from massieu.densities.vector_blanket import AbstractVectorBlanket, Blankets, by_rank, first_coefficients


class StateBlanket(AbstractVectorBlanket, AbstractStates):
    """s_i in 0 .. q - 1 points along directions (q, r), whose products the group s -> s + 1 mod q keeps.

    couplings: (n, n) symmetric, zero diagonal; field: (n, r), with which each state has coefficients of its own;
    width: random features a site.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: tuple[int, ...] = eqx.field(static=True)
    states: int = eqx.field(static=True)
    order: np.ndarray
    directions: np.ndarray  # (q, r)
    couplings: np.ndarray
    field: np.ndarray
    blankets: Blankets
    coefficients: Array

    def __init__(
        self, couplings: np.ndarray, directions: np.ndarray, field: np.ndarray | None = None, *, width: int = 32,
        seed: int = 0,
    ):  # fmt: skip
        self.directions = np.asarray(directions, float)
        self.states, r = self.directions.shape
        self.shape, self.cond_shape = (len(couplings),), ()
        self.order, self.couplings, self.field = by_rank(couplings, field, r)
        self.blankets = Blankets.of(self.couplings, r, width, seed)
        held = bool(np.any(self.field))
        self.coefficients = first_coefficients(self.blankets, self.states if held else 1, held)

    def vectors(self, s: Array) -> Array:
        return jnp.asarray(self.directions)[s.astype(int)]

    def candidates(self) -> np.ndarray:
        return self.directions

    def seen(self, s: Array) -> Array:
        relative = s.astype(int)[None] - jnp.arange(self.states)[:, None]
        return self.vectors(jnp.mod(relative, self.states))

    def log_sum(self, fields: Array) -> Array:
        return jax.nn.logsumexp(fields @ jnp.asarray(self.directions, fields.dtype).T, axis=-1)

    def _sample_and_log_prob(self, key: Array, condition: Array | None = None) -> tuple[Array, Array]:
        s, log_p = self.drawn(jax.random.uniform(key, self.shape), condition)
        return s.astype(jnp.int32), log_p
