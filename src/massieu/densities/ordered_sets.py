"""Sets of occupied orbitals drawn in rising order, spin after spin: conditionals of the ideal gas with learned logits.

    ln p(a | a_1 .. a_j) = l_a + ln e_r(orbitals above a) + learned_a(a_1 .. a_j),   a above a_j, normalised

e_r: elementary symmetric polynomials of exp(l) for the r fermions of that spin that are still to come (complete
homogeneous ones for bosons, which may share an orbital).  With nothing learned this is the canonical ideal gas.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.physics.fermi_gas import conditional_logits

Learned = Callable[[Any, "Rank"], tuple[Any, Array]]


class Rank(NamedTuple):
    """One rank, or all of them (N,): its number, its spin, how many of that spin follow, whether it is the first of it,
    and the orbital of the rank before (-1 for none).
    """  # fmt: skip

    number: Array
    spin: Array
    left: Array
    first: Array
    before: Array


def ranks(spins: tuple[int, ...], occupied: Array | None = None) -> Rank:
    """All ranks, with what is before them in a set (N,)."""
    spin = np.repeat(np.arange(len(spins)), spins)
    left = np.concatenate([np.arange(count)[::-1] for count in spins])
    first = np.concatenate([np.arange(count) == 0 for count in spins])
    none = jnp.full(len(spin), -1)
    before = none if occupied is None else jnp.concatenate([none[:1], occupied[:-1]])
    return Rank(jnp.arange(len(spin)), jnp.asarray(spin), jnp.asarray(left), jnp.asarray(first), before)


def log_prob(
    occupied: Array, log_w: Array, table: Array, spins: tuple[int, ...], learned: Array | float, *, bosons: bool = False
) -> Array:
    """ln p of a set (N,) for log weights (M,), their table (`fermi_gas.log_symmetric`) and learned logits (N, M)."""
    every = ranks(spins, occupied)
    previous = jnp.where(every.first, -1, every.before)
    ideal = jax.vmap(partial(conditional_logits, repeats=bosons), in_axes=(None, None, 0, 0))
    logits = ideal(table, log_w, previous, every.left) + learned
    return jnp.sum(jnp.take_along_axis(jax.nn.log_softmax(logits), occupied[:, None], axis=1))


def from_base(
    uniform: Array,
    log_w: Array,
    table: Array,
    spins: tuple[int, ...],
    learned: Learned,
    start: Any,
    *,
    bosons: bool = False,
) -> tuple[Array, Array]:
    """A set (N,) and its ln p; learned(carry, rank) -> carry, logits (M,), from carry = start.

    Each of the uniform numbers (N,) is where one particle falls in its conditional.
    """

    def place(state: Any, step: tuple[Rank, Array]) -> tuple[Any, Array]:
        (before, total, carry), (rank, uniform) = state, step
        carry, extra = learned(carry, rank._replace(before=before))
        logits = conditional_logits(table, log_w, jnp.where(rank.first, -1, before), rank.left, repeats=bosons) + extra
        top = jnp.max(logits)
        below = jnp.cumsum(jnp.exp(logits - top))
        chosen = jnp.sum(below <= uniform * below[-1])
        return (chosen, total + logits[chosen] - top - jnp.log(below[-1]), carry), chosen

    steps = ranks(spins), uniform
    (_, total, _), occupied = jax.lax.scan(place, (jnp.asarray(-1), jnp.zeros(()), start), steps)
    return occupied, total
