"""A map z = G_S(x) of electrons among protons at S: layers, each the gradient of a convex function of all electrons,

    x_i -> x_i + sum_j grad u(x_i - x_j) + sum_I grad w(x_i - S_I)

with u and w plane waves and functions with a cusp.  Their curvatures are bounded (`projected`), so that every layer is
a bijection of the torus wherever electrons and protons are.
"""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.geometry import plane_waves
from massieu.linear_algebra import inverse_and_log_det_spd
from massieu.states import cusped_potential
from massieu.states.pair_flow import (
    BOUND,
    FlowJet,
    PairFlow,
    between,
    lowest_curvature,
    pair_jacobian,
    squared_change,
    wave_derivatives,
)

SHARE = 0.5  # of the bound on the curvature, for the potentials of protons; the rest is for those of electrons
RANGES = 0.4, 0.8, 1.6  # a0, of the potentials with a cusp


class AtomicFlow(eqx.Module):
    """Layers for electrons of two spins in a box of side `length` (a0); positions in units of the box.

    radius: of the Fourier vectors of u and w.
    """

    pairs: PairFlow
    single: Array  # (layers, V): of w
    ranges: np.ndarray  # (R,), units of the box
    highest: np.ndarray  # (R,): curvatures of the functions with a cusp
    pair_cusps: Array  # (layers, kinds, R)
    single_cusps: Array  # (layers, R)

    def __init__(self, spins: tuple[int, int], length: float, *, layers: int, radius: float, key: Array):
        self.pairs = PairFlow(spins, 3, layers=layers, radius=radius, by_momentum=False, key=key)
        self.single = jnp.zeros((layers, len(self.pairs.vectors)))
        self.ranges = np.array(RANGES) / length
        self.highest = cusped_potential.highest_curvature(self.ranges)
        self.pair_cusps = jnp.zeros((layers, self.pairs.coefficients.shape[2], len(RANGES)))
        self.single_cusps = jnp.zeros((layers, len(RANGES)))

    def __call__(self, protons: Array, x: Array) -> tuple[Array, Array]:
        """z (N, 3) and ln det dz/dx."""
        log_det = jnp.zeros(())
        for layer in self._layers(protons):
            (push, stretch), (pull, bend) = self._derivatives(layer, protons, x, 2)
            log_det = log_det + inverse_and_log_det_spd(pair_jacobian(stretch) + _diagonal(bend))[1]
            x = x + jnp.sum(push, axis=1) + pull
        return x, log_det

    def jet(self, protons: Array, x: Array) -> FlowJet:
        """z with everything for the local energy, layer by layer."""
        n, dim = x.shape
        jacobian, laplacian = jnp.eye(n * dim), jnp.zeros(n * dim)
        gradient, half, log_det, least = jnp.zeros(n * dim), jnp.zeros(()), jnp.zeros(()), jnp.asarray(jnp.inf)
        for layer in self._layers(protons):
            of_pairs, of_protons = self._derivatives(layer, protons, x, 4)
            (push, stretch, third, fourth), (pull, bend, third_own, fourth_own) = of_pairs, of_protons
            here = pair_jacobian(stretch) + _diagonal(bend)
            inverse, of_layer, pivot = inverse_and_log_det_spd(here)
            log_det, least = log_det - of_layer, jnp.minimum(least, pivot)
            (metric, metric_own), (response, response_own) = (
                (between(m, n, dim), _blocks(m, n, dim)) for m in (jacobian @ jacobian.T, inverse)
            )

            def contracted(m: Array, own: Array, third: Array = third, third_own: Array = third_own) -> Array:
                return (jnp.einsum("ijabc,ijbc->ia", third, m) + jnp.einsum("iabc,ibc->ia", third_own, own)).reshape(-1)

            slope = 0.5 * contracted(response, response_own)
            gradient = gradient + jacobian.T @ slope
            half = half + slope @ laplacian - 0.5 * squared_change(third, inverse, jacobian, third_own)
            half = half + 0.25 * jnp.einsum("ijabcd,ijab,ijcd->", fourth, response, metric)
            half = half + 0.5 * jnp.einsum("iabcd,iab,icd->", fourth_own, response_own, metric_own)
            laplacian = here @ laplacian + contracted(metric, metric_own)
            jacobian = here @ jacobian
            x = x + jnp.sum(push, axis=1) + pull
        return FlowJet(x, log_det, jacobian, laplacian, gradient, half, least)

    def projected(self) -> AtomicFlow:
        """The same with potentials inside the bound that makes every layer a bijection."""
        n, vectors, star = sum(self.pairs.spins), self.pairs.vectors, self.pairs.star

        def scale(waves: Array, cusps: Array, share: float) -> Array:
            """Factor (.., 1) <= 1 after which no second derivative is below -share BOUND/n."""
            worst = -n * jnp.minimum(lowest_curvature(waves[..., star], vectors), 0.0)
            worst = worst - n * cusped_potential.lowest_curvature(cusps, self.highest)
            return jnp.minimum(1.0, share * BOUND / jnp.maximum(worst, 1e-12))[..., None]

        c = self.pairs.coefficients
        of_pairs = scale(c[:, 0], self.pair_cusps, 1 - SHARE)
        of_protons = scale(self.single, self.single_cusps, SHARE)
        return eqx.tree_at(
            lambda s: (s.pairs.coefficients, s.pair_cusps, s.single, s.single_cusps),
            self,
            (
                c * of_pairs[:, None],
                self.pair_cusps * of_pairs,
                self.single * of_protons,
                self.single_cusps * of_protons,
            ),
        )

    def _layers(self, protons: Array) -> list[tuple[Array, Array, Array, Array]]:
        """For each layer: waves of u; waves of sum_I w; coefficients of the cusps of u and of w."""
        star = self.pairs.star
        rho = jnp.sum(plane_waves(protons, self.pairs.vectors), axis=0).conj()
        waves = self.pairs.coefficients[:, 0][..., star], self.single[:, star] * rho[None]
        return list(zip(*waves, self.pair_cusps, self.single_cusps, strict=True))

    def _derivatives(self, layer: tuple[Array, ...], protons: Array, x: Array, orders: int) -> tuple[list[Array], ...]:
        """Derivatives of order 1, 2, .. of u (N, N, 3, ..) at all pairs, and of sum_I w (N, 3, ..)."""
        waves, waves_own, cusps, cusps_own = layer
        kinds, every = self.pairs.kinds if len(cusps) > 1 else np.zeros_like(self.pairs.kinds), range(1, orders + 1)
        smooth = self.pairs.derivatives(waves, x, tuple(every))
        sharp = cusped_potential.derivatives(
            cusps[kinds], self.ranges, x[:, None] - x[None], np.eye(len(x)), orders=orders
        )
        own = plane_waves(x, self.pairs.vectors) * waves_own[None]
        smooth_own = wave_derivatives(own, self.pairs.vectors, tuple(every))
        sharp_own = cusped_potential.derivatives(cusps_own, self.ranges, x[:, None] - protons[None], orders=orders)
        of_pairs = [a + b for a, b in zip(smooth, sharp, strict=True)]
        return of_pairs, [a + jnp.sum(b, axis=1) for a, b in zip(smooth_own, sharp_own, strict=True)]


def _diagonal(blocks: Array) -> Array:
    """Block-diagonal (N dim, N dim) of blocks (N, dim, dim)."""
    n, dim, _ = blocks.shape
    return (jnp.eye(n)[:, None, :, None] * blocks[:, :, None, :]).reshape(n * dim, n * dim)


def _blocks(m: Array, n: int, dim: int) -> Array:
    """The blocks (N, dim, dim) on the diagonal."""
    return jnp.einsum("iaib->iab", m.reshape(n, dim, n, dim))
