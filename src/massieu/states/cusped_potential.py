"""Pair potentials for flows of electrons whose third derivative jumps at contact, as wavefunctions do.

    u(r) = sum_a c_a g_a(d(r)),     g_a = a^2 (1 + d/a) e^{-d/a} = a^2 - d^2/2 + d^3/(3 a) - ..

with d the periodic distance, d^2 = q = sum sin^2(pi r)/pi^2, in units of the box.  The map r -> r + grad u has a
continuous Jacobian with a kink at contact, so that |Psi|^2, which has it as a factor, gets one: Kato's cusps, which
plane waves only approach.  Curvatures of g_a lie between -1 (at contact) and a positive number, found once on a grid.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
from jax import Array

POINTS = 48  # of the grid along half a side
SAFETY = 1.02  # for what lies between its points
OPEN = math.exp(-2)  # curvature at d = 2a, the highest where a is so short that the box does not matter
CONTACT = 1e-24  # added to d^2: derivatives are finite at contact


def derivatives(
    c: Array, ranges: np.ndarray, r: Array, same: Array | np.ndarray | float = 0.0, *, orders: int = 2
) -> tuple[Array, ...]:
    """Derivatives (.., 3), (.., 3, 3), .. of u up to order 2 or 4 at r (.., 3), with coefficients c (.., ranges).

    `same` (..) is 1 for a particle and itself: there the derivatives are finite and without meaning.
    """
    a, c = _leading(ranges, r.ndim), _leading(c, r.ndim)
    d = jnp.sqrt(jnp.sum(jnp.sin(jnp.pi * r) ** 2, axis=-1) / jnp.pi**2 + same + CONTACT)[..., None]
    decay, x = c * jnp.exp(-d / a), d / a
    by_q = [-0.5 * decay, decay / (4 * a * d)]
    if orders == 4:
        by_q += [-decay * (1 + x) / (8 * a * d**3), decay * (3 + 3 * x + x * x) / (16 * a * d**5)]
    return _composed([jnp.sum(part, axis=-1) for part in by_q], r)


def _composed(f: list[Array], r: Array) -> tuple[Array, ...]:
    """Derivatives by r of F(q(r)) from those of F by q (the formula of Faa di Bruno); those of q are diagonal."""
    one = jnp.sin(2 * jnp.pi * r) / jnp.pi  # dq, and then the second to the fourth derivative along an axis
    two, three, four = 2 * jnp.cos(2 * jnp.pi * r), -4 * jnp.pi**2 * one, -8 * jnp.pi**2 * jnp.cos(2 * jnp.pi * r)
    eye = np.eye(3)
    first = f[0][..., None] * one
    second = jnp.einsum("...,...a,...b->...ab", f[1], one, one) + jnp.einsum("...,...a,ab->...ab", f[0], two, eye)
    if len(f) == 2:
        return first, second
    pair = jnp.einsum("...a,ab->...ab", two, eye)
    triple = jnp.einsum("...a,ab,ac->...abc", three, eye, eye)
    bent = jnp.einsum("...ab,...c->...abc", pair, one)
    third = jnp.einsum("...,...a,...b,...c->...abc", f[2], one, one, one) + f[0][..., None, None, None] * triple
    third = third + f[1][..., None, None, None] * _sum_over(bent, "abc", "abc", "acb", "bca")
    parts = [
        jnp.einsum("...a,...b,...c,...d->...abcd", one, one, one, one),
        _sum_over(
            jnp.einsum("...abc,...d->...abcd", bent, one), "abcd", "abcd", "acbd", "adbc", "bcad", "bdac", "cdab"
        ),
        _sum_over(jnp.einsum("...ab,...cd->...abcd", pair, pair), "abcd", "abcd", "acbd", "adbc")
        + _sum_over(jnp.einsum("...abc,...d->...abcd", triple, one), "abcd", "abcd", "abdc", "acdb", "bcda"),
        jnp.einsum("...a,ab,ac,ad->...abcd", four, eye, eye, eye),
    ]
    weights = zip(reversed(f), parts, strict=True)
    return first, second, third, sum((w[..., None, None, None, None] * part for w, part in weights), jnp.zeros(()))


def _leading(values: Array | np.ndarray, ndim: int) -> Array:
    """Values (.., ranges) with so many axes."""
    return jnp.expand_dims(jnp.asarray(values), range(ndim - values.ndim))


def _sum_over(tensor: Array, out: str, *orders: str) -> Array:
    """The sum of a tensor with its indices in several orders."""
    return sum((jnp.einsum(f"...{order}->...{out}", tensor) for order in orders), jnp.zeros(()))


def highest_curvature(ranges: np.ndarray) -> np.ndarray:
    """Largest eigenvalue of the second derivatives of every g_a over the box (ranges,)."""
    half = np.linspace(0, 0.5, POINTS + 1)
    r = np.stack(np.meshgrid(half, half, half, indexing="ij"), axis=-1).reshape(-1, 3)[1:]
    slope, curve = np.sin(2 * np.pi * r) / np.pi, np.cos(2 * np.pi * r)
    d = np.sqrt(np.sum(np.sin(np.pi * r) ** 2, axis=-1)) / np.pi
    found = []
    for a in ranges:
        outer = slope[:, :, None] * slope[:, None, :] / (4 * a * d[:, None, None])
        second = np.exp(-d / a)[:, None, None] * (outer - curve[:, :, None] * np.eye(3))
        found.append(SAFETY * max(OPEN, np.linalg.eigvalsh(second).max()))
    return np.array(found)


def lowest_curvature(c: Array, highest: np.ndarray) -> Array:
    """A bound from below (..) on the second derivative of u anywhere, for coefficients c (.., ranges)."""
    return -jnp.sum(jnp.maximum(c, -_leading(highest, c.ndim) * c), axis=-1)
