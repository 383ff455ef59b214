"""Radial functions of a separation, linear in their coefficients, with derivative tensors up to the fourth order.

f(s), s = r^2.  Gaussians exp(-s/2w^2); the function (1 + r/w) exp(-r/w), whose gradient starts as r and then r^2,
which is what a cusp at contact asks for; and s/2 itself, a change of scale.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

CORE = 1e-5  # separations below this count as this: 1/r of the fourth derivative


class Basis(NamedTuple):
    """Widths of the Gaussians and of the functions with a cusp; the last function is s/2."""

    gaussians: np.ndarray
    cusps: np.ndarray

    @property
    def size(self) -> int:
        """Number of functions."""
        return len(self.gaussians) + len(self.cusps) + 1

    def derivatives(self, s: Array) -> Array:
        """First to fourth derivatives of all functions by s: (4, size, *s.shape)."""
        s = jnp.maximum(s, CORE**2)[None]  # the axis of the functions first
        shape = (-1, *(1,) * (s.ndim - 1))
        half = -0.5 / self.gaussians.reshape(shape) ** 2
        gauss = jnp.exp(half * s)
        w, r = self.cusps.reshape(shape), jnp.sqrt(s)
        e = jnp.exp(-r / w)
        cusp = [
            -e / (2 * w**2),
            e / (4 * w**3 * r),
            -e / (8 * w**3 * r**2) * (1 / w + 1 / r),
            e / (16 * w**3 * r**3) * (1 / w**2 + 3 / (w * r) + 3 / s),
        ]
        one = jnp.ones_like(s)
        rows = [jnp.concatenate([half ** (k + 1) * gauss, cusp[k], 0.5 * one if k == 0 else 0 * one]) for k in range(4)]
        return jnp.stack(rows)


def tensors(f: Array, y: Array, orders: tuple[int, ...]) -> list[Array]:
    """Derivatives by y (P, dim) of f(|y|^2), from those by s, f (4, P): (P, dim), (P, dim, dim), .. as ordered."""
    eye = jnp.eye(y.shape[1])
    out = []
    for order in orders:
        if order == 1:
            out.append(2 * f[0][:, None] * y)
        elif order == 2:
            out.append(4 * f[1][:, None, None] * jnp.einsum("pa,pb->pab", y, y) + 2 * f[0][:, None, None] * eye[None])
        elif order == 3:
            once = jnp.einsum("pa,bc->pabc", y, eye)
            once = once + once.transpose(0, 2, 1, 3) + once.transpose(0, 2, 3, 1)
            out.append(_scaled(8 * f[2], jnp.einsum("pa,pb,pc->pabc", y, y, y)) + _scaled(4 * f[1], once))
        else:
            out.append(_fourth(f, y, eye))
    return out


def _fourth(f: Array, y: Array, eye: Array) -> Array:
    pair = jnp.einsum("pa,pb,cd->pabcd", y, y, eye)
    places = [(0, 1, 2, 3, 4), (0, 1, 3, 2, 4), (0, 1, 4, 3, 2), (0, 3, 2, 1, 4), (0, 4, 2, 3, 1), (0, 3, 4, 1, 2)]
    pair = jnp.sum(jnp.stack([pair.transpose(place) for place in places]), axis=0)
    none = jnp.einsum("ab,cd->abcd", eye, eye)
    none = none + none.transpose(0, 2, 1, 3) + none.transpose(0, 3, 2, 1)
    quartic = _scaled(16 * f[3], jnp.einsum("pa,pb,pc,pd->pabcd", y, y, y, y))
    return quartic + _scaled(8 * f[2], pair) + _scaled(4 * f[1], jnp.broadcast_to(none, (len(y), *none.shape)))


def _scaled(factor: Array, tensor: Array) -> Array:
    return factor.reshape(-1, *(1,) * (tensor.ndim - 1)) * tensor
