"""Crystals: harmonic vibrations about the sites of a lattice, carried by a flow of central pair forces.

The centre of mass is at rest; its integral over one primitive cell (n^{3/2} volume/translations in the measure of the
positions) is part of ln p.  Labelled particles stay at their own sites, and the n! ways to label them cancel the 1/n!
of the partition function: F = -kT ln(Z/n!).
"""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flowjax.distributions import AbstractDistribution
from jax import Array

from massieu.densities.continuous import ContinuousFlow, chebyshev
from massieu.physics.crystals import Lattice, Vibrations

DEGENERATE = 1e-5  # relative distance of stiffnesses that symmetry makes equal
REACH = 2.0  # widths of a shell: the unit of the polynomials, which fade out beyond it


class HarmonicCrystal(AbstractDistribution):
    """Gaussian vibrations with energy/kT = sum_m stiffness_m u_m^2/2; degenerate modes share a trainable scale.

    Shape (n, 3).  A translation of all particles does not change ln p; samples have their centre of mass at rest.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)
    lattice: Lattice
    vibrations: Vibrations
    group: np.ndarray  # of each mode
    log_volume: float  # of the centre of mass
    log_scale: Array  # (groups,)

    def __init__(self, lattice: Lattice, vibrations: Vibrations):
        self.shape, self.cond_shape = lattice.sites.shape, None
        self.lattice, self.vibrations = lattice, vibrations
        steps = np.diff(vibrations.stiffness, prepend=vibrations.stiffness[0])
        self.group = np.cumsum(steps > DEGENERATE * vibrations.stiffness)
        self.log_volume = log_volume(lattice)
        self.log_scale = jnp.zeros(int(self.group[-1]) + 1)

    def _widths(self) -> Array:
        return jnp.exp(self.log_scale)[self.group] / jnp.asarray(np.sqrt(self.vibrations.stiffness), self.dtype)

    @property
    def dtype(self):
        return self.log_scale.dtype

    def _sample(self, key: Array, condition: Array | None = None) -> Array:
        noise = jax.random.normal(key, (len(self.group),), self.dtype)
        moved = jnp.asarray(self.vibrations.modes, self.dtype) @ (self._widths() * noise)
        return jnp.asarray(self.lattice.sites, self.dtype) + moved.reshape(self.shape)

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        moved = (x - jnp.asarray(self.lattice.sites, x.dtype)).reshape(-1)  # the modes are blind to translations
        widths = self._widths()
        z = (jnp.asarray(self.vibrations.modes, x.dtype).T @ moved) / widths
        constant = 0.5 * len(self.group) * math.log(2 * math.pi) + self.log_volume
        return -0.5 * jnp.sum(z**2) - jnp.sum(jnp.log(widths)) - constant


class CrystalFlow(ContinuousFlow):
    """dx_i/dt = sum_j F_s(|r_ij|, t) r_ij/|r_ij| over the pairs of the first shells s of neighbours.

    r_ij is the separation along the lattice vector of the pair, so that there is no image to choose.  F_s is a
    polynomial in (|r| - d_s)/w_s, d_s and w_s the distance and its width in the harmonic crystal, faded out far from
    the shell; its coefficients are polynomials in t.  The divergence F' + 2F/|r| is exact.  All symmetries of the
    crystal are kept.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)
    base: HarmonicCrystal
    steps: int
    between: np.ndarray  # (pairs, n): 1 at one particle, -1 at the other
    apart: np.ndarray  # (pairs, 3): separation of the sites less that of the wrapped sites
    shell: np.ndarray  # (pairs,)
    distance: np.ndarray  # (shells,)
    width: np.ndarray  # (shells,)
    force: Array  # (harmonics, shells, degrees)

    def __init__(self, base: HarmonicCrystal, *, shells: int = 3, degrees: int = 5, harmonics: int = 3, steps: int = 5):
        self.base, self.shape, self.cond_shape, self.steps = base, base.shape, None, steps
        first, second, self.apart, self.shell, self.distance = neighbour_pairs(base.lattice, shells)
        self.between = np.eye(len(base.lattice.sites))[first] - np.eye(len(base.lattice.sites))[second]
        self.width = self._harmonic_widths()
        self.force = jnp.zeros((harmonics, len(self.distance), degrees))

    def _harmonic_widths(self) -> np.ndarray:
        """Standard deviation of the distance in each shell of the harmonic crystal."""
        direction = self.between @ self.base.lattice.sites + self.apart
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        stretch = (self.between[:, :, None] * direction[:, None]).reshape(len(direction), -1)
        variance = np.sum((stretch @ self.base.vibrations.modes) ** 2 / self.base.vibrations.stiffness, axis=1)
        return np.sqrt([np.mean(variance[self.shell == s]) for s in range(len(self.distance))])

    def velocity(self, x: Array, t: Array, condition: Array | None = None) -> tuple[Array, Array]:
        """v (n, 3) and its divergence."""
        dtype, degrees = x.dtype, self.force.shape[-1]
        weights = jnp.tensordot(chebyshev(jnp.asarray(t, dtype), len(self.force)), self.force, 1)[self.shell]
        between, width = jnp.asarray(self.between, dtype), jnp.asarray(self.width, dtype)[self.shell]
        r = between @ x + jnp.asarray(self.apart, dtype)
        length = jnp.sqrt(jnp.sum(r**2, axis=1))
        y = (length - jnp.asarray(self.distance, dtype)[self.shell]) / (REACH * width)
        along, steepness = weights[:, -1], jnp.zeros_like(y)
        for k in range(degrees - 2, -1, -1):  # Horner's scheme for the polynomial and its derivative
            along, steepness = along * y + weights[:, k], steepness * y + along
        fade = jnp.exp(-0.5 * y**2)
        force = width * fade * along
        slope = fade * (steepness - along * y) / REACH
        v = between.T @ (r * (force / length)[:, None])
        return v, 2 * jnp.sum(slope + 2 * force / length)


def log_volume(lattice: Lattice) -> float:
    """ln of the centre-of-mass part of the integral over positions: n^{3/2} volume/translations."""
    return 1.5 * math.log(len(lattice.sites)) + float(np.sum(np.log(lattice.box))) - math.log(lattice.translations)


def neighbour_pairs(lattice: Lattice, shells: int) -> tuple[np.ndarray, ...]:
    """Pairs i < j of the first shells: i, j, image shift (P, 3), shell (P,), and the distances of the shells."""
    sites, box = lattice.sites, lattice.box
    first, second = np.triu_indices(len(sites), 1)
    grid = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) * box
    r = (sites[first] - sites[second])[:, None] + grid
    lengths = np.sqrt(np.sum(r**2, axis=-1))
    known = np.sort(lengths.ravel())
    known = known[np.diff(known, prepend=0.0) > 1e-6 * known[0]][:shells]
    pair, image = np.nonzero(lengths < known[-1] * (1 + 1e-6))
    shell = np.searchsorted(known * (1 + 1e-6), lengths[pair, image])
    return first[pair], second[pair], grid[image], shell, known
