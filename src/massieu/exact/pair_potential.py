"""The pair potential of charges in a periodic box, for Monte Carlo that asks for it often: Ewald's sum as a polynomial.

    v(u) = 1/|u| + P(u),    P even in every coordinate and symmetric

in units of e^2/L, separations in units of the box.
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
from massieu.physics.ewald import Ewald, madelung
from massieu.precision import double_precision

DEGREE = 12
NODES = 12


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
        with double_precision():
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

    def with_slope(self, separations: Array) -> tuple[Array, Array]:
        """v (..) and its gradient (.., dim) by the separations."""
        flat = separations.reshape(-1, separations.shape[-1])
        values, slopes = jax.vmap(jax.value_and_grad(self.__call__))(flat)
        return values.reshape(separations.shape[:-1]), slopes.reshape(separations.shape)


def _symmetric(u: Array) -> list[Array]:
    """Elementary symmetric polynomials (..) of 8 u^2 - 1, u (.., dim), the first two as means."""
    s = jnp.moveaxis(8 * u**2 - 1, -1, 0)
    if len(s) == 2:
        return [0.5 * (s[0] + s[1]), s[0] * s[1]]
    return [(s[0] + s[1] + s[2]) / 3, (s[0] * s[1] + s[0] * s[2] + s[1] * s[2]) / 3, s[0] * s[1] * s[2]]
