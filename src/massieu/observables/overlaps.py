"""<Psi_a|Psi_b> measured: states must be orthonormal, or the entropy of p is not that of the density matrix."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.states.inversion import inverted_through

CHUNK = 50  # samples at a time


class Overlaps(NamedTuple):
    """Complex means (K, K), their standard errors (of the modulus), and the largest |T(z) - x| of the inverse maps."""

    value: np.ndarray
    error: np.ndarray
    residual: float


def overlaps(psi: Any, labels: Array, key: Array, samples: int = 4000) -> Overlaps:
    """Of the states of labels (K, 1 + N), from samples of the mixture q = sum_k |Psi_k|^2/K: E_q[Psi_a^* Psi_b/q].

    Every state is evaluated at every sample through its own inverse map, found by Newton's method.
    """
    count = len(labels)
    each = jnp.repeat(labels, -(-samples // count), axis=0)

    def moved(label: Array, z: Array) -> Array:
        return psi.flow(psi.coefficients(label), z)[0]

    def products(args: tuple[Array, Array]) -> tuple[Array, Array]:
        x = moved(*args)
        near = jax.vmap(lambda label: inverted_through(psi.flow, psi.coefficients(label), x))(labels)
        miss = jnp.max(jnp.abs(jax.vmap(moved)(labels, near) - x[None]))
        logs = jax.vmap(lambda label, z: psi.log_psi(label, x, z))(labels, near)
        amplitude = jnp.exp(logs - jnp.max(logs.real))
        q = jnp.mean(jnp.abs(amplitude) ** 2)
        return jnp.conj(amplitude)[:, None] * amplitude[None] / q, miss

    @jax.jit
    def all_products(key: Array) -> tuple[Array, Array]:
        return jax.lax.map(products, (each, psi.sample(key, each)), batch_size=CHUNK)

    found, misses = all_products(key)
    values = np.asarray(found)
    spread = np.sqrt(values.real.var(axis=0) + values.imag.var(axis=0))
    return Overlaps(values.mean(axis=0), spread / np.sqrt(len(values) - 1), float(np.max(misses)))
