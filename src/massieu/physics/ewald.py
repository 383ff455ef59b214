"""Ewald sums of point charges in a periodic square (1/r interaction, 2D) or cubic (3D) box of side 1.

Energies in units of e^2/L (Hartree atomic units: divide by L; Rydberg: 2/L).  Each cell carries a neutralising
background, and the interaction of a charge with its own images is included (Fraser et al., Phys. Rev. B 53, 1814
(1996); Parry, Surf. Sci. 49, 433 (1975) for two dimensions).  The reciprocal part is a sum over structure factors,
O(n) per vector, not over pairs.
"""

from __future__ import annotations

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.geometry import half_space, integer_vectors, minimum_image, plane_waves
from massieu.precision import double_precision

SCREENING = {2: 5.0, 3: 5.0}  # eta L: the real-space part reaches the nearest images
DIGITS = 31.0  # terms below exp(-31) = 3e-14 are left out


class Ewald(eqx.Module):
    """Energy of charges in the periodic unit box; `charges` (n,), the same for all when left out.

    Relative accuracy about 1e-12.
    """

    dim: int = eqx.field(static=True)
    images: np.ndarray
    vectors: np.ndarray
    weights: np.ndarray

    def __init__(self, dim: int):
        eta = SCREENING[dim]
        half = half_space(integer_vectors(dim, eta * math.sqrt(DIGITS) / math.pi))
        k = 2 * math.pi * np.linalg.norm(half, axis=1)
        self.dim = dim
        self.images = np.array(list(itertools.product((-1, 0, 1), repeat=dim)), float)
        self.vectors = half
        if dim == 2:  # 2 pi/k erfc(k/2 eta), both halves
            self.weights = 2 * math.pi * np.array([math.erfc(v / (2 * eta)) / v for v in k]) * 2
        else:  # 4 pi/k^2 exp(-k^2/4 eta^2)
            self.weights = 4 * math.pi * np.exp(-((k / (2 * eta)) ** 2)) / k**2 * 2

    def energy(self, x: Array, charges: Array | None = None) -> Array:
        """Total energy (e^2/L) of charges at x (n, dim) in units of the box, self-images included."""
        n = len(x)
        q = jnp.ones(n) if charges is None else charges
        return self._real(x, q) + self._reciprocal(x, q) + self._constant(q)

    def _real(self, x: Array, q: Array) -> Array:
        i, j = np.triu_indices(len(x), 1)
        r = minimum_image(x[i] - x[j])
        distance = jnp.sqrt(jnp.sum((r[:, None] + self.images[None]) ** 2, axis=-1))
        return jnp.sum((q[i] * q[j])[:, None] * jax.scipy.special.erfc(SCREENING[self.dim] * distance) / distance)

    def _reciprocal(self, x: Array, q: Array) -> Array:
        amplitude = q @ plane_waves(x, self.vectors)
        return 0.5 * jnp.sum(self.weights * (amplitude.real**2 + amplitude.imag**2))

    def _constant(self, q: Array) -> Array:
        """Screening charges on themselves, self-images of the real-space part, and the background."""
        eta, dim = SCREENING[self.dim], self.dim
        own = -eta / math.sqrt(math.pi)
        distance = np.linalg.norm(self.images[np.any(self.images != 0, axis=1)], axis=1)
        own += 0.5 * sum(math.erfc(eta * r) / r for r in distance)
        background = -math.sqrt(math.pi) / eta if dim == 2 else -math.pi / (2 * eta**2)
        return own * jnp.sum(q**2) + background * jnp.sum(q) ** 2


def madelung(dim: int) -> float:
    """Energy (e^2/L) of one charge with its own images and background, times two: xi, -3.9003 (2D), -2.8373 (3D)."""
    with double_precision():
        return 2 * float(Ewald(dim).energy(jnp.zeros((1, dim))))
