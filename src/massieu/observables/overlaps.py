"""<Psi_a|Psi_b> measured: states must be orthonormal, or the entropy of p is not that of the density matrix."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


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
    z = psi.sample(key, each)
    x = jax.vmap(psi.local)(each, z).x

    def amplitudes(x: Array, z: Array) -> tuple[Array, Array]:
        near = jax.vmap(lambda label: psi.inverse(label, x, z))(labels)
        logs = jax.vmap(lambda label, z: psi.log_psi(label, x, z))(labels, near)
        miss = jnp.max(jnp.abs(jax.vmap(lambda label, z: psi.local(label, z).x)(labels, near) - x))
        top = jnp.max(logs.real)
        amplitude = jnp.exp(logs - top)
        q = jnp.mean(jnp.abs(amplitude) ** 2)
        return jnp.conj(amplitude)[:, None] * amplitude[None] / q, miss

    products, misses = jax.jit(lambda x, z: jax.lax.map(lambda p: amplitudes(*p), (x, z), batch_size=64))(x, z)
    values = np.asarray(products)
    spread = np.sqrt(values.real.var(axis=0) + values.imag.var(axis=0))
    return Overlaps(values.mean(axis=0), spread / np.sqrt(len(values) - 1), float(np.max(misses)))
