"""Forward Laplacian: functions of D coordinates carried with their gradient and Laplacian.

Every operation here takes arrays or jets and gives the same kind back, so that one definition of a network serves the
value of a wavefunction and its local energy (Li et al., Nature Machine Intelligence 6, 209 (2024)).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


class Jet(NamedTuple):
    """value (...), its gradient slope (..., D) and Laplacian (...) by D coordinates."""

    value: Array
    slope: Array
    laplacian: Array


Carried = Any  # an array, or a jet


def of_function(f: Callable[[Array], Array], x: Array) -> Jet:
    """f(x) of a point x (D,) with its derivatives, one direction after the other; f of any output shape."""

    def along(direction: Array) -> tuple[Array, Array]:
        def first(y: Array) -> Array:
            return jax.jvp(f, (y,), (direction,))[1]

        return jax.jvp(first, (x,), (direction,))

    first, second = jax.vmap(along, out_axes=-1)(jnp.eye(len(x), dtype=x.dtype))
    return Jet(f(x), first, jnp.sum(second, axis=-1))


def value_of(x: Carried) -> Array:
    """The value alone."""
    return x.value if isinstance(x, Jet) else x


def linear(x: Carried, weight: Array, bias: Array | float = 0.0) -> Carried:
    """x @ weight + bias over the last axis of the value."""
    value = value_of(x) @ weight
    value = value + (bias if np.ndim(bias) == 0 else jnp.expand_dims(jnp.asarray(bias), range(value.ndim - 1)))
    if not isinstance(x, Jet):
        return value
    return Jet(value, jnp.einsum("...ad,ac->...cd", x.slope, weight), x.laplacian @ weight)


def tanh(x: Carried) -> Carried:
    """Hyperbolic tangent."""
    t = jnp.tanh(value_of(x))
    return t if not isinstance(x, Jet) else _chain(x, t, 1 - t**2, -2 * t * (1 - t**2))


def phase(x: Carried) -> Carried:
    """exp(i x)."""
    e = jnp.exp(1j * value_of(x))
    return e if not isinstance(x, Jet) else _chain(x, e, 1j * e, -e)


def cos_sin(x: Carried) -> Carried:
    """cos x and sin x side by side on the last axis."""
    c, s = jnp.cos(value_of(x)), jnp.sin(value_of(x))
    if not isinstance(x, Jet):
        return jnp.concatenate([c, s], axis=-1)
    return joined([_chain(x, c, -s, -c), _chain(x, s, c, -s)])


def _chain(x: Jet, value: Array, first: Array, second: Array) -> Jet:
    squared = jnp.sum(x.slope**2, axis=-1)
    return Jet(value, first[..., None] * x.slope, first * x.laplacian + second * squared)


def joined(parts: list) -> Carried:
    """Parts side by side on the last axis of the value."""
    if not isinstance(parts[0], Jet):
        return jnp.concatenate(parts, axis=-1)
    last = parts[0].value.ndim - 1
    return Jet(*(jnp.concatenate([getattr(p, name) for p in parts], axis=last) for name in Jet._fields))


def plus(x: Carried, y: Carried) -> Carried:
    """x + y."""
    if isinstance(x, Jet) and isinstance(y, Jet):
        return Jet(x.value + y.value, x.slope + y.slope, x.laplacian + y.laplacian)
    if isinstance(y, Jet):
        x, y = y, x
    return x._replace(value=x.value + y) if isinstance(x, Jet) else x + y


def times(x: Carried, y: Carried) -> Carried:
    """x y, element by element; either may be a constant array."""
    if isinstance(x, Jet) and isinstance(y, Jet):
        slope = x.value[..., None] * y.slope + y.value[..., None] * x.slope
        cross = 2 * jnp.sum(x.slope * y.slope, axis=-1)
        return Jet(x.value * y.value, slope, x.value * y.laplacian + y.value * x.laplacian + cross)
    if isinstance(y, Jet):
        x, y = y, x
    y = jnp.asarray(y)
    y = jnp.expand_dims(y, range(value_of(x).ndim - y.ndim))
    return Jet(x.value * y, x.slope * y[..., None], x.laplacian * y) if isinstance(x, Jet) else x * y


def rows_times_rows(x: Carried, y: Carried) -> Carried:
    """sum_a x_ia y_ja (i, j) of x (i, a) and y (j, a)."""
    if not isinstance(x, Jet):
        return x @ y.T
    assert isinstance(y, Jet)
    slope = jnp.einsum("iad,ja->ijd", x.slope, y.value) + jnp.einsum("ia,jad->ijd", x.value, y.slope)
    cross = 2 * jnp.einsum("iad,jad->ij", x.slope, y.slope)
    return Jet(x.value @ y.value.T, slope, x.laplacian @ y.value.T + x.value @ y.laplacian.T + cross)


def rows(x: Carried, chosen: slice) -> Carried:
    """Some of the first axis."""
    return Jet(*(leaf[chosen] for leaf in x)) if isinstance(x, Jet) else x[chosen]


def summed(x: Carried) -> Carried:
    """The sum of all elements."""
    if not isinstance(x, Jet):
        return jnp.sum(x)
    return Jet(jnp.sum(x.value), jnp.sum(x.slope, axis=tuple(range(x.slope.ndim - 1))), jnp.sum(x.laplacian))


def conjugate(x: Carried) -> Carried:
    """The complex conjugate."""
    return Jet(*(jnp.conj(leaf) for leaf in x)) if isinstance(x, Jet) else jnp.conj(x)
