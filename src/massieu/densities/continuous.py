"""Continuous normalizing flows: x(0) from a base density, dx/dt = v(x, t), d ln p/dt = -div v, t from 0 to 1.

One integrator, one set of estimators; a flow is a velocity with its divergence.  The same Runge-Kutta steps carry the
sample, its ln p and, for the path gradient, the score d ln p/dx.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from flowjax.distributions import AbstractDistribution
from jax import Array

MOST_STEPS = 512  # of an adaptive integration
Rate = Callable[[Any, Array], Any]


class ContinuousFlow(AbstractDistribution):
    """A base density carried by `velocity` in `steps` Runge-Kutta steps; a subclass adds `velocity`.

    The base is sampled differentiably in its own parameters.  A flow conditioned on a number has cond_shape == ().
    """

    base: eqx.AbstractVar[AbstractDistribution]
    steps: eqx.AbstractVar[int]

    @property
    def by_adjoint(self) -> bool:
        """Whether gradients come from the adjoint equation instead of the steps; see `runge_kutta`."""
        return False

    @abstractmethod
    def velocity(self, x: Array, t: Array, condition: Array | None = None) -> tuple[Array, Array]:
        """v (*shape) and its divergence at time t in [0, 1]."""

    def _sample_and_log_prob(self, key: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self.from_base(self.base._sample(key, condition), condition)

    def from_base(self, start: Array, condition: Array | None = None) -> tuple[Array, Array]:
        """The point that starts at `start`, and its ln p."""

        def rate(state: Any, t: Array) -> Any:
            v, divergence = self.velocity(state[0], t, condition)
            return v, -divergence

        return self._integrated(rate, (start, self.base._log_prob(start, condition)))

    def _sample(self, key: Array, condition: Array | None = None) -> Array:
        return self._sample_and_log_prob(key, condition)[0]

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        x, change = self.backwards(x, condition)
        return self.base._log_prob(x, condition) + change

    def forwards(self, x: Array, condition: Array | None = None) -> Array:
        """The point at t = 1 that starts at x."""
        return self._integrated(lambda x, t: self.velocity(x, t, condition)[0], x)

    def trajectory(self, x: Array, condition: Array | None = None) -> Array:
        """The points (1 + steps, *shape) at t = 0, 1/steps, .., 1 of the path that starts at x."""

        def rate(x: Array, t: Array) -> Array:
            return self.velocity(x, t, condition)[0]

        def step(x: Array, i: Array) -> tuple[Array, Array]:
            h = 1 / self.steps
            x = runge_kutta(lambda x, t: h * rate(x, (i + t) * h), x, 1)
            return x, x

        return jnp.concatenate([x[None], jax.lax.scan(step, x, jnp.arange(self.steps))[1]])

    def backwards(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        """The point at t = 0 that ends at x, and the change of ln p on the way from it."""

        def rate(state: Any, t: Array) -> Any:
            v, divergence = self.velocity(state[0], 1 - t, condition)
            return -v, -divergence

        return self._integrated(rate, (x, jnp.zeros((), x.dtype)))

    def _integrated(self, rate: Rate, state: Any) -> Any:
        """From t = 0 to 1 along d state/dt = rate(state, t)."""
        return runge_kutta(rate, state, self.steps, self.by_adjoint)

    def sample_and_score(self, key: Array, condition: Array | None = None) -> tuple[Array, Array, Array]:
        """x, ln p(x) and d ln p/dx, of which x is differentiable in the parameters and the other two are not.

        The score a = d ln p_t/dx is carried along the flow, da/dt = -grad_x (v.a + div v), so that the path gradient
        needs neither the inverse map nor a derivative of the divergence (Vaitl, Nicoli, Nakajima and Kessel 2022).
        """
        start = self.base._sample(key, condition)
        return self.forwards(start, condition), *self.score_from(start, condition)

    def score_from(self, start: Array, condition: Array | None = None) -> tuple[Array, Array]:
        """ln p and d ln p/dx of the point that starts at `start`, not differentiable in the parameters."""
        fixed = jax.tree.map(lambda leaf: jax.lax.stop_gradient(leaf) if isinstance(leaf, Array) else leaf, self)

        def rate(state: Any, t: Array) -> Any:
            x, _, score = state

            def along(x: Array) -> tuple[Array, tuple[Array, Array]]:
                v, divergence = fixed.velocity(x, t, condition)
                return jnp.sum(v * score) + divergence, (v, divergence)

            slope, (v, divergence) = jax.grad(along, has_aux=True)(x)
            return v, -divergence, -slope

        x = jax.lax.stop_gradient(start)
        log_prob, score = jax.value_and_grad(lambda x: fixed.base._log_prob(x, condition))(x)
        return self._integrated(rate, (x, log_prob, score))[1:]

    def for_evaluation(self) -> ContinuousFlow:
        """The same flow with three times finer time steps: the error of ln p is then far below the statistical one."""
        return eqx.tree_at(lambda flow: flow.steps, self, 3 * self.steps)


class Scaled(AbstractDistribution):
    """x = z exp(log_scale) with z from the base."""

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)
    base: AbstractDistribution
    log_scale: Array

    def __init__(self, base: AbstractDistribution, scale: float):
        self.base, self.shape, self.cond_shape = base, base.shape, None
        self.log_scale = jnp.log(jnp.asarray(float(scale)))

    def latent(self, x: Array) -> Array:
        """z."""
        return x * jnp.exp(-self.log_scale)

    def from_latent(self, z: Array) -> Array:
        """x."""
        return z * jnp.exp(self.log_scale)

    def latent_law(self) -> Any:
        """The base."""
        return self.base

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        return self.base._log_prob(self.latent(x)) - x.size * self.log_scale

    def _sample(self, key: Array, condition: Array | None = None) -> Array:
        return self.from_latent(self.base._sample(key).astype(self.log_scale.dtype))


def chebyshev(t: Array, count: int) -> Array:
    """T_0 .. T_{count-1} of 2t - 1."""
    values = [jnp.ones_like(t), 2 * t - 1]
    while len(values) < count:
        values.append(2 * (2 * t - 1) * values[-1] - values[-2])
    return jnp.stack(values[:count])


def runge_kutta(rate: Rate, state: Any, steps: int, adjoint: bool = False) -> Any:
    """Classical fourth-order integration of d state/dt = rate(state, t) from 0 to 1.

    Its gradient is that of the steps, recomputed one by one from the stored states; with `adjoint` that of the exact
    flow, by integrating the state and its cotangent back from 1 to 0 (Chen et al. 2018): memory for one state only,
    and an error of the order of the steps' own.
    """
    return _adjoint(rate, state, steps) if adjoint else _integrated(rate, state, steps)


def adaptive(rate: Rate, state: Any, tolerance: float, first: float, forward: bool = False) -> Any:
    """The same in steps as long as their error, estimated by Tsitouras' pair of order 5 and 4, is below the tolerance.

    first: length of the first step; forward: for derivatives in forward mode, else they are in reverse mode.  Not a
    number where MOST_STEPS are not enough.
    """
    import diffrax  # only here: its import takes as long as equinox's

    found = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, state, _: rate(state, jnp.asarray(t))),
        diffrax.Tsit5(),
        t0=0.0,
        t1=1.0,
        dt0=first,
        y0=state,
        stepsize_controller=diffrax.PIDController(rtol=0.0, atol=tolerance),
        adjoint=diffrax.ForwardMode() if forward else diffrax.RecursiveCheckpointAdjoint(),
        max_steps=MOST_STEPS,
        throw=False,
    )
    fine = found.result == diffrax.RESULTS.successful
    return jax.tree.map(lambda y: jnp.where(fine, y[0], jnp.nan), found.ys)


def _adjoint(rate: Rate, state: Any, steps: int) -> Any:
    hoisted, constants = jax.closure_convert(rate, state, jnp.zeros((), jax.tree.leaves(state)[0].dtype))

    @jax.custom_vjp
    def flow(state: Any, *constants: Any) -> Any:
        return _integrated(lambda state, t: hoisted(state, t, *constants), state, steps)

    def forwards(state: Any, *constants: Any) -> tuple[Any, Any]:
        end = flow(state, *constants)
        return end, (end, constants)

    def backwards(kept: Any, cotangent: Any) -> tuple[Any, ...]:
        end, constants = kept

        def back(both: Any, s: Array) -> Any:
            slope, pull = jax.vjp(lambda state, *constants: hoisted(state, 1 - s, *constants), both[0], *constants)
            return jax.tree.map(jnp.negative, slope), *pull(both[1])

        nothing = jax.tree.map(jnp.zeros_like, constants)
        found = _integrated(back, (end, cotangent, *nothing), steps)
        return tuple(found[1:])

    flow.defvjp(forwards, backwards)
    return flow(state, *constants)


def _integrated(rate: Rate, state: Any, steps: int) -> Any:
    """One loop over the stages of all steps: `rate` is compiled once, and recomputed for its derivative."""
    dtype = jax.tree.leaves(state)[0].dtype
    h = jnp.asarray(1 / steps, dtype)
    nodes, weights = jnp.array([0, 0.5, 0.5, 1], dtype), jnp.array([1 / 6, 1 / 3, 1 / 3, 1 / 6], dtype)

    def moved(state: Any, slope: Any, by: Array) -> Any:
        return jax.tree.map(lambda y, k: y + by * k, state, slope)

    def stage(carry: tuple[Any, Any, Any], at: Array) -> tuple[tuple[Any, Any, Any], None]:
        state, slope, total = carry
        step, k = at // 4, at % 4
        slope = rate(moved(state, slope, nodes[k] * h), (step.astype(dtype) + nodes[k]) * h)
        total = moved(total, slope, weights[k] * h)
        return (jax.tree.map(lambda old, new: jnp.where(k == 3, new, old), state, total), slope, total), None

    slope = jax.eval_shape(rate, state, h)  # of its own dtype: a state may be carried in higher precision
    at_rest = jax.tree.map(lambda k: jnp.zeros(k.shape, k.dtype), slope)
    return jax.lax.scan(jax.checkpoint(stage), (state, at_rest, state), jnp.arange(4 * steps))[0][0]
