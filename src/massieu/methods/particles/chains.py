"""Markov chains in x at fixed labels: a few walkers for each set K, because the norms of correlated states depend on K.

A group is one K with its walkers.  Groups get a new K in turn; their walkers stay where they are, and count again only
once they have had time to follow (`settled`).  Moves are Metropolis-adjusted Langevin steps of all electrons.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from massieu import sampling
from massieu.states import DensityMatrix
from massieu.states.correlated import CorrelatedStates

PERIOD = 8  # calls after which every group has got a new K
SETTLING = 2  # calls that a new K does not count
FIRST_STEP = 0.12  # of the mean spacing of electrons
CACHE = 2**21  # bytes of the walkers that are moved at a time


class Groups(NamedTuple):
    """label (G, 1 + N) and ln p (G,); x (G, W, N, dim); the moves' length; age (G,), calls since the label is new."""

    label: Array
    log_prob: Array
    x: Array
    step: Array
    age: Array

    @property
    def settled(self) -> Array:
        """Which groups (G,) have followed their label."""
        return self.age >= SETTLING

    def each(self) -> Array:
        """The label of every walker (G W, 1 + N)."""
        return jnp.repeat(self.label, self.x.shape[1], axis=0)

    def flat(self) -> Array:
        """Positions of all walkers (G W, N, dim)."""
        return self.x.reshape(-1, *self.x.shape[2:])


def at_once(psi: CorrelatedStates, walkers: int) -> int:
    """How many of the walkers fit the cache."""
    return max(1, min(walkers, CACHE // psi.walker_bytes))


def started(rho: DensityMatrix, key: Array, groups: int, walkers: int) -> Groups:
    """Labels from p, and walkers from the bare determinants."""
    of_label, of_x = jax.random.split(key)
    label, log_prob = jax.vmap(rho.p.sample_and_log_prob)(jax.random.split(of_label, groups))
    each = jnp.repeat(label, walkers, axis=0)
    x = rho.psi.sample_determinants(of_x, each)
    step = jnp.asarray(FIRST_STEP * rho.psi.spacing)
    return Groups(label, log_prob, x.reshape(groups, walkers, *x.shape[1:]), step, jnp.zeros(groups, jnp.int32))


def renewed(p: Any, wide: Any, groups: Groups, key: Array, call: Array) -> Groups:
    """Every PERIOD-th group, in turn, with a new label: from p, or, every other group, from a wider density."""
    count = len(groups.label)
    drawn = [jax.vmap(of.sample_and_log_prob)(jax.random.split(key, count)) for of in (p, wide)]
    mine = from_p(count)
    label, log_prob = jnp.where(mine[:, None], drawn[0][0], drawn[1][0]), jnp.where(mine, drawn[0][1], drawn[1][1])
    now = jnp.arange(count) % PERIOD == call % PERIOD
    changed = now & jnp.any(label != groups.label, axis=1)
    return groups._replace(
        label=jnp.where(changed[:, None], label, groups.label),
        log_prob=jnp.where(changed, log_prob, groups.log_prob),
        age=jnp.where(changed, 0, groups.age),
    )


def from_p(count: int) -> Array:
    """Which groups have labels from p itself."""
    return jnp.arange(count) % 2 == 0


def moved(psi: CorrelatedStates, groups: Groups, key: Array, moves: int) -> tuple[Groups, Array]:
    """`moves` steps of every walker in |Phi_K|^2, and the accepted fraction."""
    label, x = groups.each(), groups.flat()
    chunk = at_once(psi, len(x))

    def slope(label: Array, x: Array) -> tuple[Array, Array]:
        found = jax.lax.map(lambda args: psi.slope(*args), (label, x), batch_size=chunk)
        return found.log_density, found.gradient

    def one(state: Any, key: Array) -> tuple[Any, Array]:
        x, value, force = state
        x, accepted, value, force = sampling.move("mala", slope, key, label, x, value, force, groups.step, psi.wrapped)
        return (x, value, force), jnp.mean(accepted)

    (x, _, _), accepted = jax.lax.scan(one, (x, *slope(label, x)), jax.random.split(key, moves))
    acceptance = jnp.mean(accepted)
    step = sampling.adapted("mala", groups.step, acceptance)
    return groups._replace(x=x.reshape(groups.x.shape), step=step, age=groups.age + 1), acceptance
