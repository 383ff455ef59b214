"""PixelCNN (van den Oord et al. 2016): masked convolutions over a two-dimensional lattice, in raster order."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.densities.autoregressive import AbstractAutoregressive


class PixelCNN(AbstractAutoregressive):
    """`depth` masked convolutions of half-width `reach` with `width` channels, residual; zero outside the lattice.

    The window of a site is its (reach + 1) x (2 reach + 1) neighbourhood of sites visited before it (and itself, above
    the first layer).  The output starts at zero, so that p is uniform.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)
    lattice: tuple[int, int] = eqx.field(static=True)
    reach: int = eqx.field(static=True)
    order: np.ndarray
    kernels: list[Array]  # (width out, reach + 1, 2 reach + 1, width in)
    biases: list[Array]  # (width out, L, M): a bias a site, since the window's cut at the edge breaks translations
    readout: Array  # (width,)

    def __init__(
        self, lattice: tuple[int, int], *, width: int = 16, depth: int = 3, reach: int = 3, key: Array | None = None
    ):
        keys = jax.random.split(jax.random.key(0) if key is None else key, depth)
        self.lattice, self.reach = (int(lattice[0]), int(lattice[1])), reach
        n = self.lattice[0] * self.lattice[1]
        self.shape, self.cond_shape, self.order = (n,), None, np.arange(n)
        self.kernels = []
        for layer, k in enumerate(keys):
            fan = (1 if layer == 0 else width) * self._window(layer).sum()
            self.kernels.append(
                jax.random.normal(k, (width, reach + 1, 2 * reach + 1, 1 if layer == 0 else width)) / np.sqrt(fan)
            )
        self.biases = [jnp.zeros((width, *self.lattice)) for _ in keys]
        self.readout = jnp.zeros(width)

    def _window(self, layer: int) -> np.ndarray:
        """Mask (reach + 1, 2 reach + 1): rows above in full, the last row up to the site (without it in layer 0)."""
        mask = np.ones((self.reach + 1, 2 * self.reach + 1))
        mask[-1, self.reach + (layer > 0) :] = 0
        return mask

    def _padded(self, h: Array) -> Array:
        return jnp.pad(h, ((0, 0), (self.reach, 0), (self.reach, self.reach)))

    def logits(self, s: Array, condition: Array | None = None) -> Array:
        h = s.reshape(1, *self.lattice)
        for layer, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            masked = kernel * self._window(layer)[None, :, :, None].astype(kernel.dtype)
            z = (
                jax.lax.conv_general_dilated(self._padded(h)[None], jnp.moveaxis(masked, 3, 1), (1, 1), "VALID")[0]
                + bias
            )
            h = jnp.tanh(z) + (h if layer > 0 else 0.0)
        return jnp.tensordot(self.readout, h, 1).reshape(-1)

    def start(self, condition: Array | None = None) -> list[Array]:
        widths = [1, *[k.shape[0] for k in self.kernels]]
        empty = jnp.zeros(self.lattice, self.readout.dtype)
        return [self._padded(jnp.tile(empty, (w, 1, 1))) for w in widths]

    def next_logit(self, cache, k, previous, condition=None):
        columns = self.lattice[1]
        row, column, before = k // columns, k % columns, jnp.maximum(k - 1, 0)
        cache = list(cache)
        spin = jnp.where(k > 0, previous, 0.0)
        cache[0] = cache[0].at[0, self.reach + before // columns, self.reach + before % columns].set(spin)
        size = (self.reach + 1, 2 * self.reach + 1)
        for layer, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            window = jax.lax.dynamic_slice(cache[layer], (0, row, column), (cache[layer].shape[0], *size))
            masked = kernel * self._window(layer)[None, :, :, None].astype(kernel.dtype)
            z = jnp.einsum("oyxi,iyx->o", masked, window) + bias[:, row, column]
            h = jnp.tanh(z) + (cache[layer][:, self.reach + row, self.reach + column] if layer > 0 else 0.0)
            cache[layer + 1] = cache[layer + 1].at[:, self.reach + row, self.reach + column].set(h)
        return cache, self.readout @ h
