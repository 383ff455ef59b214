"""Markov chains: with proposals from the density, and Metropolis and MALA for positions in the periodic box.

Direct sampling (densities, states) needs none of these; the chains are for averages that no density can bias, and for
wavefunctions without a direct sampler.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

SHORTEST = 1024  # numbers that `initial_normal` draws at least
BURN_IN = 0.2  # of the proposals: chains start from these
TARGET = {"metropolis": 0.5, "mala": 0.65}  # acceptance that the step adapts to


def initial_normal(key: Array, shape: tuple[int, ...]) -> Any:
    """The numbers of jax.random.normal(key, shape), for parameters to start from: a few sizes, few programs to compile.

    Each number depends on the key and its place alone, so that an array is the beginning of a longer one.
    """
    if isinstance(key, jax.core.Tracer):
        return jax.random.normal(key, shape)
    size = math.prod(shape)
    longer = max(SHORTEST, 1 << (size - 1).bit_length()) if size else SHORTEST
    return np.asarray(jax.random.normal(key, (longer,)))[:size].reshape(shape)


class Chains(NamedTuple):
    """held (C, T): which proposal each chain holds at each step; acceptance: accepted fraction."""

    held: np.ndarray
    acceptance: float


def neural_proposals(log_weights: np.ndarray, chains: int, rng: np.random.Generator) -> Chains:
    """Independence Metropolis over proposals drawn from p, with ln w = -beta H - ln p (Nicoli et al. 2020).

    The first BURN_IN of the proposals (M,) are where chains start from, drawn in proportion to w (sampling-importance
    resampling); the others are dealt to the chains in order.  Chain averages converge to the Boltzmann distribution
    whatever p is, as long as p > 0 where it is.
    """
    chains = max(1, min(chains, len(log_weights) // 2))
    length = len(log_weights) // chains
    skipped = max(1, int(BURN_IN * length))
    first = chains * skipped
    proposals = np.arange(first, chains * length).reshape(chains, length - skipped)
    share = np.exp(log_weights[:first] - log_weights[:first].max())
    held = rng.choice(first, size=chains, p=share / share.sum())
    log_u = np.log(rng.uniform(size=proposals.shape))
    index, accepted = np.empty_like(proposals), 0
    for t in range(proposals.shape[1]):
        accept = log_u[:, t] < log_weights[proposals[:, t]] - log_weights[held]
        held = np.where(accept, proposals[:, t], held)
        index[:, t] = held
        accepted += int(accept.sum())
    return Chains(index, accepted / max(1, proposals.size))


class Walkers(NamedTuple):
    """Persistent walkers: labels (B, ..), positions x (B, N, dim) in units of the box, and their step length."""

    label: Array
    x: Array
    step: Array


class ChainReport(NamedTuple):
    """Accepted fraction of the moves of positions and of the labels."""

    acceptance: Array
    label_acceptance: Array


LogDensity = Callable[[Any, Array], Array]


def advance(
    kind: str,
    log_density: LogDensity,
    propose_labels: Callable[[Array], Array],
    key: Array,
    walkers: Walkers,
    moves: int,
) -> tuple[Walkers, ChainReport]:
    """`moves` steps of every walker in p(n) |Psi_n(x)|^2, with ln|Psi_n(x)|^2 = log_density(n, x), smooth on the torus.

    Each step proposes a new label n' ~ p, accepted with |Psi_n'(x)|^2/|Psi_n(x)|^2, and then moves x by Metropolis
    ("metropolis": value only) or by the Metropolis-adjusted Langevin algorithm ("mala", Roberts and Tweedie 1996).
    Moves are made in the plane and wrapped, so that both satisfy detailed balance on the torus: the reverse move is the
    negative of the same displacement.  The step length adapts between calls, never within one.
    """
    batch = len(walkers.x)
    value_and_force = jax.vmap(jax.value_and_grad(log_density, argnums=1) if kind == "mala" else _value(log_density))

    def one(state: tuple[Array, Array], key: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        label, x = state
        for_label, for_coin, for_move = jax.random.split(key, 3)
        value, force = value_and_force(label, x)
        other = propose_labels(for_label)
        new_value, new_force = value_and_force(other, x)
        swap = jnp.log(jax.random.uniform(for_coin, (batch,))) < new_value - value
        label = jnp.where(swap[:, None], other, label)
        value, force = jnp.where(swap, new_value, value), jnp.where(swap[:, None, None], new_force, force)
        x, accepted, *_ = move(kind, value_and_force, for_move, label, x, value, force, walkers.step)
        return (label, x), (jnp.mean(accepted), jnp.mean(swap))

    (label, x), (accepted, swapped) = jax.lax.scan(one, (walkers.label, walkers.x), jax.random.split(key, moves))
    acceptance = jnp.mean(accepted)
    return Walkers(label, x, adapted(kind, walkers.step, acceptance)), ChainReport(acceptance, jnp.mean(swapped))


def _value(log_density: LogDensity) -> Callable[[Any, Array], tuple[Array, Array]]:
    """The value and no force: Metropolis needs no gradient."""
    return lambda label, x: (log_density(label, x), jnp.zeros_like(x))


def in_unit_box(x: Array) -> Array:
    """The images of positions in the periodic unit box."""
    return x - jnp.floor(x)


def move(
    kind: str, value_and_force: Callable, key: Array, label: Any, x: Array, value: Array, force: Array, step: Array,
    wrapped: Callable[[Array], Array] = in_unit_box,
) -> tuple[Array, Array, Array, Array]:  # fmt: skip
    """One Metropolis or MALA move of all positions at once: x (B, N, 3), which moved (B,), ln p and its gradient there.

    value_and_force(label, x) of a batch; value and force are those at x; wrapped: where positions are kept.
    """
    noise_key, coin_key = jax.random.split(key)
    noise = jax.random.normal(noise_key, x.shape)
    drift = 0.5 * step**2 if kind == "mala" else 0.0
    shift = step * noise + drift * _limited(force, step)
    trial = x + shift
    new_value, new_force = value_and_force(label, trial)
    backward = (-shift - drift * _limited(new_force, step)) / step
    log_ratio = new_value - value + 0.5 * jnp.sum(noise**2 - backward**2, axis=(1, 2))
    accepted = jnp.log(jax.random.uniform(coin_key, (len(x),))) < log_ratio
    trial = wrapped(trial)
    here = accepted[:, None, None]
    return (
        jnp.where(here, trial, x),
        accepted,
        jnp.where(accepted, new_value, value),
        jnp.where(here, new_force, force),
    )


def adapted(kind: str, step: Array, acceptance: Array) -> Array:
    """The step length for the next call, towards the acceptance that the kind of chain wants."""
    return jnp.clip(step * jnp.exp(0.5 * (acceptance - TARGET[kind])), 1e-4, 0.5)


def _limited(force: Array, step: Array) -> Array:
    """The force on each particle, shortened to 2/step near nodes; a function of x only, so detailed balance holds."""
    length = jnp.sqrt(jnp.sum(force**2, axis=-1, keepdims=True) + 1e-300)
    return force * jnp.minimum(1.0, 2 / (step * length))
