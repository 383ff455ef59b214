"""-lap Psi / Psi of any wavefunction given as ln Psi(x), one call for every way of computing it.

    mode          how                                                  cost for D = N dim coordinates
    loop          second derivative along one direction after another  D evaluations, least memory
    forward       the same, all directions at once                     D evaluations, D times the memory
    hessian       the whole matrix of second derivatives               D^2
    hutchinson    random directions: unbiased, noisy                   one evaluation per probe

States that propagate their own derivatives (states.FermionFlow.local) are tens of times faster than any of these, which
are their oracles and serve wavefunctions of one's own.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from massieu.errors import one_of

MODES = ("loop", "forward", "hessian", "hutchinson")
LogPsi = Callable[[Array], Array]


def local_kinetic(log_psi: LogPsi, x: Array, mode: str = "loop", key: Array | None = None, probes: int = 1) -> Array:
    """-lap Psi/Psi = -(lap ln Psi + (grad ln Psi)^2) at x (N, dim); ln Psi real or complex.

    `key` and `probes` are for "hutchinson".  InputError for an unknown mode.
    """
    one_of("mode", mode, MODES)
    flat = x.reshape(-1)

    def along(y: Array) -> Array:
        return log_psi(y.reshape(x.shape))

    basis = jnp.eye(flat.size, dtype=flat.dtype)
    gradient = jax.vmap(lambda v: jax.jvp(along, (flat,), (v,))[1])(basis)
    if mode == "hessian":
        laplacian = jnp.trace(jax.jacfwd(jax.jacfwd(along))(flat))
    elif mode == "hutchinson":
        if key is None:
            key = jax.random.key(0)
        signs = jax.random.rademacher(key, (probes, flat.size), flat.dtype)
        laplacian = jnp.mean(jax.vmap(lambda v: second_derivative(along, flat, v))(signs))
    elif mode == "forward":
        laplacian = jnp.sum(jax.vmap(lambda v: second_derivative(along, flat, v))(basis))
    else:
        laplacian = jnp.sum(jax.lax.map(lambda v: second_derivative(along, flat, v), basis))
    return -(laplacian + jnp.sum(gradient * gradient))


def second_derivative(f: LogPsi, x: Array, v: Array) -> Array:
    """d^2 f(x + t v)/dt^2 at t = 0."""

    def first(x: Array) -> Array:
        return jax.jvp(f, (x,), (v,))[1]

    return jax.jvp(first, (x,), (v,))[1]
