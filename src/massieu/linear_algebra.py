"""Inverses and determinants of many small matrices at once, by Gauss-Jordan sweeps that XLA vectorises over the batch.

A batched LAPACK call on the CPU waits on the thread pool that runs it and can deadlock on a machine with few cores;
these sweeps are plain array operations, as fast as LAPACK for positive definite matrices and slower, up to four times,
for complex ones.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

SQUARINGS, POWERS = 9, 24  # of the matrix exponential: 2^25/25! is below the rounding error for a norm of 2^9 * 2


@jax.custom_jvp
def inverse_and_log_det(a: Array) -> tuple[Array, Array, Array]:
    """a^-1, phase and ln|det a| of a general matrix (n, n), real or complex; partial pivoting."""
    n = len(a)
    rows = jnp.arange(n)

    def sweep(k: Array, state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        a, order, phase, log_abs = state
        pivot = jnp.argmax(jnp.where(rows >= k, jnp.abs(a[:, k]), -1.0))
        swap = jnp.where(rows == k, pivot, jnp.where(rows == pivot, k, rows))
        a, order = a[swap], order[swap]
        diagonal = a[k, k]
        size = jnp.abs(diagonal)
        phase = phase * diagonal / size * jnp.where(pivot == k, 1.0, -1.0)
        return _sweep(a, k, diagonal), order, phase, log_abs + jnp.log(size)

    start = (a, rows, jnp.ones((), a.dtype), jnp.zeros((), a.real.dtype))
    a, order, phase, log_abs = jax.lax.fori_loop(0, n, sweep, start)
    return a[:, jnp.argsort(order)], phase, log_abs


@inverse_and_log_det.defjvp
def _inverse_and_log_det_jvp(primals, tangents):
    (a,), (da,) = primals, tangents
    inverse, phase, log_abs = inverse_and_log_det(a)
    trace = jnp.sum(inverse.T * da)
    dphase = 1j * trace.imag * phase if jnp.iscomplexobj(a) else jnp.zeros_like(phase)
    return (inverse, phase, log_abs), (-inverse @ da @ inverse, dphase, trace.real)


@jax.custom_jvp
def inverse_and_log_det_spd(a: Array) -> tuple[Array, Array, Array]:
    """a^-1, ln det a and the smallest pivot of a symmetric positive definite matrix (n, n).

    A pivot <= 0 says that the matrix is not positive definite; ln det is then that of its absolute value.
    """

    def sweep(k: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        a, log_det, least = state
        diagonal = a[k, k]
        return _sweep(a, k, diagonal), log_det + jnp.log(jnp.abs(diagonal)), jnp.minimum(least, diagonal)

    start = (a, jnp.zeros((), a.dtype), jnp.full((), jnp.inf, a.dtype))
    return jax.lax.fori_loop(0, len(a), sweep, start)


@inverse_and_log_det_spd.defjvp
def _inverse_and_log_det_spd_jvp(primals, tangents):
    (a,), (da,) = primals, tangents
    inverse, log_det, least = inverse_and_log_det_spd(a)
    return (inverse, log_det, least), (-inverse @ da @ inverse, jnp.sum(inverse * da), jnp.zeros_like(least))


def exponential(a: Array) -> Array:
    """e^a = (e^{a/2^s})^{2^s} of a Hermitian matrix (n, n) of norm up to 1000, by its power series and s squarings.

    jax.scipy.linalg.expm chooses between approximants; for a batch it computes all of them, and compiles them all.
    """
    small = a / 2**SQUARINGS

    def power(carry: tuple[Array, Array], k: Array) -> tuple[tuple[Array, Array], None]:
        total, term = carry
        term = term @ small / k
        return (total + term, term), None

    one = jnp.eye(len(a), dtype=a.dtype)
    series = jax.lax.scan(power, (one, one), jnp.arange(1.0, POWERS + 1))[0][0]
    return jax.lax.scan(lambda m, _: (m @ m, None), series, length=SQUARINGS)[0]


def permanent(a: Array) -> Array:
    """Permanent of a small matrix (n, n), by Glynn's sum over signs (Eur. J. Comb. 31, 1887 (2010))."""
    n = len(a)
    signs = 1.0 - 2.0 * ((np.arange(2 ** (n - 1))[:, None] >> np.arange(n)) & 1)  # the last sign is always +
    return jnp.sum(jnp.prod(signs, axis=1) * jnp.prod(signs @ a, axis=1)) / 2 ** (n - 1)


def _sweep(a: Array, k: Array, diagonal: Array) -> Array:
    """One Gauss-Jordan step in place: after all k the array holds its inverse."""
    at_k = jnp.arange(len(a)) == k
    row = jnp.where(at_k, 1.0, a[k]) / diagonal
    column = jnp.where(at_k, 0.0, a[:, k])
    cleared = jnp.where(at_k[None, :], 0.0, a)
    return jnp.where(at_k[:, None], row[None, :], cleared - column[:, None] * row[None, :])
