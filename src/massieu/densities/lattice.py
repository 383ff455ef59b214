"""Densities of real fields on a periodic lattice with all its symmetries built in: Gaussian fields and their flows.

    d phi_x/dt = sum_f sum_y C_f(x - y, t) s_f(phi_y),    s_0 = phi,  s_f = sin(f omega phi)

(Gerdes, de Haan, Rainone, Bondesan and Cheng, SciPost Phys. 15, 238 (2023)).  Kernels are even under the reflections
and, between sides of equal length, the rotations of the lattice, and s_f is odd: the density is invariant under
translations, the point group and phi -> -phi.  The divergence needs C_f at distance zero only.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flowjax.distributions import AbstractDistribution
from jax import Array

from massieu.densities.continuous import ContinuousFlow, chebyshev
from massieu.geometry import lattice_orbits


class GaussianField(AbstractDistribution):
    """phi = A z with white noise z and A diagonal in momentum space, one log amplitude for each orbit of momenta.

    spectrum: optional standard deviations of all modes (*sides) to start from.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)
    orbit: np.ndarray  # (*sides)
    log_amplitude: Array  # (orbits,)

    def __init__(self, sides: tuple[int, ...], spectrum: np.ndarray | None = None):
        self.shape, self.cond_shape = sides, None
        self.orbit = lattice_orbits(sides)
        sigma = np.ones(sides) if spectrum is None else spectrum
        counts = np.bincount(self.orbit.ravel())
        self.log_amplitude = jnp.asarray(np.bincount(self.orbit.ravel(), np.log(sigma).ravel()) / counts)

    def _amplified(self, x: Array, sign: int) -> Array:
        return convolved(jnp.exp(sign * self.log_amplitude)[self.orbit], x)

    def latent(self, x: Array) -> Array:
        """z."""
        return self._amplified(x, -1)

    def from_latent(self, z: Array) -> Array:
        """phi."""
        return self._amplified(z, 1)

    def latent_law(self) -> tuple[int, ...]:
        """White noise of this shape."""
        return self.shape

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        z = self.latent(x)
        return -0.5 * jnp.sum(z**2) - 0.5 * z.size * np.log(2 * np.pi) - jnp.sum(self.log_amplitude[self.orbit])

    def _sample(self, key: Array, condition: Array | None = None) -> Array:
        return self.from_latent(jax.random.normal(key, self.shape, self.log_amplitude.dtype))


def convolved(spectrum: Array, x: Array) -> Array:
    """The circulant matrix with the real, even eigenvalues `spectrum` (.., *sides) times the field x (.., *sides)."""
    axes = tuple(range(-spectrum.ndim, 0))
    half = spectrum[..., : x.shape[-1] // 2 + 1]
    return jnp.fft.irfftn(half * jnp.fft.rfftn(x, axes=axes), s=spectrum.shape, axes=axes)


class LatticeFlow(ContinuousFlow):
    """The flow above from a Gaussian field; fields have the shape `sides`.

    features: number of sines; harmonics: Chebyshev polynomials of t in the kernels; scale: typical size of the field.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)
    base: GaussianField
    steps: int
    orbit: np.ndarray  # (*sides): class of every displacement
    frequency: Array  # omega
    kernel: Array  # (harmonics, 1 + F, orbits)

    def __init__(
        self,
        sides: tuple[int, ...],
        *,
        spectrum: np.ndarray | None = None,
        scale: float = 1.0,
        features: int = 8,
        harmonics: int = 4,
        steps: int = 12,
    ):
        self.shape, self.cond_shape, self.steps = sides, None, steps
        self.base = GaussianField(sides, spectrum)
        self.orbit = lattice_orbits(sides)
        self.frequency = jnp.asarray(0.5 / scale)
        self.kernel = jnp.zeros((harmonics, 1 + features, int(self.orbit.max()) + 1))

    def velocity(self, x: Array, t: Array, condition: Array | None = None) -> tuple[Array, Array]:
        t = jnp.asarray(t, x.dtype)
        kernel = jnp.einsum("a,afo->fo", chebyshev(t, len(self.kernel)), self.kernel)
        sines, cosines = _harmonics(self.frequency * x, len(self.kernel[0]) - 1)
        signals = jnp.stack([x, *sines])
        slopes = [jnp.asarray(x.size, x.dtype), *(f * self.frequency * jnp.sum(c) for f, c in enumerate(cosines, 1))]
        members = np.eye(kernel.shape[1], dtype=x.dtype)[:, self.orbit]  # a product: gathers are slow backwards
        spectrum = jnp.fft.rfftn(jnp.tensordot(kernel, members, 1), axes=range(1, x.ndim + 1))
        spread = jnp.sum(spectrum * jnp.fft.rfftn(signals, axes=range(1, x.ndim + 1)), axis=0)
        return jnp.fft.irfftn(spread, s=x.shape), kernel[:, 0] @ jnp.stack(slopes)


def _harmonics(angle: Array, count: int) -> tuple[list[Array], list[Array]]:
    """sin(f angle) and cos(f angle) for f = 1 .. count, by recurrence from the first."""
    sines, cosines = [jnp.zeros_like(angle), jnp.sin(angle)], [jnp.ones_like(angle), jnp.cos(angle)]
    for _ in range(count - 1):
        sines.append(2 * cosines[1] * sines[-1] - sines[-2])
        cosines.append(2 * cosines[1] * cosines[-1] - cosines[-2])
    return sines[1:], cosines[1:]
