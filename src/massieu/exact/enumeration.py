"""Exact sums over all 2^n states of n <= 24 Ising spins.

    H(s) = -sum_{i<j} J_ij s_i s_j - sum_i h_i s_i,   s_i = +-1

The spins are split in two halves a, b and E = E_a + E_b - s_a J_ab s_b is formed in blocks as a matrix product.
Without a field only the states with the last spin up are summed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from massieu.exact.moments import Moments, merge, merge_list, merge_product, states
from massieu.exact.thermodynamics import Thermodynamics
from massieu.precision import double_precision
from massieu.principle import Estimate

MAX_SPINS = 24


class Halves(NamedTuple):
    """All states of two halves: spins (A, n_a) and (B, n_b), their energies, and the interaction (A, n_b)."""

    a: np.ndarray
    b: np.ndarray
    energy_a: np.ndarray
    energy_b: np.ndarray
    interaction: np.ndarray
    mirrored: bool


def all_spins(n: int) -> np.ndarray:
    """All spin states of n spins, shape (2^n, n), float64 entries +-1; the last spin varies fastest."""
    bits = (np.arange(2**n)[:, None] >> np.arange(n - 1, -1, -1)) & 1
    return 1.0 - 2.0 * bits


def check_problem(couplings: np.ndarray, field: np.ndarray | float | None) -> tuple[np.ndarray, np.ndarray]:
    """Couplings (n, n) and field (n,) as float64 arrays; ValueError if they do not describe H above."""
    couplings = np.asarray(couplings, dtype=np.float64)
    if couplings.ndim != 2 or couplings.shape[0] != couplings.shape[1] or couplings.shape[0] == 0:
        raise ValueError(f"couplings must be a square matrix, not of shape {couplings.shape}")
    if not np.allclose(couplings, couplings.T) or np.any(np.diag(couplings)):
        raise ValueError("couplings must be symmetric with a zero diagonal")
    field = np.zeros(1) if field is None else np.asarray(field, dtype=np.float64)
    return couplings, np.broadcast_to(field, couplings.shape[:1]).copy()


def check_beta(beta: float) -> None:
    """ValueError unless 0 < beta < infinity."""
    if not (beta > 0 and math.isfinite(beta)):
        raise ValueError(f"the inverse temperature must be positive and finite, not {beta}")


def spin_energy(spins: np.ndarray, couplings: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Energy of each row of `spins` (..., n)."""
    return -0.5 * np.einsum("...i,...i->...", spins @ couplings, spins) - spins @ field


def _halves(couplings: np.ndarray, field: np.ndarray) -> Halves:
    n = len(field)
    if n > MAX_SPINS:
        raise ValueError(f"enumeration is limited to {MAX_SPINS} spins, and this system has {n}")
    cut, mirrored = n // 2, not np.any(field)
    a, b = all_spins(cut), all_spins(n - cut)
    if mirrored:  # E(s) = E(-s): keep the last spin up and count every state twice
        b = b[::2]
    return Halves(
        a,
        b,
        spin_energy(a, couplings[:cut, :cut], field[:cut]),
        spin_energy(b, couplings[cut:, cut:], field[cut:]),
        -a @ couplings[:cut, cut:],
        mirrored,
    )


def _log_partition(halves: Halves, beta: float) -> Moments:
    copies = math.log(2.0) if halves.mirrored else 0.0
    a, b = states(halves.energy_a, beta), states(halves.energy_b, beta, copies)
    return merge_product(a, b, halves.interaction, halves.b.T, beta)


def enumerate_spins(
    couplings: np.ndarray, field: np.ndarray | float | None, beta: float, observables: bool = True
) -> Thermodynamics:
    """F, E, S, C of n <= 24 spins, exact to rounding at any beta > 0.

    `couplings` (n, n) symmetric with zero diagonal; `field` (n,), a number or None.  With `observables=False` only F
    and ln Z are given.  Raises ValueError for n > 24, a bad matrix, or beta <= 0.
    """
    check_beta(beta)
    union = _log_partition(_halves(*check_problem(couplings, field)), beta)
    if not observables:
        return Thermodynamics.from_estimates(Estimate(float(union.log_weight)), None, beta, "enumeration")
    return union.totals(beta, "enumeration")


def _probabilities(halves: Halves, beta: float, lnZ: float) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of rows of the joint probability p(s_a, s_b), shape (rows, B)."""
    rows = max(1, 2**20 // len(halves.b))
    for first in range(0, len(halves.a), rows):
        block = slice(first, first + rows)
        energy = halves.energy_a[block, None] + halves.energy_b + halves.interaction[block] @ halves.b.T
        yield block, np.exp(-beta * energy - lnZ) * (2.0 if halves.mirrored else 1.0)


def spin_moments(couplings: np.ndarray, field: np.ndarray | float | None, beta: float) -> dict[str, np.ndarray]:
    """Exact `abs_m` = <|sum_i s_i|>/n (), `m` = <s_i> (n,) and `correlation` = <s_i s_j> (n, n) for n <= 24 spins.

    Without a field <s_i> is exactly zero.  Raises ValueError as `enumerate_spins` does.
    """
    check_beta(beta)
    halves = _halves(*check_problem(couplings, field))
    lnZ = float(_log_partition(halves, beta).log_weight)
    a, b, cut = halves.a, halves.b, halves.a.shape[1]
    n = cut + b.shape[1]
    marginal_a, marginal_b = np.zeros(len(a)), np.zeros(len(b))
    cross, abs_m = np.zeros((cut, n - cut)), 0.0
    sum_b = b.sum(axis=1)
    for block, p in _probabilities(halves, beta, lnZ):
        marginal_a[block], cross = p.sum(axis=1), cross + a[block].T @ (p @ b)
        marginal_b += p.sum(axis=0)
        abs_m += float(np.sum(p * np.abs(a[block].sum(axis=1)[:, None] + sum_b)))
    m = np.concatenate([marginal_a @ a, marginal_b @ b]) * (0.0 if halves.mirrored else 1.0)
    correlation = np.block([[a.T @ (marginal_a[:, None] * a), cross], [cross.T, b.T @ (marginal_b[:, None] * b)]])
    return {"abs_m": np.asarray(abs_m / n), "m": m, "correlation": correlation}


def enumerate_energy(energy: Callable[[jax.Array], jax.Array], n: int, beta: float) -> Thermodynamics:
    """F, E, S, C of any Hamiltonian `energy(s: (n,)) -> scalar` that jax can trace, s_i = +-1, n <= 24 spins.

    Raises ValueError for n > 24 or beta <= 0.
    """
    check_beta(beta)
    if not 1 <= n <= MAX_SPINS:
        raise ValueError(f"enumeration is limited to 1..{MAX_SPINS} spins, and this system has {n}")
    low = min(n, 16)
    lower = all_spins(low)
    blocks = []
    with double_precision():
        batched = jax.jit(jax.vmap(energy))
        for upper in all_spins(n - low):
            spins = np.concatenate([np.broadcast_to(upper, (len(lower), n - low)), lower], axis=1)
            blocks.append(merge(states(np.asarray(batched(jnp.asarray(spins))), beta)))
    return merge_list(blocks).totals(beta, "enumeration")
