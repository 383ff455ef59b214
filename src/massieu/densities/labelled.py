"""p(n) of distinguishable particles."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


class LabelledOccupation(eqx.Module):
    """p(n_1 .. n_N) of distinguishable particles, each in one of M levels: independent, one shift of ln p per shell."""

    count: int = eqx.field(static=True)
    log_weights: np.ndarray  # (M,)
    shell: np.ndarray  # (M,)
    shifts: Array  # (shells,)

    def __init__(self, count: int, log_weights: np.ndarray, shell: np.ndarray):
        self.count, self.log_weights, self.shell = count, log_weights - log_weights.max(), shell
        self.shifts = jnp.zeros(int(shell.max()) + 1)

    @property
    def n(self) -> int:
        """Number of particles."""
        return self.count

    def _log_levels(self) -> Array:
        return jax.nn.log_softmax(jnp.asarray(self.log_weights) + self.shifts[self.shell])

    def log_prob(self, label: Array) -> Array:
        """ln p of one label (1 + N,)."""
        return jnp.sum(self._log_levels()[label[1:]])

    def sample_and_log_prob(self, key: Array) -> tuple[Array, Array]:
        """One label (1 + N,) and its ln p."""
        table = self._log_levels()
        chosen = jax.random.categorical(key, table, shape=(self.count,))
        return jnp.concatenate([jnp.zeros(1, int), chosen]), jnp.sum(table[chosen])
