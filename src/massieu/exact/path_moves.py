"""Paths of particles in a harmonic trap and the moves that sample them: kernel, closing link, Metropolis moves.

    weight of a path R_0 .. R_{P-1}:  prod_{p<P-1} G(R_p, R_{p+1}) A(R_{P-1}, R_0) exp(-tau kappa sum_p V(R_p))

G is the exact kernel of the trap (Mehler); the closing link A is, of the N x N matrix of Mehler kernels, the product of
the diagonal (labelled particles) or the permanent/N! (bosons).  All moves leave this weight as it is.  Paths are arrays
(P, n, dim, W): slices, particles, dimensions, and the batch of walkers *last*.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import combinations
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.exact.annealed import Number


class Bridges(NamedTuple):
    """Redrawing paths between fixed slices, for K choices of these: x -> mean x + noise xi.

    mean, noise (K, P, P); piece (K, P, 4) is 1 where a slice belongs to a piece between two fixed ones.
    """

    mean: np.ndarray
    noise: np.ndarray
    piece: np.ndarray


def log_mehler(x: Array, y: Array, tau: Number) -> Array:
    """ln <x|exp(-tau (p^2 + x^2)/2)|y> of one coordinate, elementwise."""
    springs = (x - y) ** 2 / (2 * jnp.sinh(tau)) + 0.5 * jnp.tanh(tau / 2) * (x**2 + y**2)
    return -0.5 * jnp.log(2 * jnp.pi * jnp.sinh(tau)) - springs


@lru_cache
def _subsets(n: int) -> tuple[list[tuple[np.ndarray, np.ndarray, np.ndarray]], np.ndarray]:
    """For k = 1 .. n and every k-subset of the columns: the (k-1)-subsets in it, the column left, the sign of that.

    Each (C(n, k), k); and the place (2^n,) of every subset, as a bit mask, among those of its size.
    """
    position, levels = np.zeros(2**n, int), []
    for k in range(1, n + 1):
        column = np.array(list(combinations(range(n), k)))
        mask = (1 << column).sum(axis=1)
        position[mask] = np.arange(len(mask))
        levels.append((position[mask[:, None] - (1 << column)], column, (-1.0) ** np.arange(k - 1, -1, -1)))
    return levels, position


def expansions(matrix: Array, signed: bool) -> list[Array]:
    """Permanents (determinants if signed) of the first k rows of matrix (n, n, W) with every k columns: (C(n, k), W).

    Laplace's expansion row by row, n 2^(n-1) products; for a positive matrix no term of the permanent cancels, as they
    do in Glynn's sum (linear_algebra.permanent), and `draw_permutation` needs all these minors.
    """
    found = [jnp.ones((1, matrix.shape[-1]), matrix.dtype)]
    for k, (smaller, column, sign) in enumerate(_subsets(len(matrix))[0]):
        terms = matrix[k][column] * found[-1][smaller]
        found.append(jnp.sum(terms * sign[None, :, None] if signed else terms, axis=1))
    return found


def permanent(matrix: Array) -> Array:
    """Of matrices (n, n, W): (W,)."""
    return expansions(matrix, False)[-1][0]


def determinant(matrix: Array) -> Array:
    """Of matrices (n, n, W): (W,), to rounding of the *permanent*, as the sign det/perm needs."""
    return expansions(matrix, True)[-1][0]


def draw_permutation(matrix: Array, key: Array) -> Array:
    """Permutations s (n, W) with probability prod_i matrix[i, s_i] / permanent."""
    n, _, walkers = matrix.shape
    tables, position = expansions(matrix, False), jnp.asarray(_subsets(n)[1])
    left, drawn, bits = jnp.full(walkers, 2**n - 1), [], (1 << np.arange(n))[:, None]
    for k, row_key in zip(range(n - 1, -1, -1), jax.random.split(key, n), strict=True):
        rest = tables[k][position[left[None] ^ bits], jnp.arange(walkers)[None]]
        weight = jnp.where(left[None] & bits > 0, matrix[k] * rest, 0.0)
        drawn.append(jax.random.categorical(row_key, jnp.log(weight), axis=0))
        left = left ^ (1 << drawn[-1])
    return jnp.stack(drawn[::-1])


def closing_matrix(x: Array, tau: Number) -> tuple[Array, Array]:
    """Kernels from the last slice to the first of paths x (P, n, dim, W), rows scaled to a largest entry of 1.

    Returns the matrix (n, n, W) and the ln of the product of the scales (W,).
    """
    links = log_mehler(x[-1][:, None], x[0][None], tau).sum(axis=2)
    top = links.max(axis=1, keepdims=True)
    return jnp.exp(links - top), top.sum(axis=(0, 1))


def log_closing(x: Array, tau: Number, bose: bool) -> Array:
    """ln A of paths x (P, n, dim, W), for bosons without the 1/n!: (W,)."""
    if not bose:
        return log_mehler(x[-1], x[0], tau).sum(axis=(0, 1))
    matrix, scale = closing_matrix(x, tau)
    return jnp.log(permanent(matrix)) + scale


def pair_sums(x: Array) -> tuple[Array, Array]:
    """sum_{i<j} v(r) and sum_{i<j} r v'(r), averaged over the slices of x (P, n, dim, W): (W,) each."""
    i, j = np.triu_indices(x.shape[1], 1)
    square = jnp.sum((x[:, i] - x[:, j]) ** 2, axis=2)
    v = jax.lax.rsqrt(square + _softening(x))
    return v.sum(axis=1).mean(axis=0), -(square * v**3).sum(axis=1).mean(axis=0)


def _softening(x: Array) -> float:
    return 1.0 if x.shape[2] == 1 else 0.0


def _repulsion_of(line: Array, i: Array, x: Array) -> Array:
    """sum_{j != i} v at every slice for particle i on the path `line` (P, dim, W) among x (P, n, dim, W): (P, W)."""
    square = jnp.sum((line[:, None] - x) ** 2, axis=2) + _softening(x)
    other = (jnp.arange(x.shape[1]) != i)[None, :, None]
    return jnp.sum(jnp.where(other, jax.lax.rsqrt(square), 0.0), axis=1)


def bridges(slices: int, tau: float) -> Bridges:
    """Mehler bridges over the whole path, halves and quarters of it; the first and last slice always stay."""
    precision = 2 / math.tanh(tau) * np.eye(slices) - (np.eye(slices, k=1) + np.eye(slices, k=-1)) / math.sinh(tau)
    found = []
    for pieces in (k for k in (1, 2, 4) if slices > 2 * k):
        fixed = np.round(np.linspace(0, slices - 1, pieces + 1)).astype(int)
        free = np.setdiff1d(np.arange(slices), fixed)
        covariance = np.linalg.inv(precision[np.ix_(free, free)])
        mean, noise = np.eye(slices), np.zeros((slices, slices))
        mean[free] = 0.0
        mean[np.ix_(free, fixed)] = -covariance @ precision[np.ix_(free, fixed)]
        noise[np.ix_(free, free)] = np.linalg.cholesky(covariance)
        found.append((mean, noise, np.eye(4)[np.searchsorted(fixed[1:-1], np.arange(slices), "right")]))
    return Bridges(*(np.array(part) for part in zip(*found, strict=True)))


def move_origin(x: Array, tau: Number, bose: bool, key: Array) -> Array:
    """Close the paths elsewhere: draw the permutation that the closing link sums over, follow it, forget it."""
    shift_key, permutation_key = jax.random.split(key)
    wrapped = x
    if bose and x.shape[1] > 1:
        order = draw_permutation(closing_matrix(x, tau)[0], permutation_key)
        wrapped = jnp.take_along_axis(x, order[None, :, None], axis=1)
    shift = jax.random.randint(shift_key, (), 0, len(x))
    return jax.lax.dynamic_slice_in_dim(jnp.concatenate([x, wrapped]), shift, len(x))


def displace(x: Array, kappa: Array, tau: Number, bose: bool, key: Array) -> tuple[Array, Array]:
    """Metropolis move of every particle's whole path in turn; the paths and the mean acceptance.

    The centroid goes from c to sqrt(1 - s^2) c + s xi, which keeps its Gaussian in the trap, for s of all sizes.
    """
    slices, n, dim, walkers = x.shape
    step_key, size_key, accept_key = jax.random.split(key, 3)
    s = 2 ** jax.random.uniform(size_key, (n, 1, walkers), x.dtype, -1.0, 0.0)
    stiffness = slices * jnp.tanh(tau / 2)
    step = s * jax.random.normal(step_key, (n, dim, walkers), x.dtype) / jnp.sqrt(2 * stiffness)
    threshold = jnp.log(jax.random.uniform(accept_key, (n, walkers), x.dtype))

    def one(carry: tuple[Array, Array], inputs: Any) -> tuple[tuple[Array, Array], Array]:
        x, closing = carry
        i, s, step, threshold = inputs
        old = x[:, i]
        centroid = old.mean(axis=0)
        there = jnp.sqrt(1 - s**2) * centroid + step
        new = old + (there - centroid)[None]
        moved = x.at[:, i].set(new)
        after = log_closing(moved, tau, bose)
        links = (log_mehler(new[1:], new[:-1], tau) - log_mehler(old[1:], old[:-1], tau)).sum(axis=(0, 1))
        trap = stiffness * jnp.sum(there**2 - centroid**2, axis=0)  # in the proposal already
        repulsion = jnp.sum(_repulsion_of(new, i, x) - _repulsion_of(old, i, x), axis=0)
        accept = threshold < links + trap + after - closing - tau * kappa * repulsion
        return (_chosen(accept, moved, x), jnp.where(accept, after, closing)), accept.mean()

    (x, _), accepted = jax.lax.scan(one, (x, log_closing(x, tau, bose)), (jnp.arange(n), s, step, threshold))
    return x, accepted.mean()


def exchange(x: Array, kappa: Array, tau: Number, ways: Bridges, key: Array) -> tuple[Array, Array]:
    """Swap the paths of pairs of bosons beyond slice m, or not, by heat bath; rejoin them by bridges from slice 0.

    `ways` are the bridges of m + 1 slices; returns the paths and how many pairs were swapped in a sweep.
    """
    n, mean, noise = x.shape[1], jnp.asarray(ways.mean)[0], jnp.asarray(ways.noise)[0]
    m = len(mean) - 1
    pair_key, noise_key, uniform_key = jax.random.split(key, 3)
    pairs = jax.random.permutation(pair_key, n)[: n // 2 * 2].reshape(-1, 2)
    normal = jax.random.normal(noise_key, (len(pairs), m + 1, 2, *x.shape[2:]), x.dtype)
    uniform = jax.random.uniform(uniform_key, (len(pairs), 2, x.shape[-1]), x.dtype)

    def one(x: Array, inputs: Any) -> tuple[Array, Array]:
        pair, normal, uniform = inputs
        old = x[:, pair]
        joined = log_mehler(old[0][:, None], old[m][None], m * tau).sum(axis=2)
        odds = joined[0, 1] + joined[1, 0] - joined[0, 0] - joined[1, 1]
        swap = uniform[0] < jax.nn.sigmoid(odds)
        tail = _chosen(swap, old[m:, ::-1], old[m:])
        head = jnp.tensordot(mean, jnp.concatenate([old[:m], tail[:1]]), 1) + jnp.tensordot(noise, normal, 1)
        moved = x.at[:, pair].set(jnp.concatenate([head[:m], tail]))
        change = m * tau * kappa * (pair_sums(moved[:m])[0] - pair_sums(x[:m])[0])
        accept = jnp.log(uniform[1]) < -change
        return _chosen(accept, moved, x), jnp.mean(accept & swap)

    x, swapped = jax.lax.scan(one, x, (pairs, normal, uniform))
    return x, swapped.sum()


def _chosen(accept: Array, new: Array, old: Array) -> Array:
    """New or old paths (P, n, dim, W) of each walker (W,)."""
    return jnp.where(accept[None, None, None], new, old)


def bridge_moves(x: Array, kappa: Array, tau: Number, ways: Bridges, key: Array) -> tuple[Array, Array]:
    """Redraw every particle's path between fixed slices in turn; each piece is accepted or refused by itself."""
    way_key, noise_key, accept_key = jax.random.split(key, 3)
    way = jax.random.randint(way_key, (), 0, len(ways.mean))
    mean, noise, piece = (jnp.asarray(part)[way] for part in ways)
    normal = jax.random.normal(noise_key, x.shape, x.dtype)
    proposed = jnp.tensordot(mean, x, 1) + jnp.tensordot(noise, normal, 1)
    uniform = jax.random.uniform(accept_key, (x.shape[1], piece.shape[1], x.shape[-1]), x.dtype)

    def one(x: Array, inputs: Any) -> tuple[Array, Array]:
        i, new, threshold = inputs
        old = x[:, i]
        change = tau * kappa[None] * (_repulsion_of(new, i, x) - _repulsion_of(old, i, x))
        accept = threshold < -piece.T @ change
        line = jnp.where((piece @ accept > 0.5)[:, None], new, old)
        return x.at[:, i].set(line), jnp.sum(accept * piece.max(axis=0)[:, None]) / piece.max(axis=0).sum()

    inputs = (jnp.arange(x.shape[1]), jnp.moveaxis(proposed, 1, 0), jnp.log(uniform))
    x, accepted = jax.lax.scan(one, x, inputs)
    return x, accepted.mean() / x.shape[-1]
