"""A flow of particles of several kinds by central forces between pairs and a field of the box.

    dx_i/dt = sum_j F_{s_i s_j}(r_ij, t) (x_i - x_j)/r_ij + g_{s_i}(x_i, t)

F_{ss'} are sums of Gaussians in r and g_s odd polynomials of the coordinates faded out beyond the box, with
coefficients that are polynomials in t: few parameters, so that the natural gradient serves, and an exact divergence.
Exchanging particles of one kind and reflecting the axes does not change the density.
"""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from flowjax.distributions import AbstractDistribution
from jax import Array

from massieu.densities.continuous import ContinuousFlow, chebyshev

POWERS = np.array([(i, j) for i in range(4) for j in range(4) if i + j < 4])  # of x^2 and y^2


class CentralFlow(ContinuousFlow):
    """Flow of shape (n, 2) from `base`; kinds (n,): of each particle, 0, 1, ..

    reach: distance up to which pairs act, with a Gaussian every `spacing`; box: length that makes the coordinates O(1).
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)
    base: AbstractDistribution
    steps: int
    centres: np.ndarray  # (basis,) of the Gaussians
    spacing: float
    box: float
    kinds: np.ndarray  # (n,)
    classes: np.ndarray  # (pairs,) of i < j
    pair: Array  # (harmonics, classes, basis)
    field: Array  # (harmonics, kinds, polynomials, 2)

    def __init__(
        self,
        base: AbstractDistribution,
        kinds: np.ndarray,
        *,
        reach: float,
        box: float,
        basis: int = 14,
        harmonics: int = 4,
        steps: int = 16,
    ):
        self.base, self.shape, self.cond_shape, self.steps = base, base.shape, None, steps
        self.centres, self.spacing = np.linspace(0.0, reach, basis), reach / (basis - 1)
        self.kinds, self.box = np.asarray(kinds), float(box)
        first, second = np.triu_indices(len(kinds), 1)
        low, high = np.minimum(self.kinds[first], self.kinds[second]), np.maximum(self.kinds[first], self.kinds[second])
        found, self.classes = np.unique(low * len(kinds) + high, return_inverse=True)
        self.pair = jnp.zeros((harmonics, len(found), basis))
        self.field = jnp.zeros((harmonics, int(self.kinds.max()) + 1, len(POWERS), 2))

    def velocity(self, x: Array, t: Array, condition: Array | None = None) -> tuple[Array, Array]:
        """v (n, 2) and its divergence."""
        dtype = x.dtype
        weights = chebyshev(jnp.asarray(t, dtype), len(self.pair))
        first, second = np.triu_indices(len(self.kinds), 1)
        r = x[first] - x[second]
        length = jnp.sqrt(jnp.sum(r**2, axis=1) + 1e-12)
        y = (length[:, None] - jnp.asarray(self.centres, dtype)[None]) / self.spacing
        bumps = jnp.tensordot(weights, self.pair, 1)[self.classes] * jnp.exp(-0.5 * y**2)
        # a factor r/(r + spacing) lets the force vanish smoothly where two particles meet
        soft = length / (length + self.spacing)
        force = jnp.sum(bumps, axis=1) * soft
        slope = -jnp.sum(bumps * y, axis=1) / self.spacing * soft + force * self.spacing / (
            length * (length + self.spacing)
        )
        each = r * (force / length)[:, None]
        v = jnp.zeros_like(x).at[first].add(each).at[second].add(-each)
        divergence = 2 * jnp.sum(slope + force / length)

        coefficients = jnp.tensordot(weights, self.field, 1)[self.kinds]  # (n, polynomials, 2)

        def of_axis(x: Array, axis: int) -> tuple[Array, Array]:
            u2 = (x / self.box) ** 2
            own, other = u2[:, axis], u2[:, 1 - axis]
            a, b = POWERS[:, axis], POWERS[:, 1 - axis]
            even = _powers(own)[:, a] * _powers(other)[:, b]
            fade = jnp.exp(-0.5 * (own + other))  # nothing runs away beyond the walls
            value = fade * jnp.sum(coefficients[:, :, axis] * even, axis=1)
            grown = fade * jnp.sum(coefficients[:, :, axis] * (2 * a + 1)[None] * even, axis=1)
            return x[:, axis] * value, grown - own * value

        (vx, dx), (vy, dy) = of_axis(x, 0), of_axis(x, 1)
        return v + jnp.stack([vx, vy], axis=1), divergence + jnp.sum(dx + dy)


def _powers(u: Array) -> Array:
    """1, u, u^2, u^3 (n, 4)."""
    return jnp.stack([jnp.ones_like(u), u, u * u, u * u * u], axis=1)
