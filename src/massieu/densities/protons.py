"""Positions of protons in the periodic box: a continuous flow from the uniform density, or fixed sites.

    dr_i/dt = sum_j f_ij sin(2 pi (r_i - r_j))/2 pi,
    f_ij = sum_m B_m(s_ij) [ c_m(t) + sum_k a_mk(t) (h_ik + h_jk) ],      h_ik = sum_l B_k(s_il)

with s the periodic distance and B Gaussians: equivariant under permutations, translations and the cube's symmetries, a
bijection of the torus for any coefficients (the flow of a smooth velocity), with its divergence in closed form.
Densities are per volume in units of the box, of labelled particles.  The base points are uniform, so that a random walk
of theirs with symmetric steps keeps S distributed as p(S): others can follow it, and no step is rejected.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flowjax.distributions import AbstractDistribution
from jax import Array

from massieu.densities.continuous import ContinuousFlow, Rate, adaptive, chebyshev

WIDTHS = (0.2, 0.35, 0.55, 0.8, 1.2, 1.8)  # of the Gaussians B, in units of the radius of one proton's volume
NEIGHBOURS = (0.55, 1.2)  # those of the surroundings h
SCALE = (0.05, 0.01, 0.01)  # of the forces and of their change with the surroundings, for parameters of order 1
TUNING_STEPS, TUNING_BATCH, TUNING_RATE = 200, 64, 0.05
TUNING_TOLERANCE = 1e-3


class UniformBox(AbstractDistribution):
    """n points, independent and uniform in the unit box."""

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, n: int):
        self.shape, self.cond_shape = (n, 3), None

    def _sample(self, key: Array, condition: Array | None = None) -> Array:
        return jax.random.uniform(key, self.shape)

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        return jnp.zeros((), x.dtype)


class FixedProtons(eqx.Module):
    """Protons clamped at sites (n, 3): no density, ln p = 0."""

    sites: np.ndarray

    def from_base(self, z: Array) -> tuple[Array, Array]:
        """The sites and ln p."""
        return jnp.asarray(self.sites, z.dtype), jnp.zeros((), z.dtype)

    def for_evaluation(self) -> FixedProtons:
        """Nothing to refine."""
        return self


class ProtonFlow(ContinuousFlow):
    """n protons in a box whose side is `sides` radii of one proton's volume; starts as the uniform density."""

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)
    base: UniformBox
    steps: int  # the first step is as long as one of so many
    tolerance: float  # of the adaptive steps: about the error of ln p
    sides: float
    force: Array  # (harmonics, Gaussians, 1 + neighbours)

    def __init__(self, n: int, *, steps: int = 10, tolerance: float = 1e-5, harmonics: int = 3):
        self.base, self.shape, self.cond_shape = UniformBox(n), (n, 3), None
        self.steps, self.tolerance = steps, tolerance
        self.sides = (4 * math.pi * n / 3) ** (1 / 3)
        self.force = jnp.zeros((harmonics, len(WIDTHS), 1 + len(NEIGHBOURS)))

    def velocity(self, x: Array, t: Array, condition: Array | None = None) -> tuple[Array, Array]:
        """v (n, 3) in units of the box, and its divergence."""
        n = len(x)
        weights = jnp.tensordot(chebyshev(jnp.asarray(t, x.dtype), len(self.force)), self.force, 1)
        weights = weights * jnp.asarray(SCALE)[None]
        d = x[:, None] - x[None]
        others = 1 - jnp.eye(n, dtype=x.dtype)
        along = jnp.sin(2 * math.pi * d) / (2 * math.pi)
        squared = (self.sides / math.pi) ** 2 * jnp.sum(jnp.sin(math.pi * d) ** 2, axis=-1)
        along2 = jnp.sum(along**2, axis=-1)

        def gaussians(widths: tuple[float, ...]) -> tuple[Array, Array]:
            """B (n, n, .) and the factor of `along` in their gradients."""
            inverse = jnp.asarray(1 / np.square(widths), x.dtype)
            b = jnp.exp(-0.5 * squared[..., None] * inverse[None, None]) * others[..., None]
            return b, -(self.sides**2) * inverse[None, None] * b

        b, db = gaussians(WIDTHS)
        e, de = gaussians(NEIGHBOURS)
        h = jnp.sum(e, axis=1)
        dh = jnp.einsum("ijk,ija->ika", de, along)  # of h_i by r_i
        both = h[:, None] + h[None]
        strength = weights[None, None, :, 0] + jnp.einsum("mk,ijk->ijm", weights[:, 1:], both)
        change = dh[:, None] + de[..., None] * along[:, :, None]  # of h_i + h_j by r_i
        f = jnp.sum(b * strength, axis=-1)
        slope = jnp.sum(db * strength, axis=-1) * along2
        slope = slope + jnp.einsum("ijm,mk,ijka,ija->ij", b, weights[:, 1:], change, along)
        v = jnp.einsum("ij,ija->ia", f, along)
        return v, jnp.sum(f * jnp.sum(jnp.cos(2 * math.pi * d), axis=-1) + slope)

    def _integrated(self, rate: Rate, state: Any) -> Any:
        return adaptive(rate, state, self.tolerance, 1 / self.steps)

    def for_evaluation(self) -> ProtonFlow:
        """The same flow with errors far below the statistical ones."""
        return eqx.tree_at(lambda flow: flow.tolerance, self, 0.01 * self.tolerance)

    def scores(self, z: Array) -> ProtonFlow:
        """d ln p(S)/d(parameters) at fixed S, the point that starts at z, in the shape of the parameters."""
        params, static = eqx.partition(self, lambda leaf: isinstance(leaf, jax.Array))
        _, pull = self.score_from(z)

        def log_prob(params: ProtonFlow) -> Array:
            x, log_prob = eqx.combine(params, static).from_base(z)
            return log_prob - jnp.sum(pull * x)  # the second term takes back that S moves

        return jax.grad(log_prob)(params)

    def jacobian_sign(self, z: Array) -> tuple[Array, Array]:
        """Sign of det dS/dz of the discrete steps, and ln|det| + ln p, which is zero up to their error."""

        def end(z: Array) -> Array:
            x = z.reshape(self.shape)
            return adaptive(lambda x, t: self.velocity(x, t)[0], x, self.tolerance, 1 / self.steps, True).reshape(-1)

        jacobian = jax.jacfwd(end)(z.reshape(-1))
        sign, size = jnp.linalg.slogdet(jacobian)
        return sign, size + self.from_base(z)[1]


def tuned(protons: ProtonFlow, energy: Callable[[Array], Array], beta: float, key: Array) -> ProtonFlow:
    """Lower beta <energy(S)> + <ln p> for a cheap energy by the path gradient: a start for the real problem."""
    optimiser = optax.chain(
        optax.clip_by_global_norm(10.0), optax.adam(optax.cosine_decay_schedule(TUNING_RATE, TUNING_STEPS))
    )
    start, rest = eqx.partition(protons, lambda leaf: isinstance(leaf, jax.Array))
    static = eqx.tree_at(lambda flow: flow.tolerance, rest, TUNING_TOLERANCE)

    def loss(params: Any, key: Array) -> Array:
        flow = eqx.combine(params, static)
        x, log_prob = jax.vmap(flow._sample_and_log_prob)(jax.random.split(key, TUNING_BATCH))
        return jnp.mean(beta * jax.vmap(energy)(x) + log_prob)

    def step(carry: tuple[Any, Any], key: Array) -> tuple[tuple[Any, Any], None]:
        params, state = carry
        updates, state = optimiser.update(jax.grad(loss)(params, key), state)
        return (optax.apply_updates(params, updates), state), None

    @jax.jit
    def run(params: Any) -> Any:
        return jax.lax.scan(step, (params, optimiser.init(params)), jax.random.split(key, TUNING_STEPS))[0][0]

    return eqx.combine(run(start), rest)
