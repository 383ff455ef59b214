"""The Jastrow factor of particles in a trap: pair functions with the exact cusps, without an end.

    ln J = sum_{i<j} f(r_ij),   f(r) = c s (1 - exp(-r/s)) + sum_l a_l exp(-r^2/(2 w_l^2)) + b ln(1 + r^2/s^2)/2

c is the slope at contact, the other functions have none.  For -lap/2 + kappa/r the local energy is finite there with
kappa/(dim - 1) for opposite and kappa/(dim + 1) for equal spins (Kato, Commun. Pure Appl. Math. 10, 151 (1957); Pack
and Byers Brown, J. Chem. Phys. 45, 556 (1966)).  f depends on separations alone: the centre of mass stays as it is.
"""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.states.jastrow import JastrowJet, unlike

WIDTHS = (0.5, 1.0, 2.0)  # of the Gaussians, in units of the size s
SHAPES = len(WIDTHS) + 1
SHALLOWER = 0.5  # of ln J where opposite spins meet


class TrapJastrow(eqx.Module):
    """ln J of spins[0] particles up and spins[1] down; slopes (kinds,) at contact of equal and of opposite spins."""

    spins: tuple[int, ...] = eqx.field(static=True)
    size: float = eqx.field(static=True)
    slopes: np.ndarray
    shapes: Array  # (kinds, SHAPES): Gaussians, logarithm

    def __init__(self, spins: tuple[int, ...], size: float, slopes: tuple[float, ...]):
        kinds = sum(1 for count in spins if count)
        self.spins, self.size, self.slopes = spins, size, np.array(slopes[:kinds])
        self.shapes = jnp.zeros((kinds, SHAPES))

    def log(self, x: Array) -> Array:
        """ln J at x (N, dim)."""
        return jnp.sum(self._weights() * self._pairs(x)[:, 0])

    def jet(self, x: Array) -> JastrowJet:
        """ln J with its gradient (N, dim) and its Laplacian."""
        pairs, weights = self._pairs(x), self._weights()
        value, slope, second = jnp.einsum("fp,fkp->kp", weights, pairs)
        gradient = self._spread(slope[None], x)[0]
        return JastrowJet(jnp.sum(value), gradient, 2 * jnp.sum(second + (x.shape[1] - 1) * slope))

    def scores(self, x: Array) -> tuple[TrapJastrow, TrapJastrow]:
        """d ln J by every parameter, and its gradient by x with two more axes (.., N, dim)."""
        pairs, kind = self._pairs(x)[1:], self._kind()
        mine = (np.arange(len(self.shapes))[:, None] == kind).astype(float)  # (kinds, pairs)
        values = jnp.einsum("fp,kp->kf", pairs[:, 0], mine)
        moved = self._spread((mine[:, None] * pairs[None, :, 1]).reshape(-1, len(kind)), x)
        gradients = moved.reshape(*self.shapes.shape, *x.shape)
        return self._with(values), self._with(gradients)

    def factors(self) -> list[TrapJastrow]:
        """What determinants are taken with: with two spins also with a shallower hole, cusps alike."""
        if len(self.shapes) == 1:
            return [self]
        return [self, self._with(self.shapes.at[1, 1].add(SHALLOWER))]

    def _pairs(self, x: Array) -> Array:
        """Functions (1 + SHAPES, 3, pairs): values, first derivatives over r, second ones."""
        i, j = np.triu_indices(len(x), 1)
        s, square = self.size, jnp.sum((x[i] - x[j]) ** 2, axis=-1)
        r = jnp.sqrt(square)
        decay = jnp.exp(-r / s)
        found = [jnp.stack([s * (1 - decay), decay / r, -decay / s])]
        for width in WIDTHS:
            w2 = (width * s) ** 2
            bell = jnp.exp(-0.5 * square / w2)
            found.append(jnp.stack([bell, -bell / w2, bell * (square / w2 - 1) / w2]))
        far = s**2 + square
        found.append(jnp.stack([0.5 * jnp.log(far / s**2), 1 / far, (s**2 - square) / far**2]))
        return jnp.stack(found)

    def _weights(self) -> Array:
        """Of every function for every pair (1 + SHAPES, pairs)."""
        return jnp.concatenate([jnp.asarray(self.slopes)[:, None], self.shapes], axis=1)[self._kind()].T

    def _kind(self) -> np.ndarray:
        """0 for pairs (pairs,) of equal spins, 1 for opposite ones."""
        i, j = np.triu_indices(sum(self.spins), 1)
        return np.minimum(unlike(self.spins)[i, j], len(self.slopes) - 1)

    def _spread(self, slopes: Array, x: Array) -> Array:
        """Gradients (F, N, dim) by x of functions with derivatives over r (F, pairs)."""
        i, j = np.triu_indices(len(x), 1)
        pull = slopes[..., None] * (x[i] - x[j])[None]
        return jnp.zeros((len(slopes), *x.shape)).at[:, i].add(pull).at[:, j].add(-pull)

    def _with(self, shapes: Array) -> TrapJastrow:
        return eqx.tree_at(lambda j: j.shapes, self, shapes)


def trap_cusp_slopes(dim: int, kappa: float) -> tuple[float, float]:
    """Slopes at contact of pairs of equal and of opposite spin for -lap/2 + kappa/r; none on a line (no pole)."""
    return (kappa / (dim + 1), kappa / (dim - 1)) if dim > 1 else (0.0, 0.0)
