"""An odd bijection of the few variables of a block, the same for every block of a lattice.

    field -> latent:   y = L D U R x,   then couplings:   z_2 = B^-1((y_2 - t(y_1)) exp(-s(y_1))),   z_1 = y_1

R is a fixed rotation, L D U a learned linear map, t an odd and s an even network, and B bends each variable,
B(z) = sinh(d asinh(b z))/(d b) (the sinh-arcsinh transformation of Jones and Pewsey, Biometrika 96, 761 (2009)):
heavier tails for d > 1, two peaks for d << 1.  Affine couplings: Dinh, Sohl-Dickstein and Bengio (RealNVP, 2017).
All arrays are (variables, blocks).
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

Moved = tuple[Array, Array]  # variables and the sum of ln |det| over all blocks


class OddCoupling(eqx.Module):
    """Moves `moved` variables given `given` others; a network of `width` tanh units with one hidden layer."""

    weight: Array  # (width, given)
    bias: Array  # (width, 1)
    shift: Array  # (moved, width)
    log_scale: Array  # (moved, width)
    exponent: Array  # (moved, 1): d = exp(2 tanh(./2))
    sharpness: Array  # (moved, 1): b = exp

    def __init__(self, given: int, moved: int, width: int, key: Array):
        of_weight, of_bias = jax.random.split(key)
        self.weight = jax.random.normal(of_weight, (width, given)) / np.sqrt(given)
        self.bias = jax.random.normal(of_bias, (width, 1))
        self.shift, self.log_scale = jnp.zeros((moved, width)), jnp.zeros((moved, width))
        self.exponent, self.sharpness = jnp.zeros((moved, 1)), jnp.zeros((moved, 1))

    def to_latent(self, x: Array, given: Array) -> Moved:
        """x (moved, n) given the others (given, n), which do not change."""
        shift, log_scale, d, b = self._of(given)
        v = jnp.arcsinh(d * b * jnp.exp(-log_scale) * (x - shift)) / d
        return jnp.sinh(v) / b, -self._log_det(v, log_scale, d)

    def to_field(self, z: Array, given: Array) -> Moved:
        """The inverse of `to_latent`."""
        shift, log_scale, d, b = self._of(given)
        v = jnp.arcsinh(b * z)
        return jnp.exp(log_scale) * jnp.sinh(d * v) / (d * b) + shift, self._log_det(v, log_scale, d)

    def _of(self, given: Array) -> tuple[Array, Array, Array, Array]:
        at = self.weight @ given
        above, below = jnp.tanh(at + self.bias), jnp.tanh(at - self.bias)
        # sums of the two are odd in the given variables, differences even
        return (
            self.shift @ (above + below),
            self.log_scale @ (above - below),
            jnp.exp(2 * jnp.tanh(self.exponent / 2)),
            jnp.exp(self.sharpness),
        )

    @staticmethod
    def _log_det(v: Array, log_scale: Array, d: Array) -> Array:
        """of B exp(s) + t, with v = asinh(b z)"""
        return jnp.sum(log_scale + _log_cosh(d * v) - _log_cosh(v))


class BlockBijector(eqx.Module):
    """Odd bijection of (m, n), n blocks of m variables: rotation (m, m), learned linear map, `pairs` of couplings.

    The couplings move the second half of the variables given the first, then the first given the second.
    """

    rotation: np.ndarray  # (m, m), orthogonal
    last: np.ndarray  # (m, m), orthogonal: undoes the rotation where the outcome is to lie on the sites again
    lower: Array  # (m (m-1)/2,), L below its diagonal of ones
    upper: Array  # the same, U above
    log_diagonal: Array  # (m,)
    couplings: list[tuple[OddCoupling, OddCoupling]]

    def __init__(self, rotation: np.ndarray, *, back: bool, width: int, pairs: int, key: Array):
        m = len(rotation)
        half = (m + 1) // 2
        self.rotation, self.last, self.log_diagonal = rotation, rotation.T if back else np.eye(m), jnp.zeros(m)
        self.lower, self.upper = jnp.zeros(m * (m - 1) // 2), jnp.zeros(m * (m - 1) // 2)
        self.couplings = []
        for one in jax.random.split(key, pairs):
            first, second = jax.random.split(one)
            self.couplings.append(
                (OddCoupling(half, m - half, width, first), OddCoupling(m - half, half, width, second))
            )

    def to_latent(self, x: Array) -> Moved:
        """(m, n) of field to latent variables, and ln |det|."""
        lower, upper = self._triangles()
        unit = jnp.eye(len(lower), dtype=x.dtype)
        turned = (unit + upper) @ jnp.asarray(self.rotation, x.dtype)
        linear = (unit + lower) @ (jnp.exp(self.log_diagonal)[:, None] * turned)
        y = linear @ x
        total = x.shape[1] * jnp.sum(self.log_diagonal)
        half = self._half
        one, two = y[:half], y[half:]
        for of_second, of_first in self.couplings:
            two, second = of_second.to_latent(two, one)
            one, first = of_first.to_latent(one, two)
            total = total + first + second
        return jnp.asarray(self.last, x.dtype) @ jnp.concatenate([one, two]), total

    def to_field(self, z: Array) -> Moved:
        """The inverse of `to_latent`."""
        total = -z.shape[1] * jnp.sum(self.log_diagonal)
        half = self._half
        y = jnp.asarray(self.last.T, z.dtype) @ z
        one, two = y[:half], y[half:]
        for of_second, of_first in self.couplings[::-1]:
            one, first = of_first.to_field(one, two)
            two, second = of_second.to_field(two, one)
            total = total + first + second
        lower, upper = self._triangles()
        turned = jnp.asarray(self.rotation.T, z.dtype)
        back = turned @ _unit_inverse(upper) @ (jnp.exp(-self.log_diagonal)[:, None] * _unit_inverse(lower))
        return back @ jnp.concatenate([one, two]), total

    @property
    def _half(self) -> int:
        return (len(self.rotation) + 1) // 2

    def _triangles(self) -> tuple[Array, Array]:
        """The strict triangles of L and U (m, m)."""
        m = len(self.rotation)
        below, empty = np.tril_indices(m, -1), jnp.zeros((m, m), self.lower.dtype)
        return empty.at[below].set(self.lower), empty.T.at[below[::-1]].set(self.upper)


def _unit_inverse(strict: Array) -> Array:
    """(1 + N)^-1 of a strictly triangular N (m, m): the product of 1 - N, 1 + N^2, 1 + N^4, .."""
    one, power, reach = jnp.eye(len(strict), dtype=strict.dtype), -strict, 1
    inverse = one + power
    while 2 * reach < len(strict):
        power, reach = power @ power, 2 * reach
        inverse = inverse @ (one + power)
    return inverse


def _log_cosh(x: Array) -> Array:
    return jnp.abs(x) + jnp.log1p(jnp.exp(-2 * jnp.abs(x)))  # up to ln 2, which cancels
