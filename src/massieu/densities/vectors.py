"""Densities of vectors as densities of fields: couplings and continuous flows on all sites of a lattice in C order."""

from __future__ import annotations

import itertools
from typing import Any

import equinox as eqx
import numpy as np
import paramax
from flowjax import bijections, flows
from flowjax.distributions import AbstractDistribution, StandardNormal, Transformed
from jax import Array

from massieu.densities.continuous import ContinuousFlow, Scaled
from massieu.densities.neural_ode import standard_normal
from massieu.geometry import point_group

MOST_TURNED = 64  # sites up to which the point group is worth its cost beside translations


def coupling(kind: str, d: int, *, width: int = 50, depth: int = 8, key: Array) -> Transformed:
    """A density of shape (d,) by `depth` couplings: affine ("realnvp") or rational-quadratic ("spline"); flowjax's.

    Dinh, Sohl-Dickstein and Bengio (2017); Durkan, Bekasov, Murray and Papamakarios (2019).
    """
    spline = {"transformer": bijections.RationalQuadraticSpline(knots=8, interval=4)} if kind == "spline" else {}
    of_layers: dict[str, Any] = {"nn_width": width, "flow_layers": depth, **spline}
    return flows.coupling_flow(key, base_dist=standard_normal(d), **of_layers)


def coupled_field(kind: str, sides: tuple[int, ...], spread: float, key: Array, **sizes: int) -> Transformed:
    """`coupling` for a field of shape `sides` that has about the standard deviation `spread`; sizes: width, depth."""
    flow = coupling(kind, int(np.prod(sides)), key=key, **sizes)
    scale = paramax.non_trainable(bijections.Affine(np.zeros(sides), np.full(sides, spread)))
    normal = StandardNormal(sides)  # type: ignore[call-arg]
    return Transformed(normal, bijections.Chain([bijections.Reshape(flow.bijection, sides), scale]))


class OnLattice(ContinuousFlow):
    """A continuous flow of vectors (d,) as one of fields (*sides), from independent normal sites of a learned width."""

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)
    base: AbstractDistribution
    steps: int
    flow: ContinuousFlow

    def __init__(self, flow: ContinuousFlow, sides: tuple[int, ...], width: float):
        self.shape, self.cond_shape, self.steps, self.flow = sides, None, flow.steps, flow
        self.base = Scaled(StandardNormal(sides), width)  # type: ignore[call-arg]

    def velocity(self, x: Array, t: Array, condition: Array | None = None) -> tuple[Array, Array]:
        v, divergence = self.flow.velocity(x.reshape(-1), t)
        return v.reshape(self.shape), divergence


class Reshaped(AbstractDistribution):
    """A density of configurations of one shape as one of configurations of another, sites in C order."""

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: tuple[int, ...] | None = eqx.field(static=True)
    base: AbstractDistribution

    def __init__(self, base: AbstractDistribution, shape: tuple[int, ...]):
        self.shape, self.cond_shape, self.base = shape, base.cond_shape, base

    @property
    def discrete(self) -> bool:
        """Whether the configurations of the base are."""
        return getattr(self.base, "discrete", False)

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        return self.base._log_prob(x.reshape(self.base.shape), condition)

    def _sample(self, key: Array, condition: Array | None = None) -> Array:
        return self.base._sample(key, condition).reshape(self.shape)

    def _sample_and_log_prob(self, key: Array, condition: Array | None = None) -> tuple[Array, Array]:
        x, log_prob = self.base._sample_and_log_prob(key, condition)
        return x.reshape(self.shape), log_prob


def reshaped(density: AbstractDistribution, shape: tuple[int, ...]) -> AbstractDistribution:
    """The density for configurations of another shape with as many numbers."""
    if tuple(density.shape) == shape:
        return density
    return OnLattice(density, shape, 1.0) if isinstance(density, ContinuousFlow) else Reshaped(density, shape)


def torus_symmetries(sides: tuple[int, ...]) -> np.ndarray:
    """Translations of a periodic lattice as permutations (G, d); with the point group up to MOST_TURNED sites."""
    sites = np.indices(sides).reshape(len(sides), -1).T
    shifts = np.array(list(itertools.product(*map(range, sides))))
    turns = [np.eye(len(sides), dtype=int)]
    if len(sites) <= MOST_TURNED:
        turns = [turn for turn in point_group(len(sides)) if np.array_equal(np.abs(turn) @ sides, sides)]
    images = np.concatenate([(sites @ turn.T + shifts[:, None]) % sides for turn in turns])
    return np.unique(np.ravel_multi_index(tuple(np.moveaxis(images, -1, 0)), sides), axis=0)
