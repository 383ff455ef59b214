"""A continuous flow of particles in free space that commutes with permutations, rotations and reflections.

    dx_i/dt = sum_j f_ij (x_i - x_j) + g_i x_i,      d ln p/dt = -div v

f_ij and g_i are small networks of invariants: the distance, the two radii, and for each particle an embedding
h_i = sum_j e(r_ij, rho_i, rho_j)/(n-1) of its surroundings.  The divergence is exact and costs one directional
derivative: div_i [f_ij (x_i - x_j)] = d f_ij + (derivative of f_ij as x_i moves along x_i - x_j).  A base density
that is invariant gives an invariant density of labelled particles: the permutation entropy comes for free.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flowjax.distributions import AbstractDistribution
from jax import Array

from massieu.densities.continuous import ContinuousFlow, Scaled, chebyshev
from massieu.densities.perceptron import Perceptron, apply, perceptron
from massieu.sampling import initial_normal


class EquivariantFlow(ContinuousFlow):
    """Base density scaled by exp(log_scale), carried by the velocity from t = 0 to 1 in `steps` Runge-Kutta steps.

    base: an invariant density of shape (n, dim); radius, spacing: lengths of the cloud that make the features O(1);
    width, embedding: sizes of the networks; harmonics: Chebyshev polynomials of t in the last layer.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)
    base: Scaled
    radius: float
    spacing: float
    steps: int
    harmonics: int
    surroundings: tuple[Array, Array]
    pair: Perceptron
    single: Perceptron

    def __init__(
        self,
        base: AbstractDistribution,
        *,
        scale: float = 1.0,
        radius: float = 1.0,
        spacing: float = 1.0,
        width: int = 16,
        embedding: int = 16,
        harmonics: int = 3,
        steps: int = 5,
        key: Array | None = None,
    ):
        k1, k2, k3, k4 = jax.random.split(jax.random.key(0) if key is None else key, 4)
        self.base, self.shape, self.cond_shape = Scaled(base, scale), base.shape, None
        self.radius, self.spacing, self.steps, self.harmonics = float(radius), float(spacing), steps, harmonics
        first = initial_normal(k1, (4, embedding)), 0.7 * initial_normal(k2, (embedding,))
        self.surroundings = jnp.asarray(first[0]), jnp.asarray(first[1])
        self.pair = perceptron(k3, [2 + 2 + 2 * embedding + 1, width, width, 2 * harmonics])
        self.single = perceptron(k4, [1 + embedding + 1, width, width, harmonics])

    # ---- the velocity and its divergence

    def velocity(self, x: Array, t: Array, condition: Array | None = None) -> tuple[Array, Array]:
        """v (n, dim) and its divergence at time t in [0, 1] for positions x (n, dim)."""
        n, dim = x.shape
        t = jnp.asarray(t, x.dtype)
        pairs = _Pairs(x, self.radius, self.spacing)
        h, own_slope, partner_slope = self._embed(pairs)
        time = jnp.full((n, 1), t)
        features = _pairwise(pairs.near, pairs.radial, h, time)
        slope = jnp.concatenate(
            [
                pairs.d_near * 2 * pairs.r2[..., None],  # as x_i moves along x_i - x_j, r^2 grows at the rate 2 r^2
                pairs.d_radial[:, None] * pairs.d_rho[..., None],
                jnp.zeros((n, n, 1), x.dtype),
                jnp.einsum("imd,ijd->ijm", own_slope, pairs.apart),
                partner_slope,
                jnp.zeros((n, n, 1), x.dtype),
            ],
            axis=-1,
        )
        alone = jnp.concatenate([pairs.radial, h, time], axis=-1)
        d_alone = [pairs.d_radial * 2 * pairs.rho[:, None], jnp.einsum("imd,id->im", own_slope, x), 0 * time]
        weights = chebyshev(t, self.harmonics)

        def pair_force(features: Array, r2: Array) -> Array:
            out = apply(self.pair, features).reshape(n, n, 2, self.harmonics) @ weights
            return (out[..., 0] + out[..., 1] / (r2 / self.spacing**2 + 0.1)) * pairs.others

        f, df = jax.jvp(pair_force, (features, pairs.r2), (slope, 2 * pairs.r2))
        g, dg = jax.jvp(lambda u: apply(self.single, u) @ weights, (alone,), (jnp.concatenate(d_alone, axis=-1),))
        v = jnp.einsum("ij,ijd->id", f, pairs.apart) + g[:, None] * x
        return v, jnp.sum(dim * f + df) + jnp.sum(dim * g + dg)

    def _embed(self, pairs: _Pairs) -> tuple[Array, Array, Array]:
        """h (n, m), its gradient in the own position (n, m, dim), and the rate of h_j along x_i - x_j (n, n, m)."""
        weight, bias = self.surroundings
        share = 1 / max(len(pairs.rho) - 1, 1)
        own, partner = pairs.radial @ weight[2:3], pairs.radial @ weight[3:]
        e = (
            jnp.tanh(pairs.near @ weight[:2] + own[:, None] + partner[None] + bias[None, None])
            * pairs.others[..., None]
        )
        slope = (pairs.others[..., None] - e * e) * share
        by_r2 = slope * (pairs.d_near @ weight[:2])
        by_own = slope * (pairs.d_radial @ weight[2:3])[:, None]
        by_partner = slope * (pairs.d_radial @ weight[3:])[None]
        gradient = 2 * jnp.einsum("ijm,ijd->imd", by_r2, pairs.apart) + 2 * by_own.sum(1)[..., None] * pairs.x[:, None]
        of_partner = (
            by_r2.swapaxes(0, 1) * (2 * pairs.r2)[..., None] + by_partner.swapaxes(0, 1) * pairs.d_rho[..., None]
        )
        return share * e.sum(1), gradient, of_partner


class _Pairs:
    """Invariants of all ordered pairs and their derivatives: near (n, n, 2) in r^2, radial (n, 1) in rho = x^2."""

    def __init__(self, x: Array, radius: float, spacing: float):
        n = len(x)
        self.x, self.others = x, jnp.asarray(1 - np.eye(n), x.dtype)
        self.apart = x[:, None] - x[None]
        self.r2 = jnp.sum(self.apart**2, axis=-1) + jnp.asarray(np.eye(n), x.dtype)  # 1 keeps the diagonal smooth
        self.rho = jnp.sum(x**2, axis=-1)
        self.d_rho = 2 * jnp.sum(x[:, None] * self.apart, axis=-1)  # rate of rho_i as x_i moves along x_i - x_j

        def near(r2: Array) -> Array:
            y = r2 / spacing**2 + 0.01
            return jnp.stack([jnp.sqrt(y) - 1.5, 0.5 * jnp.log(y)], axis=-1)

        def radial(rho: Array) -> Array:
            return jnp.log1p(2 * rho / radius**2)[..., None] - 0.8

        self.near, self.d_near = jax.jvp(near, (self.r2,), (jnp.ones_like(self.r2),))
        self.radial, self.d_radial = jax.jvp(radial, (self.rho,), (jnp.ones_like(self.rho),))


def _pairwise(near: Array, radial: Array, h: Array, time: Array) -> Array:
    """Features (n, n, .) of the ordered pair (i, j): of the pair, of i, of j, and the time."""
    n = len(near)

    def first(y: Array) -> Array:
        return jnp.broadcast_to(y[:, None], (n, n, y.shape[-1]))

    def second(y: Array) -> Array:
        return jnp.broadcast_to(y[None], (n, n, y.shape[-1]))

    return jnp.concatenate([near, first(radial), second(radial), first(h), second(h), first(time)], axis=-1)
