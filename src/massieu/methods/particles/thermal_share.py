"""How much of the fluctuations of J costs entropy: what leads from a set K to others that are as probable.

    <K|K'> is 2 <K|J|K'> to first order, so that sum_K' |<K|K'>|^2 sqrt(p'/p) is 4 f (<J^2>_K - <J>_K^2),
    f = E_K[ sum_K' |<K|J|K'>|^2 e^{-beta (E' - E)/2} ] / E_K[ sum_K' |<K|J|K'>|^2 ]

f is small for a cold gas, whose correlations have high momenta, and 1 for a classical one.  J here is that
of the random-phase approximation of the Coulomb gas, sum_q (1 - sqrt(1 + 2 n v_q/q^2)) rho_q rho_-q (Gaskell, Proc.
Phys. Soc. 77, 1182 (1961)), and K are sets of the ideal gas: the training asks for the size of f, not for its digits.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from massieu.geometry import integer_vectors
from massieu.states import DensityMatrix
from massieu.units import fermi_wavevector

HOT = 0.3  # shares above are counted as 1, and the evaluation needs no overlaps (completeness.py)
SETS = 24
REACH = 2.5  # of k_F: momentum transfers
MOST_PAIRS = 300  # of each set


def thermal_share(system: Any, rho: DensityMatrix, beta: float, seed: int) -> float:
    """f, between 0 and 1."""
    if not np.isfinite(beta) or system.n < 2:
        return 0.0
    labels = jax.jit(jax.vmap(rho.p.sample_and_log_prob))(jax.random.split(jax.random.key(seed), SETS))[0]
    radius = REACH * fermi_wavevector(system.rs, system.dim, system.spins[0] / system.n) * system.length / (2 * np.pi)
    q = integer_vectors(system.dim, radius)
    q = q[np.any(q != 0, axis=1)]
    spin, rng = np.repeat(np.arange(len(system.spins)), system.spins), np.random.default_rng(seed)
    found = np.zeros(2)
    for label in np.asarray(labels):
        sets, twist = rho.psi.orbitals[label[1:]], rho.psi.twist[label[0]]
        found += _weighed(system, sets, twist, spin, q, beta, rng)
    return min(1.0, float(found[0] / max(found[1], 1e-300)))


def _weighed(
    system: Any, sets: np.ndarray, twist: np.ndarray, spin: np.ndarray, q: np.ndarray, beta: float, rng: Any
) -> np.ndarray:
    """Both sums over K' of one K, momenta (N, dim) of spins (N,): with the Boltzmann factor and without (2,)."""
    i, j = np.triu_indices(len(sets), 1)
    some = rng.permutation(len(i))[:MOST_PAIRS]
    i, j = i[some], j[some]
    to_i, to_j = sets[i][:, None] + q, sets[j][:, None] - q  # (pairs, transfers, dim)
    equal = spin[i] == spin[j]
    exchanged = np.where(equal[:, None], _amplitude(system, to_j - sets[i][:, None]), 0.0)
    amplitude = _amplitude(system, q)[None] - exchanged
    free = ~(_is_in(to_i, sets, spin, spin[i]) | _is_in(to_j, sets, spin, spin[j]))
    free &= ~(equal[:, None] & np.all(to_i == to_j, axis=-1))
    unit = system.kinetic_scale * (2 * np.pi) ** 2
    before = np.sum((sets[i] + twist) ** 2, axis=-1) + np.sum((sets[j] + twist) ** 2, axis=-1)
    after = np.sum((to_i + twist) ** 2, axis=-1) + np.sum((to_j + twist) ** 2, axis=-1)
    once = np.where(equal, 0.5, 1.0)[:, None]  # of equal spins the same K' comes by two transfers
    weight = free * once * amplitude**2
    return np.array([np.sum(weight * np.exp(-0.5 * beta * unit * (after - before[:, None]))), np.sum(weight)])


def _amplitude(system: Any, q: np.ndarray) -> np.ndarray:
    """1 - sqrt(1 + 2 n v_q/q^2) of integer vectors (.., dim), zero of the zero vector."""
    square = np.sum(q**2, axis=-1) * (2 * np.pi / system.length) ** 2
    density = system.n / system.length**system.dim
    safe = np.where(square == 0, 1.0, square)
    coulomb = 8 * np.pi / safe if system.dim == 3 else 4 * np.pi / np.sqrt(safe)
    return np.where(square == 0, 0.0, 1 - np.sqrt(1 + 2 * density * coulomb / safe))


def _is_in(momenta: np.ndarray, sets: np.ndarray, spin: np.ndarray, of_pair: np.ndarray) -> np.ndarray:
    """Which momenta (pairs, transfers, dim) are occupied in K by the spin of their pair (pairs,)."""
    reach = int(max(np.abs(momenta).max(), np.abs(sets).max()))
    sides = (2 * reach + 1,) * sets.shape[1]
    occupied = np.zeros((int(spin.max()) + 1, *sides), bool)
    occupied[(spin, *(sets + reach).T)] = True
    return occupied[(of_pair[:, None], *np.moveaxis(momenta + reach, -1, 0))]
