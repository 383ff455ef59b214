"""Densities that do not know where zero is: the first site is uniform on its circle, the others follow from it."""

from __future__ import annotations

import heapq
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flowjax.distributions import AbstractDistribution
from jax import Array

from massieu.densities.torus import CircularSpline, wrapped


class Relative(AbstractDistribution):
    """p(x) = p_0(x_1 - x_parent(1), .., x_{n-1} - x_parent(n-1))/length: exactly invariant under turns of all sites.

    base: shape (n - 1,), of angles on a circle of length 2 pi, or of the states 0 .. q - 1 of a circle of length q.
    parents: (n,), a tree with the root 0 (all are children of 0 by default); along strong bonds the differences are
    nearly independent, and exactly on a graph that is a tree.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: tuple[int, ...] | None = eqx.field(static=True)
    base: AbstractDistribution
    states: int | None = eqx.field(static=True)
    parents: np.ndarray
    ancestors: np.ndarray  # (n, n - 1): x = first + ancestors @ differences

    def __init__(self, base: AbstractDistribution, parents: np.ndarray | None = None):
        n = base.shape[0] + 1
        self.shape, self.cond_shape, self.base = (n,), base.cond_shape, base
        self.states = getattr(base, "states", None)
        self.parents = np.zeros(n, int) if parents is None else np.asarray(parents, int)
        step = np.eye(n)
        step[np.arange(1, n), self.parents[1:]] -= 1
        self.ancestors = np.linalg.inv(step).round()[:, 1:]

    @property
    def discrete(self) -> bool:
        """Whether x is."""
        return self.states is not None

    def _around(self, x: Array) -> Array:
        return wrapped(x) if self.states is None else jnp.mod(x, self.states)

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        length = 2 * math.pi if self.states is None else self.states
        return self.base._log_prob(self._around(x - x[self.parents])[1:], condition) - math.log(length)

    def _sample_and_log_prob(self, key: Array, condition: Array | None = None) -> tuple[Array, Array]:
        of_first, of_others = jax.random.split(key)
        others, log_prob = self.base._sample_and_log_prob(of_others, condition)
        if self.states is None:
            first = jax.random.uniform(of_first, (1,), others.dtype, -jnp.pi, jnp.pi)
            log_prob = log_prob - math.log(2 * math.pi)
        else:
            first = jax.random.randint(of_first, (1,), 0, self.states, others.dtype)
            log_prob = log_prob - math.log(self.states)
        along = jnp.asarray(self.ancestors, others.dtype) @ others
        return self._around(along + jnp.broadcast_to(first, along.shape)), log_prob

    def _sample(self, key: Array, condition: Array | None = None) -> Array:
        return self._sample_and_log_prob(key, condition)[0]


def relative_angles(couplings: np.ndarray, *, free: bool, key: Array, **sizes: int) -> AbstractDistribution:
    """Circular splines of n angles; where they are free to turn together, of the differences along strong bonds."""
    n = len(couplings)
    if not free or n == 1:
        return CircularSpline(n, key=key, **sizes)
    return Relative(CircularSpline(n - 1, key=key, **sizes), strong_tree(couplings))


def strong_tree(couplings: np.ndarray) -> np.ndarray:
    """Parents (n,) of a spanning tree with the root 0 that takes the strongest bonds, and of those the nearest to it.

    Sites without a way to the root are its children.
    """
    parents, depth = np.zeros(len(couplings), int), {0: 0}
    heap: list[tuple[float, int, int, int]] = []

    def reach(site: int) -> None:
        for other in map(int, np.flatnonzero(couplings[site])):
            heapq.heappush(heap, (-abs(couplings[site, other]), depth[site] + 1, other, site))

    reach(0)
    while heap:
        _, deep, site, parent = heapq.heappop(heap)
        if site not in depth:
            parents[site], depth[site] = parent, deep
            reach(site)
    return parents
