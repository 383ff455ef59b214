"""p(K) of a hot gas, n fermions in tens of thousands of orbitals: a canonical ideal gas with one shift for each shell.

    ln p(K|q) = sum_{k in K} l_k - ln e_n(all orbitals),   l = -beta eps + shift of the shell

Interactions between pairs of orbitals (`Occupation`) would need a matrix over all of them.  The tail of the conditional
of the next orbital is a ratio of elementary symmetric polynomials,

    p(next >= m | previous) = e_r(orbitals from m) / e_r(orbitals above the previous one),   r still to come

so that a draw is a binary search.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.physics.fermi_gas import log_symmetric, log_symmetric_of_all


class IdealOccupation(eqx.Module):
    """Occupied orbitals (N,) for each twist q, by spin, rising within a spin; labels (1 + N,) as in `Occupation`.

    momenta (Q, M, dim) and log_weights (Q, M) are those of the orbitals for each of Q twists.
    """

    spins: tuple[int, ...] = eqx.field(static=True)
    log_weights: np.ndarray  # (Q, M): -beta times the levels of the ideal gas
    shell: np.ndarray  # (M,)
    shifts: Array  # (shells,)

    def __init__(self, momenta: np.ndarray, log_weights: np.ndarray, spins: tuple[int, ...]):
        self.spins = spins
        self.log_weights = log_weights - log_weights.max(axis=1, keepdims=True)
        square = np.mean(np.sum(momenta**2, axis=-1), axis=0)
        self.shell = np.unique(np.round(square, 6), return_inverse=True)[1]
        self.shifts = jnp.zeros(int(self.shell.max()) + 1)

    @property
    def n(self) -> int:
        """Number of fermions."""
        return sum(self.spins)

    def log_prob(self, label: Array) -> Array:
        """ln p(K|q) of one label (1 + N,)."""
        levels = self._levels(label[0])
        return self._log_prob(levels, label[1:], log_symmetric_of_all(levels, max(self.spins)))

    def sample_and_log_prob(self, key: Array) -> tuple[Array, Array]:
        """One label (1 + N,), its twist uniform, and ln p(K|q)."""
        choose, draw = jax.random.split(key)
        q = jax.random.randint(choose, (), 0, len(self.log_weights))
        levels = self._levels(q)
        table = log_symmetric(levels, max(self.spins))
        above, below = jnp.log(jax.random.uniform(draw, (self.n,), minval=1e-300)), []
        for count, u in zip(self.spins, jnp.split(above, np.cumsum(self.spins)[:-1]), strict=True):
            steps = jnp.arange(count, 0, -1), u
            below.append(jax.lax.scan(lambda last, step: _next(table, last, *step), jnp.asarray(-1), steps)[1])
        occupied = jnp.concatenate(below)
        return jnp.concatenate([q[None], occupied]), self._log_prob(levels, occupied, table[0])

    def _log_prob(self, levels: Array, occupied: Array, of_all: Array) -> Array:
        return jnp.sum(levels[occupied]) - sum(of_all[count] for count in self.spins)

    def _levels(self, q: Array) -> Array:
        base = jnp.asarray(self.log_weights)
        return (base[q] if len(base) > 1 else base[0]) + self.shifts[self.shell]


def _next(table: Array, last: Array, left: Array, log_uniform: Array) -> tuple[Array, Array]:
    """The orbital above `last` from which on the probability of the next of `left` falls below a uniform number."""
    tail = table[:, left]  # falls with the orbital
    orbital = jnp.searchsorted(-tail, -(tail[last + 1] + log_uniform), side="right") - 1
    return orbital, orbital
