"""Independent particles in a box with soft walls, the first two of them bonded with one of several lengths."""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flowjax.distributions import AbstractDistribution
from jax import Array
from jax.scipy.special import logsumexp


class BoxedDimer(AbstractDistribution):
    """Shape (2 + solvent, 2).  Solvent coordinates have density ~ exp(-stiff max(|x| - box, 0)^2).

    The dimer lies along the first axis, either way round: x_1 + x_2, y_1 and y_2 are normal with variance 1/(2 spring),
    |x_1 - x_2| is an even mixture of normals of the given lengths and widths.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)
    box: float
    stiff: float
    spring: float
    lengths: np.ndarray
    widths: np.ndarray

    def __init__(self, solvent: int, box: float, stiff: float, spring: float, lengths: np.ndarray, widths: np.ndarray):
        self.shape, self.cond_shape = (2 + solvent, 2), None
        self.box, self.stiff, self.spring = float(box), float(stiff), float(spring)
        self.lengths, self.widths = np.asarray(lengths, float), np.asarray(widths, float)

    def _sample(self, key: Array, condition: Array | None = None) -> Array:
        of_solvent, of_state, of_bond, of_place = jax.random.split(key, 4)
        state, turned = jax.random.randint(of_state, (2,), 0, np.array([len(self.lengths), 2]))
        bond = jnp.asarray(self.lengths)[state] + jnp.asarray(self.widths)[state] * jax.random.normal(of_bond)
        apart = jnp.where(turned == 1, -bond, bond)
        sum_x, y1, y2 = jax.random.normal(of_place, (3,)) / math.sqrt(2 * self.spring)
        dimer = jnp.stack([jnp.stack([(sum_x + apart) / 2, y1]), jnp.stack([(sum_x - apart) / 2, y2])])
        return jnp.concatenate([dimer, self._solvent(of_solvent)])

    def _solvent(self, key: Array) -> Array:
        of_side, of_inside, of_outside = jax.random.split(key, 3)
        shape, tail = (self.shape[0] - 2, 2), math.sqrt(math.pi / self.stiff)
        outside = jax.random.uniform(of_side, shape) < tail / (tail + 2 * self.box)
        inside = jax.random.uniform(of_inside, shape, minval=-self.box, maxval=self.box)
        beyond = jax.random.normal(of_outside, shape) / math.sqrt(2 * self.stiff)
        return jnp.where(outside, beyond + jnp.sign(beyond) * self.box, inside)

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        tail = math.sqrt(math.pi / self.stiff)
        walls = self.stiff * jnp.sum(jnp.maximum(jnp.abs(x[2:]) - self.box, 0.0) ** 2)
        solvent = -walls - x[2:].size * math.log(tail + 2 * self.box)
        place = (x[0, 0] + x[1, 0]) ** 2 + x[0, 1] ** 2 + x[1, 1] ** 2
        normals = -self.spring * place + 1.5 * math.log(self.spring / math.pi)
        apart = jnp.stack([x[0, 0] - x[1, 0], x[1, 0] - x[0, 0]])[:, None]
        z = (apart - jnp.asarray(self.lengths, x.dtype)[None]) / jnp.asarray(self.widths, x.dtype)[None]
        each = -0.5 * z**2 - np.log(2 * len(self.lengths) * self.widths * math.sqrt(2 * math.pi))[None]
        # d(x_1) d(x_2) = d(x_1 + x_2) d(x_1 - x_2)/2
        return solvent + normals + logsumexp(each) + math.log(2)


def bond_length(x: Array) -> Array:
    """Distance between the first two particles of x (n, 2, ..)."""
    return jnp.sqrt(jnp.sum((x[0] - x[1]) ** 2, axis=0))
