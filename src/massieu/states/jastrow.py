"""The Jastrow factor of electrons on the torus: pair functions with the exact cusps, density waves for the far field.

    ln J = sum_{i<j} f(r_ij) + sum_G a_G (|rho_G|^2 - N) + sum_G b_G (|m_G|^2 - N)

with rho_G = sum_i exp(2 pi i G.x_i) and m_G the same with the sign of the spin.  J is even, and commutes with
permutations within a spin and with translations.  For -lap + 2/r (Ry) the local energy is finite at contact where f has
the slope, per a0,

    opposite spins 1/(dim - 1),   equal spins 1/(dim + 1)

(Kato, Commun. Pure Appl. Math. 10, 151 (1957); Pack and Byers Brown, J. Chem. Phys. 45, 556 (1966)).  ln J is linear in
its parameters, so that scores and their gradients are sums over pairs and waves, by hand.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.geometry import half_space, integer_vectors, plane_waves
from massieu.states.radial_polynomials import Pairs, cusp, of_kind, smooth

SHAPES = 8  # smooth functions of each kind of pair
WAVES = 3.2  # density waves up to this many 2 pi/L
STRENGTH, RIDGE = 0.6, 0.02  # of the first guess, see `guess`
SHALLOWER = 0.5  # of ln J where opposite spins meet


class JastrowJet(NamedTuple):
    """ln J, its gradient (N, dim) and its Laplacian, in units of the box."""

    log: Array
    gradient: Array
    laplacian: Array


class Jastrow(eqx.Module):
    """ln J of spins[0] electrons up and spins[1] down; `slopes` of the cusps by kind of pair, in units of the box."""

    spins: tuple[int, ...] = eqx.field(static=True)
    slopes: np.ndarray  # (kinds,): equal spins, opposite spins
    vectors: np.ndarray  # (V, dim), half of the density waves
    star: np.ndarray  # (V,)
    pairs: Array  # (kinds, SHAPES)
    waves: Array  # (kinds, stars): of the density, of the magnetisation

    def __init__(self, spins: tuple[int, ...], dim: int, slopes: tuple[float, ...], radius: float = WAVES):
        kinds = min(len(spins), sum(1 for count in spins if count))
        self.spins, self.slopes = spins, np.array(slopes[:kinds])
        self.vectors, self.star = stars(dim, radius)
        self.pairs = jnp.zeros((kinds, SHAPES))
        self.waves = jnp.zeros((kinds, int(self.star.max()) + 1))

    def log(self, x: Array) -> Array:
        """ln J at x (N, dim)."""
        value = 0.5 * jnp.sum(Pairs.of(x).values(of_kind(self._rows(), unlike(self.spins))))
        for amplitude, weight in zip(self._amplitudes(x), self.waves, strict=True):
            value = value + jnp.sum(weight[self.star] * (_square(amplitude.sum(axis=0)) - len(x)))
        return value

    def jet(self, x: Array) -> JastrowJet:
        """ln J with its derivatives."""
        n, dim = x.shape
        pairs = Pairs.of(x)
        value, slope, second = pairs.jet(of_kind(self._rows(), unlike(self.spins)))
        log = 0.5 * jnp.sum(value)
        gradient = jnp.einsum("ij,ijd->id", slope, pairs.separation)
        laplacian = jnp.sum(second + (dim - 1) * slope)
        square = (2 * math.pi) ** 2 * np.sum(self.vectors**2, axis=1)
        for amplitude, weight in zip(self._amplitudes(x), self.waves, strict=True):
            weight, total = weight[self.star], amplitude.sum(axis=0)
            log = log + jnp.sum(weight * (_square(total) - n))
            gradient = gradient + _wave_gradient(amplitude, total) * weight[None] @ self.vectors
            laplacian = laplacian + 2 * jnp.sum(weight * square * (n - _square(total)))
        return JastrowJet(log, gradient, laplacian)

    def scores(self, x: Array) -> tuple[Jastrow, Jastrow]:
        """d ln J by every parameter, and its gradient by x with two more axes (.., N, dim)."""
        pairs, basis, n = Pairs.of(x), smooth(SHAPES), len(x)
        powers, slopes = pairs.powers(basis.shape[1]), pairs.slopes(basis.shape[1])
        of_pairs, moved_pairs = [], []
        for mask in _masks(self.spins)[: len(self.pairs)]:
            of_pairs.append(0.5 * basis @ jnp.einsum("pij,ij->p", powers, mask))
            moved = jnp.einsum("pij,ijd->pid", slopes * mask[None], pairs.separation)
            moved_pairs.append(jnp.tensordot(basis, moved, 1))
        of_waves, moved_waves = [], []
        sums = (np.arange(self.waves.shape[1])[:, None] == self.star).astype(float)  # (stars, V)
        for amplitude in self._amplitudes(x):
            total = amplitude.sum(axis=0)
            of_waves.append(sums @ (_square(total) - n))
            moved = _wave_gradient(amplitude, total)
            moved_waves.append(jnp.einsum("sv,iv,vd->sid", sums, moved, self.vectors))
        values = jnp.stack(of_pairs), jnp.stack(of_waves)
        gradients = jnp.stack(moved_pairs), jnp.stack(moved_waves)
        return self._like(values), self._like(gradients)

    def guess(self, range_: float) -> Jastrow:
        """Pair functions near -a exp(-r c/a) with the slope c at contact, a = `range_` times the slope of equal spins.

        Without them, with the cusps alone, electrons would come too close for the first steps of a large gas.
        """
        x = np.linspace(0, 1, 200)
        powers = x[:, None] ** np.arange(SHAPES + 4)
        basis, of_cusp = powers @ smooth(SHAPES).T, powers @ cusp(SHAPES)
        ridge = RIDGE * np.eye(SHAPES)
        rows = []
        for slope in self.slopes:
            contact = 0.5 * slope  # by x
            strength = 0.5 * range_ * self.slopes[0]
            target = -strength * np.exp(-x * contact / strength) * (1 - x) ** 2 - contact * of_cusp
            rows.append(np.linalg.lstsq(np.concatenate([basis, ridge]), np.pad(target, (0, SHAPES)), rcond=None)[0])
        return eqx.tree_at(lambda j: j.pairs, self, jnp.asarray(np.array(rows)))

    def factors(self) -> list[Jastrow]:
        """What determinants of few electrons are taken with: with two spins also with a shallower hole, cusps alike."""
        return [self] if len(self.pairs) == 1 else [self, self.shallower()]

    def shallower(self) -> Jastrow:
        """With opposite spins closer together: between the two every mixed state finds the hole that suits it."""
        return eqx.tree_at(lambda j: j.pairs, self, self.pairs.at[1, 0].add(SHALLOWER))

    def _rows(self) -> Array:
        """Polynomial coefficients (kinds, P) of the pair functions, cusps included."""
        of_cusp = 0.5 * self.slopes[:, None] * cusp(SHAPES)
        return self.pairs @ smooth(SHAPES) + of_cusp

    def _amplitudes(self, x: Array) -> list[Array]:
        """exp(2 pi i G.x_i) (N, V), and, with two spins, the same with the sign of the spin."""
        waves = plane_waves(x, self.vectors)
        sign = np.repeat([1.0, -1.0], [self.spins[0], sum(self.spins[1:])])
        return [waves] if len(self.waves) == 1 else [waves, jnp.asarray(sign)[:, None] * waves]

    def _like(self, leaves: tuple[Array, Array]) -> Jastrow:
        return eqx.tree_at(lambda j: (j.pairs, j.waves), self, leaves)


def cusp_slopes(dim: int, length: float) -> tuple[float, float]:
    """Slopes at contact of pairs of equal and of opposite spin for -lap + 2/r (Ry, a0), in units of the box."""
    return length / (dim + 1), length / (dim - 1)


def unlike(spins: tuple[int, ...]) -> np.ndarray:
    """1 for pairs (N, N) of opposite spins."""
    label = np.repeat(np.arange(len(spins)), spins)
    return (label[:, None] != label).astype(int)


def stars(dim: int, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Half of the integer vectors (V, dim) up to a length, and which star (V,) of the box each belongs to."""
    vectors = half_space(integer_vectors(dim, radius))
    images = np.sort(np.abs(vectors), axis=1)
    order = np.column_stack([np.sum(images**2, axis=1), images])
    return vectors, np.unique(order, axis=0, return_inverse=True)[1].ravel()


def _masks(spins: tuple[int, ...]) -> list[np.ndarray]:
    """1 for different electrons of equal spin, and of opposite spin, (N, N)."""
    other = unlike(spins)
    return [(1.0 - other) * (1 - np.eye(len(other))), other.astype(float)]


def _square(z: Array) -> Array:
    return z.real**2 + z.imag**2


def _wave_gradient(amplitude: Array, total: Array) -> Array:
    """The gradient of |sum_i a_i|^2 by x_i is this (N, V) times G."""
    return -4 * math.pi * (total.conj()[None] * amplitude).imag
