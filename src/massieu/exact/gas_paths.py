"""Paths of electrons in a periodic box with a determinant between all neighbouring slices: kernels, moves, estimators.

    W(R_0 .. R_{P-1}) = prod_p det rho(R_p, R_{p+1}) exp(-tau V(R_p) - tau^3/12 |grad V(R_p)|^2)

with rho_ij = theta(x_pi - x_{p+1,j}) for equal spins, else 0, theta the kernel of a free particle in the box.  The
determinants sum over all permutations of equal spins, so that paths carry none of their own and the sign is that of the
product (Takahashi and Imada, J. Phys. Soc. Jpn. 53, 963 (1984)); with the gradient the trace is of fourth order in tau
(the same, 3765).  Everything is for one walker, positions x (P, N, dim) in units of the box, P even.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.exact.pair_potential import PairPotential
from massieu.geometry import minimum_image
from massieu.linear_algebra import inverse_and_log_det

WINDINGS = 0.4  # of the moves of whole paths by a harmonic: by a winding instead
REACH = 34.0  # images of the kernel beyond exp(-34) are left out


class Gas(NamedTuple):
    """What the weight is made of: t = tau/L^2 and u = 2 tau/L times the coupling, spins, images of the kernel."""

    t: Array
    strength: Array
    same: np.ndarray  # (N, N): 1 for equal spins
    images: np.ndarray
    pair: PairPotential


class Paths(NamedTuple):
    """x and the gradients of v (P, N, dim); matrices of the links p -> p + 1 and their inverses (P, N, N); their sign.

    Which electron of one slice is called like which of the next has no meaning: moves must not depend on it.
    """

    x: Array
    slopes: Array
    matrix: Array
    inverse: Array
    sign: Array


def images_of(t: float) -> np.ndarray:
    """Images of a free particle that reach the cell at t = tau/L^2, to rounding."""
    most = math.ceil(0.5 + math.sqrt(4 * t * REACH))
    return np.arange(-most, most + 1)


def kernel(gas: Gas, u: Array) -> Array:
    """theta (..) of separations u (.., dim), without (4 pi t)^(-dim/2)."""
    return jnp.prod(jnp.sum(_images(gas, u)[1], axis=-1), axis=-1)


def _images(gas: Gas, u: Array) -> tuple[Array, Array]:
    """Squares over 4t and Gaussians of them (.., dim, images)."""
    square = (minimum_image(u)[..., None] + gas.images.reshape((1,) * u.ndim + (-1,))) ** 2 / (4 * gas.t)
    return square, jnp.exp(-square)


def links(gas: Gas, x: Array) -> Array:
    """The matrices (P, N, N) of all links."""
    after = jnp.roll(x, -1, axis=0)
    return jnp.asarray(gas.same)[None] * kernel(gas, x[:, :, None] - after[:, None])


def settled(gas: Gas, x: Array) -> Paths:
    """All from the positions."""
    matrix = links(gas, x)
    inverse, phase, _ = jax.vmap(inverse_and_log_det)(matrix)
    return Paths(x, interaction(gas, x)[1], matrix, inverse, jnp.prod(phase))


def interaction(gas: Gas, x: Array) -> tuple[Array, Array]:
    """v (P,) of all pairs, without that of a charge with its images, and its gradient (P, N, dim)."""
    i, j = np.triu_indices(x.shape[1], 1)
    values, slopes = gas.pair.with_slope(x[:, i] - x[:, j])
    return jnp.sum(values, axis=1), jnp.zeros_like(x).at[:, i].add(slopes).at[:, j].add(-slopes)


def action(gas: Gas, values: Array, squares: Array) -> Array:
    """tau V + tau^3/12 |grad V|^2 of slices with v (P,) and |grad v|^2 (P,), or its change by theirs."""
    return gas.strength * values + gas.strength**2 * gas.t / 12 * squares


def move_beads(gas: Gas, paths: Paths, step: Array, parity: int, key: Array) -> tuple[Paths, Array]:
    """N times an electron, on every other slice at once: those between two links do not see each other.

    Returns the accepted fraction too.
    """
    slices, n, dim = paths.x.shape
    here = np.arange(parity, slices, 2)
    before, after = (here - 1) % slices, (here + 1) % slices
    choose, noise, coin = jax.random.split(key, 3)
    shifts = step * jax.random.normal(noise, (n, len(here), dim))
    coins = jnp.log(jax.random.uniform(coin, (n, len(here))))

    def one(paths: Paths, inputs: tuple[Array, Array, Array]) -> tuple[Paths, Array]:
        (x, slopes, matrix, inverse, sign), (i, shift, coin) = paths, inputs
        new, mine = x[here, i] + shift, jnp.asarray(gas.same)[i]
        row = mine * kernel(gas, new[:, None] - x[after])
        column = mine * kernel(gas, x[before] - new[:, None])
        of_row, forward = _row_replaced(inverse[here], row, i)
        of_column, backward = _column_replaced(inverse[before], column, i)
        change, sloped = _changed(gas, x[here], slopes[here], new, i)
        accept = coin < jnp.log(jnp.abs(of_row * of_column)) - change
        inverse = inverse.at[here].set(_chosen(accept, forward, inverse[here]))
        inverse = inverse.at[before].set(_chosen(accept, backward, inverse[before]))
        matrix = matrix.at[here, i].set(jnp.where(accept[:, None], row, matrix[here, i]))
        matrix = matrix.at[before, :, i].set(jnp.where(accept[:, None], column, matrix[before, :, i]))
        slopes = slopes.at[here].set(_chosen(accept, sloped, slopes[here]))
        x = x.at[here, i].set(jnp.where(accept[:, None], new, x[here, i]))
        return Paths(x, slopes, matrix, inverse, sign), jnp.mean(accept)

    chosen = jax.random.randint(choose, (n, len(here)), 0, n)
    paths, accepted = jax.lax.scan(one, paths, (chosen, shifts, coins))
    return paths, jnp.mean(accepted)


def move_paths(gas: Gas, paths: Paths, shifts: Array, key: Array) -> tuple[Paths, Array]:
    """N times a whole path by shifts (N, P, dim), as likely as their negatives; the accepted fraction.

    A path goes from an electron to one of the next slice with the probability of the link, and the acceptance holds
    that of the same path after the move: at high temperature it is one electron's, whatever its names.
    """
    slices, n, _ = paths.x.shape
    link = np.arange(slices)

    def one(paths: Paths, inputs: tuple[Array, Array]) -> tuple[Paths, Array]:
        (x, slopes, matrix, inverse, sign), (shift, key) = paths, inputs
        choose, follow, coin = jax.random.split(key, 3)
        i = _path(matrix, jax.random.randint(choose, (), 0, n), follow)
        j = jnp.roll(i, -1)
        new, mine = x[link, i] + shift, jnp.asarray(gas.same)[i]
        later = jnp.roll(new, -1, axis=0)
        own = kernel(gas, new - later)
        row = (mine * kernel(gas, new[:, None] - jnp.roll(x, -1, axis=0))).at[link, j].set(own)
        column = (mine * kernel(gas, x - later[:, None])).at[link, i].set(own)
        of_row, half = _row_replaced(inverse, row, i)
        of_column, moved = _column_replaced(half, column, j)
        change, sloped = _changed(gas, x, slopes, new, i)
        ratio = jnp.sum(jnp.log(jnp.abs(of_row * of_column)) - change)
        ratio = ratio + _log_chance(row, j) - _log_chance(matrix[link, i], j)
        accept = jnp.log(jax.random.uniform(coin)) < ratio
        crossed = matrix.at[link, i].set(row).at[link, :, j].set(column)
        after = Paths(x.at[link, i].set(new), sloped, crossed, moved, sign)
        return jax.tree.map(lambda a, b: jnp.where(accept, a, b), after, paths), accept * 1.0

    paths, accepted = jax.lax.scan(one, paths, (shifts, jax.random.split(key, n)))
    return paths, jnp.mean(accepted)


def _path(matrix: Array, first: Array, key: Array) -> Array:
    """Electrons (P,) of a path from the first slice on, drawn link by link."""

    def follow(i: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        rows, key = inputs
        j = jax.random.categorical(key, jnp.log(rows[i]))
        return j, j

    rest = jax.lax.scan(follow, first, (matrix[:-1], jax.random.split(key, len(matrix) - 1)))[1]
    return jnp.concatenate([first[None], rest])


def _log_chance(rows: Array, j: Array) -> Array:
    """ln of the probability that `_path` goes from rows (P, N) to electrons j (P,); the last link closes by itself."""
    chance = jnp.take_along_axis(rows, j[:, None], axis=1)[:, 0] / jnp.sum(rows, axis=1)
    return jnp.sum(jnp.log(chance[:-1]))


def rigid(step: Array, shape: tuple[int, ...], key: Array) -> Array:
    """Shifts (N, P, dim) of whole paths."""
    slices, n, dim = shape
    return jnp.broadcast_to(step * jax.random.normal(key, (n, 1, dim)), (n, slices, dim))


def waves(t: Array, step: Array, shape: tuple[int, ...], key: Array) -> Array:
    """Shifts (N, P, dim) by one harmonic of the path for each electron, `step` times those of a free one, or a winding.

    A free particle's k-th harmonic has the variance t/(P sin^2(pi k/P)) in each of its two phases: with these moves
    long paths relax as fast as short ones.  A winding (k = 0) draws the path once more, or once less, around the box:
    small moves do not change how often it winds.
    """
    slices, n, dim = shape
    choose, phases, turn, way, either = jax.random.split(key, 5)
    k = jax.random.randint(choose, (n,), 1, slices // 2 + 1)
    k = jnp.where(jax.random.uniform(either, (n,)) < WINDINGS, 0, k)
    time = jnp.arange(slices)[None] / slices
    size = step * jnp.sqrt(t / slices) / jnp.sin(jnp.pi * jnp.maximum(k, 1) / slices)
    angle = 2 * jnp.pi * k[:, None] * time
    a, b = jax.random.normal(phases, (2, n, 1, dim))
    harmonic = size[:, None, None] * (a * jnp.cos(angle)[..., None] + b * jnp.sin(angle)[..., None])
    axis = jax.nn.one_hot(jax.random.randint(turn, (n,), 0, dim), dim) * jax.random.rademacher(way, (n, 1))
    return jnp.where((k == 0)[:, None, None], time[..., None] * axis[:, None], harmonic)


def free_loops(t: float, slices: int, shape: tuple[int, ...], key: Array) -> Array:
    """Closed paths (*shape, P, dim) of free particles about zero: where chains start from."""
    k = np.arange(1, slices // 2 + 1)
    size = np.sqrt(t / slices) / np.sin(np.pi * k / slices) * np.where(2 * k == slices, math.sqrt(0.5), 1.0)
    angle = 2 * np.pi * k[:, None] * np.arange(slices) / slices
    basis = jnp.asarray(np.concatenate([size[:, None] * np.cos(angle), size[:, None] * np.sin(angle)]))
    amplitudes = jax.random.normal(key, (*shape[:-1], len(basis), shape[-1]))
    return jnp.einsum("kp,...kd->...pd", basis, amplitudes)


def measured(gas: Gas, paths: Paths) -> Array:
    """The potential energy in units of 2/L, the kinetic one in units of 1/L^2, and the sign (3,); slices averaged.

    V is the derivative of ln W by the coupling, E that by beta (the thermodynamic estimator), K their difference: what
    the gradient adds to V is tau^2/6 |grad V|^2, to K half of that.
    """
    x = paths.x
    n, dim = x.shape[1:]
    values, slopes = interaction(gas, x)
    square_slope = jnp.sum(slopes**2) / len(x)
    potential = jnp.mean(values) + n * gas.pair.own + gas.strength * gas.t / 6 * square_slope
    after = jnp.roll(x, -1, axis=0)
    square, bells = _images(gas, x[:, :, None] - after[:, None])
    sums = jnp.sum(bells, axis=-1)
    slope = jnp.sum(jnp.sum(square * bells, axis=-1) / sums, axis=-1) / gas.t  # d ln theta/dt
    weight = jnp.swapaxes(paths.inverse, 1, 2) * gas.same[None] * jnp.prod(sums, axis=-1)
    kinetic = 0.5 * n * dim / gas.t - jnp.sum(weight * slope) / len(x)
    return jnp.stack([potential, kinetic + gas.strength**2 / 12 * square_slope, paths.sign])


def _changed(gas: Gas, x: Array, slopes: Array, new: Array, i: Array) -> tuple[Array, Array]:
    """Change (P,) of the action, and gradients (P, N, dim) after electrons i (P,) of x (P, N, dim) moved to `new`."""
    here = np.arange(len(x))
    before, pushed_before = _others(gas, x, x[here, i], i)
    after, pushed_after = _others(gas, x, new, i)
    sloped = (slopes + pushed_before - pushed_after).at[here, i].set(jnp.sum(pushed_after, axis=1))
    squares = jnp.sum(sloped**2 - slopes**2, axis=(1, 2))
    return action(gas, jnp.sum(after - before, axis=1), squares), sloped


def _others(gas: Gas, x: Array, place: Array, i: Array) -> tuple[Array, Array]:
    """v (P, N) between electrons i (P,) at `place` (P, dim) and the others, and its gradient (P, N, dim) by `place`."""
    other = jnp.arange(x.shape[1])[None] != i[:, None]
    apart = jnp.where(other[..., None], place[:, None] - x, 0.5)
    values, slopes = gas.pair.with_slope(apart)
    return jnp.where(other, values, 0.0), jnp.where(other[..., None], slopes, 0.0)


def _row_replaced(inverse: Array, row: Array, i: Array) -> tuple[Array, Array]:
    """Ratios (L,) of determinants and inverses (L, N, N) of matrices whose rows i (L,) are now `row` (L, N)."""
    own = jnp.take_along_axis(inverse, i[:, None, None], axis=2)[..., 0]
    ratio = jnp.sum(row * own, axis=1)
    change = jnp.einsum("lj,ljk->lk", row, inverse) - jax.nn.one_hot(i, row.shape[1])
    return ratio, inverse - own[:, :, None] * change[:, None] / ratio[:, None, None]


def _column_replaced(inverse: Array, column: Array, i: Array) -> tuple[Array, Array]:
    """The same with columns."""
    ratio, turned = _row_replaced(jnp.swapaxes(inverse, 1, 2), column, i)
    return ratio, jnp.swapaxes(turned, 1, 2)


def _chosen(accept: Array, new: Array, old: Array) -> Array:
    return jnp.where(accept[:, None, None], new, old)
