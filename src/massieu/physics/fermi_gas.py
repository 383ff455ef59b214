"""The canonical ideal Fermi gas, exactly: n fermions in M levels.

The partition function is the elementary symmetric polynomial e_n(w_1 .. w_M) of the weights w = exp(-beta eps).  It is
summed with positive terms only, e_n(w_m ..) = e_n(w_{m+1} ..) + w_m e_{n-1}(w_{m+1} ..), in log space.  The
recursion of Borrmann and Franke (J. Chem. Phys. 98, 2484 (1993)) is the same number as an alternating sum, which loses
all digits of float64 once the gas is degenerate.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.precision import double_precision


class IdealGas(NamedTuple):
    """F, E (unit of the levels), S (k_B) and C (k_B) of n fermions; occupations (M,) of the levels."""

    F: float
    E: float
    S: float
    C: float
    occupations: np.ndarray


def log_symmetric(log_w: Array, n: int) -> Array:
    """Table (M + 1, n + 1) of ln e_r(w_m .. w_{M-1}) for m = 0 .. M and r = 0 .. n; -inf where r > M - m."""
    empty = _no_levels(n, log_w)
    _, rows = jax.lax.scan(lambda row, weight: (_with_level(row, weight),) * 2, empty, log_w[::-1])
    return jnp.concatenate([rows[::-1], empty[None]])


def log_symmetric_of_all(log_w: Array, n: int) -> Array:
    """ln e_r (n + 1,) of all levels: the first row of the table, which is not kept."""
    return jax.lax.scan(lambda row, weight: (_with_level(row, weight), None), _no_levels(n, log_w), log_w[::-1])[0]


def _no_levels(n: int, log_w: Array) -> Array:
    """ln e_r (n + 1,) of no levels."""
    return jnp.full(n + 1, -jnp.inf, log_w.dtype).at[0].set(0.0)


def _with_level(row: Array, weight: Array) -> Array:
    """ln e_r (n + 1,) with one level more."""
    return row.at[1:].set(_log_add(row[1:], weight + row[:-1]))


def log_homogeneous(log_w: Array, n: int) -> Array:
    """The same for bosons, homogeneous polynomials: h_r(w_m ..) = h_r(w_{m+1} ..) + w_m h_{r-1}(w_m ..)."""
    empty = _no_levels(n, log_w)

    def add(row: Array, weight: Array) -> tuple[Array, Array]:
        for r in range(1, n + 1):
            row = row.at[r].set(_log_add(row[r], weight + row[r - 1]))
        return row, row

    _, rows = jax.lax.scan(add, empty, log_w[::-1])
    return jnp.concatenate([rows[::-1], empty[None]])


def _log_add(a: Array, b: Array) -> Array:
    """ln(e^a + e^b) whose derivative is finite where both are -inf."""
    top = jnp.maximum(a, b)
    dead = jnp.isneginf(top)
    safe = jnp.where(dead, 0.0, top)
    total = jnp.exp(jnp.where(dead, 0.0, a) - safe) + jnp.exp(jnp.where(dead, 0.0, b) - safe)
    return jnp.where(dead, -jnp.inf, safe + jnp.log(total))


def log_partition(levels: Array, n: int, beta: Array | float) -> Array:
    """ln Z of n fermions in levels (M,)."""
    return log_symmetric_of_all(-beta * levels, n)[n]


def ideal_gas(levels: np.ndarray, n: int, beta: float) -> IdealGas:
    """Thermodynamics of n fermions of one spin in levels (M,) at inverse temperature beta, to about 1e-12 relative."""
    with double_precision():
        shift = float(np.sort(levels)[:n].sum()) / n if n else 0.0  # ln Z of the excitations only: no digits lost
        lnZ, slope, curvature, occupations = _derivatives(
            jnp.asarray(levels, float) - shift, n, jnp.asarray(beta, float)
        )
    E = -float(slope)
    F = -float(lnZ) / beta
    S = max(0.0, beta * (E - F))  # below the last digit the difference may have either sign
    return IdealGas(F + n * shift, E + n * shift, S, beta**2 * float(curvature), np.asarray(occupations))


def free_energy(levels: np.ndarray, n: int, beta: float, kept: int) -> float:
    """F of n fermions in the first `kept` of the levels, compiled once for all `kept`."""
    with double_precision():
        shift = float(levels[:n].sum()) / n
        inside = jnp.where(jnp.arange(len(levels)) < kept, jnp.asarray(levels, float) - shift, jnp.inf)
        return n * shift - float(_log_partition(inside, n, jnp.asarray(beta, float))) / beta


_log_partition = jax.jit(log_partition, static_argnums=1)


@partial(jax.jit, static_argnums=1)
def _derivatives(eps: Array, n: int, beta: Array) -> tuple[Array, Array, Array, Array]:
    """ln Z, its first two derivatives by beta, and the occupations."""

    def first(b: Array) -> tuple[Array, Array]:
        return jax.jvp(lambda b: log_partition(eps, n, b), (b,), (jnp.ones_like(b),))

    (lnZ, slope), (_, curvature) = jax.jvp(first, (beta,), (jnp.ones(()),))
    return lnZ, slope, curvature, -jax.grad(log_partition)(eps, n, beta) / beta


def sample_occupied(key: Array, table: Array, log_w: Array) -> Array:
    """Indices (n,), rising, of the occupied levels, drawn exactly; table = log_symmetric(log_w, n)."""
    n = table.shape[1] - 1

    def next_level(previous: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
        key, left = step
        logits = conditional_logits(table, log_w, previous, left)
        level = jax.random.categorical(key, logits)
        return level, level

    steps = (jax.random.split(key, n), jnp.arange(n - 1, -1, -1))
    return jax.lax.scan(next_level, jnp.asarray(-1), steps)[1]


def conditional_logits(table: Array, log_w: Array, previous: Array, left: Array, repeats: bool = False) -> Array:
    """ln p(next level | previous level), unnormalised, (M,): `left` fermions remain to be placed above the next.

    With `repeats` bosons, which may share a level; table is then that of the homogeneous polynomials.
    """
    m = jnp.arange(len(log_w))
    if repeats:
        return jnp.where(m >= previous, log_w + table[:-1][m, left], -jnp.inf)
    return jnp.where(m > previous, log_w + table[1:][m, left], -jnp.inf)
