"""Backflow: every electron's coordinate in the determinants depends on where the others are.

    zeta_i = x_i + sum_j eta(x_i - x_j),     eta(r) = f(r) r + sum_G c_G G sin(2 pi G.r)

(Feynman and Cohen, Phys. Rev. 102, 1189 (1956); for the electron gas Kwon, Ceperley and Martin, Phys. Rev. B 58, 6800
(1998)).  zeta commutes with permutations within a spin and with translations; it need not be a bijection.  eta is odd
and smooth, so that cusps belong to the Jastrow factor.  Linear in its parameters, derivatives by hand.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.geometry import plane_waves
from massieu.states.jastrow import stars, unlike
from massieu.states.pair_flow import pair_jacobian
from massieu.states.radial_polynomials import Pairs, of_kind, smooth

SHAPES = 5  # smooth functions of each kind of pair
WAVES = 2.3  # plane waves up to this many 2 pi/L


class BackflowJet(NamedTuple):
    """zeta (N, dim), its Jacobian d zeta/dx (Nd, Nd) and its Laplacian (Nd,), in units of the box."""

    zeta: Array
    jacobian: Array
    laplacian: Array


class Backflow(eqx.Module):
    """zeta of spins[0] electrons up and spins[1] down."""

    spins: tuple[int, ...] = eqx.field(static=True)
    vectors: np.ndarray  # (V, dim)
    star: np.ndarray  # (V,)
    pairs: Array  # (kinds, SHAPES)
    waves: Array  # (kinds, stars)

    def __init__(self, spins: tuple[int, ...], dim: int, radius: float = WAVES):
        kinds = sum(1 for count in spins if count)
        self.spins = spins
        self.vectors, self.star = stars(dim, radius)
        self.pairs = jnp.zeros((kinds, SHAPES))
        self.waves = jnp.zeros((kinds, int(self.star.max()) + 1))

    def __call__(self, x: Array) -> Array:
        """zeta (N, dim) at x (N, dim)."""
        pairs = Pairs.of(x)
        along = pairs.values(of_kind(self._rows(), unlike(self.spins)))
        push = self._weighted(self._waves(x)).imag @ self.vectors
        return x + jnp.einsum("ij,ijd->id", along, pairs.separation) + jnp.sum(push, axis=1)

    def jet(self, x: Array) -> BackflowJet:
        """zeta with its derivatives."""
        dim, square = x.shape[1], np.sum(self.vectors**2, axis=1)
        pairs = Pairs.of(x)
        r = pairs.separation
        value, slope, second = pairs.jet(of_kind(self._rows(), unlike(self.spins)))
        waves = self._weighted(self._waves(x))
        outer = (self.vectors[:, :, None] * self.vectors[:, None]).reshape(len(self.vectors), -1)
        push = value[..., None] * r + waves.imag @ self.vectors
        stretch = jnp.einsum("ij,ab->ijab", value, jnp.eye(dim)) + jnp.einsum("ij,ija,ijb->ijab", slope, r, r)
        stretch = stretch + 2 * math.pi * (waves.real @ outer).reshape(stretch.shape)
        bend = (second + (dim + 1) * slope)[..., None] * r
        bend = bend - (2 * math.pi) ** 2 * waves.imag @ (square[:, None] * self.vectors)
        laplacian = 2 * jnp.sum(bend, axis=1).reshape(-1)  # both electrons of a pair move
        return BackflowJet(x + jnp.sum(push, axis=1), pair_jacobian(stretch), laplacian)

    def scores(self, x: Array, slope: Array) -> Backflow:
        """sum_i slope_i . d zeta_i by every parameter, for slope (N, dim) = d ln D/d zeta."""
        pairs, basis = Pairs.of(x), smooth(SHAPES)
        along = jnp.einsum("ijd,id->ij", pairs.separation, slope)
        powers = pairs.powers(basis.shape[1])
        masks = [1 - unlike(self.spins), unlike(self.spins)][: len(self.pairs)]
        of_pairs = [basis @ jnp.einsum("pij,ij->p", powers, mask * along) for mask in masks]
        sums = (np.arange(self.waves.shape[1])[:, None] == self.star).astype(float)
        projected, sine = slope @ self.vectors.T, self._waves(x).imag
        of_waves = [sums @ jnp.einsum("ij,ijv,iv->v", mask, sine, projected) for mask in masks]
        leaves = (jnp.stack(of_pairs), jnp.stack(of_waves))
        return eqx.tree_at(lambda b: (b.pairs, b.waves), self, leaves)

    def _rows(self) -> Array:
        """Polynomial coefficients (kinds, P) of f."""
        return self.pairs @ smooth(SHAPES)

    def _waves(self, x: Array) -> Array:
        """exp(2 pi i G.(x_i - x_j)) (N, N, V)."""
        waves = plane_waves(x, self.vectors)
        return waves[:, None] * waves[None].conj()

    def _weighted(self, waves: Array) -> Array:
        """c_G times the waves, by the kind of pair."""
        rows = self.waves[:, self.star]
        return waves * (rows[jnp.asarray(unlike(self.spins))] if len(rows) > 1 else rows[:1, None])
