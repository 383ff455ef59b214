"""Functions of the distance of a pair that end smoothly at half the box: polynomials times (1 - x)^3, x = 2 r.

    smooth    f_0 = (1 - x)^3 (1 + 3 x),  f_l = (1 - x)^3 x^l,  l = 2 .. K - 1      no slope at contact
    cusp      (1 - x)^3 x                                                          slope 1 (by x) at contact

A function is the row of its coefficients, lowest power first.  All are zero beyond x = 1, the circle or sphere that
fits into the box, with continuous second derivatives there.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.geometry import minimum_image

REACH = 0.5  # where the functions end, in units of the box
END = np.array([1.0, -3.0, 3.0, -1.0])  # (1 - x)^3


def smooth(count: int) -> np.ndarray:
    """The first `count` smooth functions (count, count + 4), without slope at contact."""
    factors = [np.array([1.0, 3.0]), *(np.eye(power + 1)[power] for power in range(2, count + 1))]
    return np.array([_padded(np.convolve(END, factor), count + 4) for factor in factors[:count]])


def cusp(count: int) -> np.ndarray:
    """The function (count + 4,) with slope 1 by x at contact."""
    return _padded(np.convolve(END, [0.0, 1.0]), count + 4)


def _padded(row: np.ndarray, size: int) -> np.ndarray:
    return np.pad(row, (0, size - len(row)))


class Pairs(NamedTuple):
    """Separations x_i - x_j to the nearest image (N, N, dim), distances, x = min(2 r, 1) (N, N); 1 on the diagonal."""

    separation: Array
    distance: Array
    x: Array

    @classmethod
    def of(cls, positions: Array) -> Pairs:
        """All pairs of the positions (N, dim) in units of the box."""
        separation = minimum_image(positions[:, None] - positions[None])
        apart = jnp.sum(separation**2, axis=-1) + jnp.eye(len(positions))  # the diagonal is far away: no contribution
        distance = jnp.sqrt(apart)
        return cls(separation, distance, jnp.minimum(distance / REACH, 1.0))

    def powers(self, count: int) -> Array:
        """x^0 .. x^(count - 1) (count, N, N)."""
        rows = [jnp.ones_like(self.x)]
        for _ in range(count - 1):
            rows.append(rows[-1] * self.x)
        return jnp.stack(rows)

    def values(self, coefficients: Array) -> Array:
        """f (N, N) of coefficients (P, N, N) or (P, 1, 1)."""
        found = jnp.zeros_like(self.x)
        for c in coefficients[::-1]:
            found = found * self.x + c
        return found

    def jet(self, coefficients: Array) -> tuple[Array, Array, Array]:
        """f, f'/r and f'' (N, N), derivatives by r in units of the box."""
        value = first = second = jnp.zeros_like(self.x)
        for c in coefficients[::-1]:
            second = second * self.x + 2 * first
            first = first * self.x + value
            value = value * self.x + c
        return value, first / (REACH * self.distance), second / REACH**2

    def slopes(self, count: int) -> Array:
        """d(x^k)/dr / r for k = 0 .. count - 1 (count, N, N); zero beyond the reach for sums that end smoothly."""
        powers = self.powers(count - 1) / (REACH * self.distance)[None]
        return jnp.concatenate([jnp.zeros_like(powers[:1]), powers * jnp.arange(1, count)[:, None, None]])


def of_kind(rows: Array, unlike: np.ndarray) -> Array:
    """Coefficients (P, N, N), or (P, 1, 1) of one kind, from rows (kinds, P); unlike (N, N): 1 for the second kind."""
    if len(rows) == 1:
        return rows[0][:, None, None]
    return jnp.where(jnp.asarray(unlike) == 1, rows[1][:, None, None], rows[0][:, None, None])
