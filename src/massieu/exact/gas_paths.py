"""Paths of electrons in a periodic box with a determinant between all neighbouring slices: kernels, moves, estimators.

    W(R_0 .. R_{P-1}) = prod_p det rho(R_p, R_{p+1}) exp(-tau V(R_p)),    rho_ij = theta(x_pi - x_{p+1,j})

with rho_ij = 0 for different spins.  All permutations of equal spins are summed over by the determinants (Takahashi and
Imada, J. Phys. Soc. Jpn. 53, 963 (1984)), so that paths carry no permutation of their own and the sign is that of the
product.  theta is the kernel of a free particle in the box.  Everything is for one walker, positions x (P, N, dim) in
units of the box, P even.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.geometry import minimum_image
from massieu.linear_algebra import inverse_and_log_det
from massieu.physics.ewald import Ewald, madelung

DEGREE = 12  # of the polynomials of the pair potential
NODES = 12
WINDINGS = 0.4  # of the moves of whole paths by a harmonic: by a winding instead
REACH = 34.0  # images of the kernel beyond exp(-34) are left out


class PairPotential(NamedTuple):
    """v(r) = 1/|r| + a polynomial: Ewald's sum (e^2/L) to 5e-7, for r in the cell.

    The rest is even in every coordinate and symmetric: powers (K, dim) of the elementary symmetric polynomials of s =
    8 u^2 - 1, with coefficients (K,); its singularities are those of the images.  own: energy of one charge with these.
    """

    powers: np.ndarray
    coefficients: np.ndarray
    own: float

    @classmethod
    def of(cls, dim: int) -> PairPotential:
        """By least squares on Chebyshev nodes of the cell."""
        s = np.cos(math.pi * (np.arange(NODES) + 0.5) / NODES)
        points = np.array(list(itertools.combinations_with_replacement(np.sqrt((s + 1) / 8), dim)))
        every = itertools.product(*(range(DEGREE // order + 1) for order in range(1, dim + 1)))
        powers = np.array([p for p in every if np.dot(p, np.arange(1, dim + 1)) <= DEGREE])
        with jax.enable_x64(True):
            pair = jax.jit(jax.vmap(lambda r: Ewald(dim).energy(jnp.stack([jnp.zeros(dim), r]))))
            values = np.asarray(pair(jnp.asarray(points))) - madelung(dim) - 1 / np.linalg.norm(points, axis=1)
            symmetric = np.stack([np.asarray(e) for e in _symmetric(jnp.asarray(points))], axis=-1)
        design = np.prod(symmetric[:, None] ** powers, axis=2)
        return cls(powers, np.linalg.lstsq(design, values, rcond=None)[0], 0.5 * madelung(dim))

    def __call__(self, separations: Array) -> Array:
        """v (..) of separations (.., dim)."""
        u = minimum_image(separations)
        first, *others = _symmetric(u)
        smooth = jnp.zeros(u.shape[:-1])
        for rest in sorted(set(map(tuple, self.powers[:, 1:].tolist()))):
            row = jnp.zeros_like(smooth)
            for c in self.coefficients[np.all(self.powers[:, 1:] == rest, axis=1)][::-1]:  # rising powers of the first
                row = row * first + c
            for e, power in zip(others, rest, strict=True):
                row = row * e**power if power else row
            smooth = smooth + row
        return 1 / jnp.sqrt(jnp.sum(u**2, axis=-1)) + smooth


def _symmetric(u: Array) -> list[Array]:
    """Elementary symmetric polynomials (..) of 8 u^2 - 1, u (.., dim), the first two as means."""
    s = jnp.moveaxis(8 * u**2 - 1, -1, 0)
    if len(s) == 2:
        return [0.5 * (s[0] + s[1]), s[0] * s[1]]
    return [(s[0] + s[1] + s[2]) / 3, (s[0] * s[1] + s[0] * s[2] + s[1] * s[2]) / 3, s[0] * s[1] * s[2]]


class Gas(NamedTuple):
    """What the weight is made of: t = tau/L^2 and u = 2 tau/L times the coupling, spins, images of the kernel."""

    t: Array
    strength: Array
    same: np.ndarray  # (N, N): 1 for equal spins
    images: np.ndarray
    pair: PairPotential


class Paths(NamedTuple):
    """x (P, N, dim), the inverses (P, N, N) of the links p -> p + 1 and the sign of all determinants."""

    x: Array
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
    """Inverses and signs from the positions."""
    inverse, phase, _ = jax.vmap(inverse_and_log_det)(links(gas, x))
    return Paths(x, inverse, jnp.prod(phase))


def move_beads(gas: Gas, paths: Paths, step: Array, parity: int, key: Array) -> tuple[Paths, Array]:
    """Every electron in turn, on every other slice at once: those between two links do not see each other.

    Returns the accepted fraction too.
    """
    slices, n, dim = paths.x.shape
    here = np.arange(parity, slices, 2)
    before, after = (here - 1) % slices, (here + 1) % slices
    noise_key, coin_key = jax.random.split(key)
    shifts = step * jax.random.normal(noise_key, (n, len(here), dim))
    coins = jnp.log(jax.random.uniform(coin_key, (n, len(here))))

    def one(carry: tuple[Array, Array], inputs: tuple[Array, Array, Array]) -> tuple[tuple[Array, Array], Array]:
        (x, inverse), (i, shift, coin) = carry, inputs
        old = x[here, i]
        new, mine = old + shift, jnp.asarray(gas.same)[i]
        row = mine[None] * kernel(gas, new[:, None] - x[after])
        column = mine[None] * kernel(gas, x[before] - new[:, None])
        forward, backward = inverse[here], inverse[before]
        of_row, of_column = (jnp.sum(row * forward[:, :, i], axis=1), jnp.sum(column * backward[:, i], axis=1))
        change = jnp.sum(_others(gas, x[here], new, i) - _others(gas, x[here], old, i), axis=1)
        accept = coin < jnp.log(jnp.abs(of_row * of_column)) - gas.strength * change
        inverse = inverse.at[here].set(_chosen(accept, _row_replaced(forward, row, of_row, i), forward))
        inverse = inverse.at[before].set(_chosen(accept, _column_replaced(backward, column, of_column, i), backward))
        return (x.at[here, i].set(jnp.where(accept[:, None], new, old)), inverse), jnp.mean(accept)

    (x, inverse), accepted = jax.lax.scan(one, (paths.x, paths.inverse), (jnp.arange(n), shifts, coins))
    return Paths(x, inverse, paths.sign), jnp.mean(accepted)


def move_paths(gas: Gas, paths: Paths, shifts: Array, key: Array) -> tuple[Paths, Array]:
    """The whole path of every electron in turn by shifts (N, P, dim), as likely as their negatives."""
    n = paths.x.shape[1]
    coins = jnp.log(jax.random.uniform(key, (n,)))

    def one(carry: tuple[Array, Array], inputs: tuple[Array, Array, Array]) -> tuple[tuple[Array, Array], Array]:
        (x, inverse), (i, shift, coin) = carry, inputs
        old, mine, own = x[:, i], jnp.asarray(gas.same)[i], (jnp.arange(n) == i)[None]
        new = old + shift
        later = jnp.roll(new, -1, axis=0)
        its_own = kernel(gas, new - later)[:, None]
        row = jnp.where(own, its_own, mine[None] * kernel(gas, new[:, None] - jnp.roll(x, -1, axis=0)))
        column = jnp.where(own, its_own, mine[None] * kernel(gas, x - later[:, None]))
        of_row = jnp.sum(row * inverse[:, :, i], axis=1)
        half = _row_replaced(inverse, row, of_row, i)
        of_column = jnp.sum(column * half[:, i], axis=1)
        change = jnp.sum(_others(gas, x, new, i) - _others(gas, x, old, i))
        accept = coin < jnp.sum(jnp.log(jnp.abs(of_row * of_column))) - gas.strength * change
        inverse = jnp.where(accept, _column_replaced(half, column, of_column, i), inverse)
        return (x.at[:, i].set(jnp.where(accept, new, old)), inverse), accept * 1.0

    (x, inverse), accepted = jax.lax.scan(one, (paths.x, paths.inverse), (jnp.arange(n), shifts, coins))
    return Paths(x, inverse, paths.sign), jnp.mean(accepted)


def exchange(gas: Gas, paths: Paths, key: Array) -> tuple[Paths, Array]:
    """Two electrons of one spin end where the other began, or one turn further, by ramps; 1 if accepted.

    Ramps of both signs are as likely, and the first slice, which decides how long they are, stays.  Inverses are those
    of the old paths until `settled`.
    """
    slices, n, _ = paths.x.shape
    first, second, way, coin = jax.random.split(key, 4)
    i = jax.random.randint(first, (), 0, n)
    partners = jnp.asarray(gas.same)[i] * (jnp.arange(n) != i)
    j = jax.random.categorical(second, jnp.where(partners > 0, 0.0, -1e30))
    apart = minimum_image(paths.x[0, j] - paths.x[0, i]) * jax.random.rademacher(way, ())
    ramp = apart[None] * (jnp.arange(slices) / slices)[:, None] * partners[j]
    x = paths.x.at[:, i].add(ramp).at[:, j].add(-ramp)
    change = _log_weight(gas, x) - _log_weight(gas, paths.x)
    accept = (jnp.log(jax.random.uniform(coin)) < change) & (partners[j] > 0)
    return paths._replace(x=jnp.where(accept, x, paths.x)), accept * 1.0


def _log_weight(gas: Gas, x: Array) -> Array:
    """ln|W| of paths, up to a constant."""
    i, j = np.triu_indices(x.shape[1], 1)
    log_abs = jax.vmap(inverse_and_log_det)(links(gas, x))[2]
    return jnp.sum(log_abs) - gas.strength * jnp.sum(gas.pair(x[:, i] - x[:, j]))


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

    K = -(1/P) sum_p d ln det rho_p/d tau, the thermodynamic estimator.
    """
    x = paths.x
    n, dim = x.shape[1:]
    i, j = np.triu_indices(n, 1)
    potential = jnp.mean(jnp.sum(gas.pair(x[:, i] - x[:, j]), axis=1)) + n * gas.pair.own
    after = jnp.roll(x, -1, axis=0)
    square, bells = _images(gas, x[:, :, None] - after[:, None])
    sums = jnp.sum(bells, axis=-1)
    slope = jnp.sum(jnp.sum(square * bells, axis=-1) / sums, axis=-1) / gas.t  # d ln theta/dt
    weight = jnp.swapaxes(paths.inverse, 1, 2) * gas.same[None] * jnp.prod(sums, axis=-1)
    kinetic = 0.5 * n * dim / gas.t - jnp.sum(weight * slope) / len(x)
    return jnp.stack([potential, kinetic, paths.sign])


def _others(gas: Gas, x: Array, place: Array, i: Array) -> Array:
    """v (P, N) between electron i at `place` (P, dim) and the others at x (P, N, dim)."""
    other = (jnp.arange(x.shape[1]) != i)[None]
    apart = jnp.where(other[..., None], place[:, None] - x, 0.5)
    return jnp.where(other, gas.pair(apart), 0.0)


def _row_replaced(inverse: Array, row: Array, ratio: Array, i: Array) -> Array:
    """Inverses (L, N, N) of matrices whose row i is now `row` (L, N); ratio (L,) of the determinants."""
    change = jnp.einsum("lj,ljk->lk", row, inverse) - (jnp.arange(row.shape[1]) == i)[None]
    return inverse - inverse[:, :, i][:, :, None] * change[:, None] / ratio[:, None, None]


def _column_replaced(inverse: Array, column: Array, ratio: Array, i: Array) -> Array:
    """The same with a column."""
    change = jnp.einsum("ljk,lk->lj", inverse, column) - (jnp.arange(column.shape[1]) == i)[None]
    return inverse - change[:, :, None] * inverse[:, i][:, None] / ratio[:, None, None]


def _chosen(accept: Array, new: Array, old: Array) -> Array:
    return jnp.where(accept[:, None, None], new, old)
