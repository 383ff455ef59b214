"""Orbitals of the harmonic oscillator (hbar = m = omega = 1): values, derivatives, and exact sampling of |phi|^2.

    dim 1   h_n(x), quantum numbers (n,)
    dim 2   circular states of n_+ and n_- quanta, energy n_+ + n_- + 1, angular momentum n_+ - n_-
    dim 3   circular states in the plane times h_n(z), quantum numbers (n_+, n_-, n_z)

All come from the recursions of the ladder operators.  With w = x + iy:  w = a_+^+ + a_-,  d/dx = (a_+ + a_- - c.c.)/2.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jax import Array

GRID = 400  # bins of the envelopes from which positions are proposed
MARGIN = 1.02  # of an envelope above the largest value found in a bin
PROBES = 40  # points of a bin at which it is looked for


class OrbitalJet(NamedTuple):
    """Orbitals (N, P) at points, their gradients (N, P, dim) and second derivatives (N, P, dim, dim)."""

    value: Array
    first: Array
    second: Array


def quantum_numbers(dim: int, shells: int) -> np.ndarray:
    """All quantum numbers (M, dim) of the shells of 0 .. shells - 1 quanta, by rising energy."""
    grid = np.indices((shells,) * dim).reshape(dim, -1).T
    kept = grid[grid.sum(axis=1) < shells]
    m = angular_momentum(kept)
    order = np.lexsort((*np.abs(kept.T[::-1]), m, np.abs(m), kept.sum(axis=1)))
    return kept[order]


def angular_momentum(numbers: Any) -> Any:
    """n_+ - n_- (...,) about the z axis of quantum numbers (..., dim), of NumPy or JAX; zero on a line."""
    return numbers[..., 0] - numbers[..., 1] if numbers.shape[-1] > 1 else 0 * numbers[..., 0]


def orbital_jet(numbers: Array, z: Array, most: int) -> OrbitalJet:
    """Orbitals with quantum numbers (N, dim), none above `most`, at points z (P, dim); complex in two and three."""
    if z.shape[1] == 1:
        value, first, second = _line(numbers[:, 0], z[:, 0], most)
        return OrbitalJet(value, first[..., None], second[..., None, None])
    value, gradient, hessian = _plane(numbers[:, :2], z[:, :2], most)
    if z.shape[1] == 2:
        return OrbitalJet(value, gradient, hessian)
    h, slope, bend = _line(numbers[:, 2], z[:, 2], most)
    first = jnp.concatenate([gradient * h[..., None], (value * slope)[..., None]], axis=-1)
    mixed = gradient * slope[..., None]
    upper = jnp.concatenate([hessian * h[..., None, None], mixed[..., None]], axis=-1)
    lower = jnp.concatenate([mixed, (value * bend)[..., None]], axis=-1)
    return OrbitalJet(value * h, first, jnp.concatenate([upper, lower[..., None, :]], axis=-2))


def orbital_values(numbers: Array, z: Array, most: int) -> Array:
    """Orbitals (N, P) alone."""
    if z.shape[1] == 1:
        return hermite_functions(z[:, 0], most)[numbers[:, 0]]
    value = circular_functions(z[:, :2], most)[numbers[:, 0], numbers[:, 1]]
    return value if z.shape[1] == 2 else value * hermite_functions(z[:, 2], most)[numbers[:, 2]]


def hermite_functions(x: Array, most: int) -> Array:
    """h_0 .. h_most at x (P,): (most + 1, P), orthonormal on the line."""
    rows = [math.pi**-0.25 * jnp.exp(-0.5 * x**2)]
    for n in range(most):
        below = rows[-2] if n else jnp.zeros_like(x)
        rows.append((math.sqrt(2.0) * x * rows[-1] - math.sqrt(n) * below) / math.sqrt(n + 1))
    return jnp.stack(rows)


def circular_functions(z: Array, most: int) -> Array:
    """phi of n_+, n_- = 0 .. most at z (P, 2): (most + 1, most + 1, P), complex, orthonormal in the plane.

    w phi(p, q) = sqrt(p + 1) phi(p + 1, q) + sqrt(q) phi(p, q - 1); phi(q, p) is the conjugate of phi(p, q).
    """
    w = jax.lax.complex(z[:, 0], z[:, 1])
    roots = jnp.sqrt(jnp.arange(1.0, most + 2))
    start = jnp.exp(-0.5 * jnp.sum(z**2, axis=1)) / math.sqrt(math.pi)

    def along(phi: Array, root: Array) -> tuple[Array, Array]:
        return w * phi / root, phi

    _, column = jax.lax.scan(along, start + 0j, roots)  # phi(p, 0)

    def across(state: tuple[Array, Array], root: Array) -> tuple[tuple[Array, Array], Array]:
        phi, _ = state
        lowered = jnp.concatenate([jnp.zeros_like(phi[:1]), phi[:-1]]) * jnp.sqrt(jnp.arange(most + 1.0))[:, None]
        return ((jnp.conj(w)[None] * phi - lowered) / root, phi), phi

    _, table = jax.lax.scan(across, (column, column), roots)
    return jnp.swapaxes(table, 0, 1)


def _line(n: Array, x: Array, most: int) -> tuple[Array, Array, Array]:
    """h_n, h_n' = sqrt(n/2) h_{n-1} - sqrt((n+1)/2) h_{n+1} and h_n'' = (x^2 - 2n - 1) h_n."""
    table = hermite_functions(x, most + 1)
    value, up = table[n], table[n + 1]
    down = jnp.where((n > 0)[:, None], table[jnp.maximum(n - 1, 0)], 0.0)
    first = jnp.sqrt(n / 2)[:, None] * down - jnp.sqrt((n + 1) / 2)[:, None] * up
    return value, first, (x[None] ** 2 - (2 * n + 1)[:, None]) * value


def _plane(numbers: Array, z: Array, most: int) -> tuple[Array, Array, Array]:
    """Circular states with their gradients and second derivatives, by d/dw and d/dw* as ladder operators.

    d/dw = (a_+ - a_-^+)/2,  d/dw* = (a_- - a_+^+)/2;  d/dx = d/dw + d/dw*,  d/dy = i (d/dw - d/dw*).
    """
    table = circular_functions(z, most + 2)
    p, q = numbers[:, 0], numbers[:, 1]

    def at(i: Array, j: Array) -> Array:
        inside = ((i >= 0) & (j >= 0))[:, None]
        return jnp.where(inside, table[jnp.maximum(i, 0), jnp.maximum(j, 0)], 0.0)

    def root(k: Array) -> Array:
        return jnp.sqrt(jnp.maximum(k, 0))[:, None]

    def by_w(i: Array, j: Array) -> Array:
        return 0.5 * (root(i) * at(i - 1, j) - root(j + 1) * at(i, j + 1))

    def by_conjugate(i: Array, j: Array) -> Array:
        return 0.5 * (root(j) * at(i, j - 1) - root(i + 1) * at(i + 1, j))

    value = at(p, q)
    d, c = by_w(p, q), by_conjugate(p, q)
    dd = 0.5 * (root(p) * by_w(p - 1, q) - root(q + 1) * by_w(p, q + 1))
    cc = 0.5 * (root(q) * by_conjugate(p, q - 1) - root(p + 1) * by_conjugate(p + 1, q))
    dc = 0.25 * (jnp.sum(z**2, axis=1)[None] - 2 * (p + q + 1)[:, None]) * value  # the Laplacian is 4 d/dw d/dw*
    gradient = jnp.stack([d + c, 1j * (d - c)], axis=-1)
    xx, xy, yy = dd + 2 * dc + cc, 1j * (dd - cc), -(dd - 2 * dc + cc)
    return value, gradient, jnp.stack([jnp.stack([xx, xy], axis=-1), jnp.stack([xy, yy], axis=-1)], axis=-2)


# ---- sampling


class Envelope(NamedTuple):
    """Step functions above the densities of single coordinates, one row a kind of orbital.

    In the plane of s = r^2 (density of s, rows by min(n_+, n_-) and max), on a line of x.  `edges` (G + 1,), `heights`
    (R, G), cumulated `weights` (R, G) up to 1 and their sums `total` (R,).
    """

    edges: np.ndarray
    heights: np.ndarray
    weights: np.ndarray
    total: np.ndarray

    @classmethod
    def above(cls, density: np.ndarray, edges: np.ndarray) -> Envelope:
        """From densities (R, G, PROBES) at points of the bins."""
        heights = MARGIN * density.max(axis=2) + 1e-12
        mass = heights * np.diff(edges)
        total = mass.sum(axis=1)
        return cls(edges, heights, np.cumsum(mass, axis=1) / total[:, None], total)

    def sample(self, key: Array, row: Array) -> Array:
        """A coordinate from the step function of a row."""
        choose, place = jax.random.split(key)
        at = jnp.searchsorted(jnp.asarray(self.weights)[row], jax.random.uniform(choose))
        edges = jnp.asarray(self.edges)
        at = jnp.minimum(at, len(edges) - 2)
        return edges[at] + jax.random.uniform(place) * (edges[at + 1] - edges[at])

    def height(self, rows: Array, value: Array) -> Array:
        """The step functions of rows (N,) at one value (N,)."""
        at = jnp.clip(jnp.searchsorted(jnp.asarray(self.edges), value, side="right") - 1, 0, len(self.edges) - 2)
        return jnp.asarray(self.heights)[rows, at]


def _probes(edges: np.ndarray) -> np.ndarray:
    return edges[:-1, None] + np.linspace(0, 1, PROBES) * np.diff(edges)[:, None]


@lru_cache(maxsize=4)
def plane_envelope(most: int) -> Envelope:
    """Of s = r^2 for the circular states of up to `most` quanta; row (most + 1) min(p, q) + max(p, q)."""
    edges = np.linspace(0, math.sqrt(2 * most + 2) + 7.5, GRID + 1) ** 2
    s = _probes(edges)
    density = np.zeros((most + 1, most + 1, *s.shape))
    for n in range(most // 2 + 1):
        for larger in range(n, most - n + 1):  # p + q <= most in the shells kept
            m = larger - n
            gammaln, laguerre = scipy.special.gammaln, scipy.special.eval_genlaguerre
            log_norm = gammaln(n + 1) - gammaln(n + m + 1)
            density[n, larger] = np.exp(log_norm + m * np.log(s + 1e-300) - s) * laguerre(n, m, s) ** 2
    return Envelope.above(density.reshape(-1, *s.shape), edges)


@lru_cache(maxsize=4)
def line_envelope(most: int) -> Envelope:
    """Of x for h_0 .. h_most."""
    reach = math.sqrt(2 * most + 1) + 7.5
    edges = np.linspace(-reach, reach, GRID + 1)
    x = _probes(edges)
    table = np.asarray(hermite_functions(jnp.asarray(x.ravel()), most)).reshape(most + 1, *x.shape)
    return Envelope.above(table**2, edges)


class Proposals(NamedTuple):
    """Positions from densities a little above |phi|^2, whose values are known: what rejection sampling needs."""

    plane: Envelope | None
    line: Envelope | None

    @classmethod
    def of(cls, dim: int, most: int) -> Proposals:
        """For orbitals of dimension dim with quantum numbers up to `most`."""
        return cls(plane_envelope(most) if dim > 1 else None, line_envelope(most) if dim != 2 else None)

    def rows(self, numbers: Array) -> Array:
        """Rows of the plane's table for numbers (..., dim)."""
        assert self.plane is not None
        side = math.isqrt(len(self.plane.heights))
        return side * jnp.min(numbers[..., :2], axis=-1) + jnp.max(numbers[..., :2], axis=-1)

    def total(self, numbers: Array) -> Array:
        """Integrals (N,) of the densities above |phi|^2."""
        total = jnp.ones(numbers.shape[:-1])
        if self.plane is not None:
            total = total * jnp.asarray(self.plane.total)[self.rows(numbers)]
        return total if self.line is None else total * jnp.asarray(self.line.total)[numbers[..., -1]]

    def sample(self, key: Array, numbers: Array) -> Array:
        """A position (dim,) for one orbital (dim,)."""
        of_plane, of_angle, of_line = jax.random.split(key, 3)
        parts = []
        if self.plane is not None:
            r = jnp.sqrt(self.plane.sample(of_plane, self.rows(numbers)))
            angle = 2 * jnp.pi * jax.random.uniform(of_angle)
            parts += [r * jnp.cos(angle), r * jnp.sin(angle)]
        if self.line is not None:
            parts.append(self.line.sample(of_line, numbers[-1]))
        return jnp.stack(parts)

    def density(self, numbers: Array, z: Array) -> Array:
        """The densities (N,) above |phi|^2 of orbitals (N, dim) at one point z (dim,)."""
        density = jnp.ones(len(numbers))
        if self.plane is not None:
            s = jnp.broadcast_to(jnp.sum(z[:2] ** 2), len(numbers))
            density = self.plane.height(self.rows(numbers), s) / jnp.pi
        if self.line is not None:
            density = density * self.line.height(numbers[:, -1], jnp.broadcast_to(z[-1], len(numbers)))
        return density
