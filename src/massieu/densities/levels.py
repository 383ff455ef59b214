"""p(n|S): which levels of a mean field h(S) electrons of two spins occupy, for every S with one network.

The conditionals of `ordered_sets` with l_a = -x_a (levels x in units of kT) - c(what is seen of level a at S), and as
learned logits what a causal transformer makes of the levels that are already occupied (after Li et al.,
arXiv:2507.18540, whose transformer sees the levels alone).  Corrections are zero at first: the canonical ideal gas.
"""

from __future__ import annotations

from typing import Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from massieu.densities import ordered_sets
from massieu.densities.transformer import Reader
from massieu.physics.fermi_gas import log_symmetric

HIDDEN = 8
WIDTH, DEPTH = 16, 2  # of the transformer


class Levels(Protocol):
    """Levels (k,) in units of kT, rising, and what is seen of each of them (k, features)."""

    levels: Array
    seen: Array


class LevelOccupation(eqx.Module):
    """Occupied levels (N,) of two spins, rising within a spin."""

    spins: tuple[int, int] = eqx.field(static=True)
    weight: Array  # (features, HIDDEN)
    bias: Array  # (HIDDEN,)
    correction: Array  # (HIDDEN,)
    log_scale: Array  # of the levels
    reader: Reader
    readout: Array  # (features, WIDTH)

    def __init__(self, spins: tuple[int, int], features: int, key: Array):
        self.spins = spins
        of_own, of_reader = jax.random.split(key)
        self.weight, self.bias = jax.random.normal(of_own, (features, HIDDEN)) / features**0.5, jnp.zeros(HIDDEN)
        self.correction, self.log_scale = jnp.zeros(HIDDEN), jnp.zeros(())
        self.reader = Reader(sum(spins), features, width=WIDTH, depth=DEPTH, key=of_reader)
        self.readout = jnp.zeros((features, WIDTH))

    def sample(self, key: Array, at: Levels) -> Array:
        """Occupied levels (N,)."""
        return self.from_base(jax.random.uniform(key, (sum(self.spins),)), at)

    def from_base(self, uniform: Array, at: Levels) -> Array:
        """The levels (N,) that uniform numbers (N,) stand for: they seldom change with a little of either."""
        log_w, table = self._weights(at)

        def learned(cache: list, rank: ordered_sets.Rank) -> tuple[list, Array]:
            cache, known = self.reader.step(cache, _before(at, rank.before), rank.number)
            return cache, at.seen @ (self.readout @ known)

        return ordered_sets.from_base(uniform, log_w, table, self.spins, learned, self.reader.start())[0]

    def log_prob(self, at: Levels, label: Array) -> Array:
        """ln p(n|S)."""
        log_w, table = self._weights(at)
        known = self.reader(_before(at, ordered_sets.ranks(self.spins, label).before))
        return ordered_sets.log_prob(label, log_w, table, self.spins, known @ self.readout.T @ at.seen.T)

    def log_weights(self, at: Levels) -> Array:
        """l (k,): of each level alone."""
        hidden = jnp.tanh(at.seen @ self.weight + self.bias[None])
        return -(at.levels - at.levels[0]) * jnp.exp(self.log_scale) + hidden @ self.correction

    def _weights(self, at: Levels) -> tuple[Array, Array]:
        """l (k,) and the table of its symmetric polynomials."""
        log_w = self.log_weights(at)
        return log_w, log_symmetric(log_w, max(self.spins))


def _before(at: Levels, before: Array) -> Array:
    """What is seen of the level of the rank before, zero where there is none."""
    return jnp.where(before[..., None] >= 0, at.seen[before], 0.0)
