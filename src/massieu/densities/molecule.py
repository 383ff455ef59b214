"""Densities of molecules: a density of the internal coordinates, with place and orientation integrated exactly."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flowjax.distributions import AbstractDistribution
from jax import Array

from massieu.densities.continuous import ContinuousFlow
from massieu.densities.neural_ode import NeuralODE
from massieu.physics.molecules import Frame

EXCLUDED = 100.0  # added to ln p where the frame is left


class InFrame(AbstractDistribution):
    """x = positions + modes (widths z), z (3n - 6,) from the flow `internal`; shape (n, 3).

    ln p(x) = ln p(z) - sum ln widths - ln |dx/d(centroid, rotation, q)| - ln(8 pi^2), per unit of volume: the same for
    every place and orientation, of which samples have one.  Atoms are labelled.

    A molecule that folds over has the shape of another one in the frame: such samples are weighed as if they had
    exp(-EXCLUDED) of their weight, so that every shape counts once and F stays a bound.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)
    frame: Frame
    widths: np.ndarray
    internal: ContinuousFlow

    def __init__(self, frame: Frame, widths: np.ndarray, internal: ContinuousFlow):
        self.shape, self.cond_shape = frame.positions.shape, None
        self.frame, self.widths, self.internal = frame, np.asarray(widths, float), internal

    def _placed(self, z: Array) -> tuple[Array, Array]:
        """x at z, and ln p(x) - ln p(z)."""
        moved = jnp.asarray(self.frame.modes, z.dtype) @ (jnp.asarray(self.widths, z.dtype) * z)
        x = jnp.asarray(self.frame.positions, z.dtype) + moved.reshape(self.shape)
        constant = math.log(8 * math.pi**2) + float(np.sum(np.log(self.widths)))
        folded = jnp.where(self.frame.folded(x), EXCLUDED, 0.0)
        return x, folded - constant - self.frame.log_volume(x)

    def _sample_and_log_prob(self, key: Array, condition: Array | None = None) -> tuple[Array, Array]:
        z, log_prob = self.internal._sample_and_log_prob(key)
        x, change = self._placed(z)
        return x, log_prob + change

    def _sample(self, key: Array, condition: Array | None = None) -> Array:
        return self._placed(self.internal._sample(key))[0]

    def sample_and_score(self, key: Array, condition: Array | None = None) -> tuple[Array, Array, Array]:
        """x, ln p(x) and d ln p/dx along the internal coordinates; see `ContinuousFlow.sample_and_score`."""
        z, log_prob, score = self.internal.sample_and_score(key)
        x, _ = self._placed(z)
        change, slope = jax.value_and_grad(lambda z: self._placed(z)[1])(jax.lax.stop_gradient(z))
        along = jnp.asarray(self.frame.modes, z.dtype) @ ((score + slope) / jnp.asarray(self.widths, z.dtype))
        return x, log_prob + change, along.reshape(self.shape)

    def for_evaluation(self) -> InFrame:
        """The same density with the finer time steps of its flow."""
        return eqx.tree_at(lambda density: density.internal, self, self.internal.for_evaluation())

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        moved = self.frame.superposed(x) - jnp.asarray(self.frame.positions, x.dtype)
        z = (jnp.asarray(self.frame.modes, x.dtype).T @ moved.reshape(-1)) / jnp.asarray(self.widths, x.dtype)
        return self.internal._log_prob(z) + self._placed(z)[1]


def molecular_flow(frame: Frame, beta: float, *, key: Array, **sizes: Any) -> InFrame:
    """A continuous flow of the normal modes that starts as the harmonic molecule at beta; sizes: width, depth."""
    flow = NeuralODE(len(frame.stiffness), key=key, **sizes)
    return InFrame(frame, 1 / np.sqrt(beta * frame.stiffness), flow)
