"""Qubits exactly: all levels by dense diagonalisation."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scipy

from massieu.errors import require
from massieu.exact.thermodynamics import Thermodynamics
from massieu.physics.pauli import PauliSum

MOST_DIAGONALISED = 12  # 4096 levels
MOST_EIGENSTATES = 10


def levels(hamiltonian: PauliSum) -> np.ndarray:
    """All energies (2^n,), ascending; InputError beyond MOST_DIAGONALISED."""
    require(
        hamiltonian.n <= MOST_DIAGONALISED, "n", hamiltonian.n, f"at most {MOST_DIAGONALISED} for exact diagonalisation"
    )
    return np.linalg.eigvalsh(hamiltonian.matrix())


def thermal(energies: np.ndarray, beta: float) -> Thermodynamics:
    """Exact totals of the levels at beta."""
    p, lnZ = scipy.special.softmax(-beta * energies), float(scipy.special.logsumexp(-beta * energies))
    mean = float(p @ energies)
    return Thermodynamics.from_log_partition(
        lnZ, mean, float(p @ (energies - mean) ** 2), beta, "exact diagonalisation"
    )


class Level(NamedTuple):
    """A part of the spectrum at beta: ln of its sum of exp(-beta E), mean and variance of E in it."""

    log_weight: float
    mean: float
    variance: float

    def shifted(self, energy: float, beta: float) -> Level:
        """With `energy` added to all of its levels."""
        return Level(self.log_weight - beta * energy, self.mean + energy, self.variance)

    def joined(self, other: Level) -> Level:
        """Both together; every term is positive, so that nothing cancels."""
        total = float(np.logaddexp(self.log_weight, other.log_weight))
        if total == -math.inf:
            return self
        mine, theirs = math.exp(self.log_weight - total), math.exp(other.log_weight - total)
        apart = self.mean - other.mean
        variance = mine * self.variance + theirs * other.variance + mine * theirs * apart**2
        return Level(total, mine * self.mean + theirs * other.mean, variance)


def ising_ring_in_a_field(n: int, beta: float, gamma: float, j: float = 1.0) -> Thermodynamics:
    """-J sum Z Z - gamma sum X on a ring of any length, by free fermions (Pfeuty, Ann. Phys. 57, 79 (1970)).

    Modes e_k have energies -e/2 and, occupied, +e/2: even numbers of fermions of antiperiodic modes and odd numbers
    of periodic modes are all levels; the unpaired modes k = 0 and pi keep their sign.  Even and odd excitations above
    the lowest state are summed apart, mode by mode: products of cosh and sinh would cancel where that state has the
    wrong parity, as in a frustrated ring.
    """
    total = Level(-math.inf, 0.0, 0.0)
    for odd in (False, True):
        k = 2 * np.pi * (np.arange(n) + (0.0 if odd else 0.5)) / n
        e = 2 * np.sqrt(np.maximum(0.0, gamma**2 + j**2 - 2 * j * gamma * np.cos(k)))
        unpaired = np.isclose(np.sin(k), 0, atol=1e-9)
        e[unpaired] = 2 * (gamma - j * np.cos(k[unpaired]))
        by_parity = Level(0.0, 0.0, 0.0), Level(-math.inf, 0.0, 0.0)
        for gap in np.abs(e).tolist():
            even, other = by_parity
            by_parity = even.joined(other.shifted(gap, beta)), other.joined(even.shifted(gap, beta))
        flipped = odd != bool(np.sum(e < 0) % 2)  # the lowest state has the wrong number of fermions
        total = total.joined(by_parity[int(flipped)].shifted(-0.5 * float(np.abs(e).sum()), beta))
    return Thermodynamics.from_log_partition(total.log_weight, total.mean, total.variance, beta, "free fermions")


def spectrum_and_averages(hamiltonian: PauliSum, beta: float) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """All energies, and thermal <Z_i>, <X_i>, <Z_0 Z_i>, <X_0 X_i> (n,) from all eigenstates; up to 2^10 of them."""
    n = hamiltonian.n
    require(n <= MOST_EIGENSTATES, "n", n, f"at most {MOST_EIGENSTATES} for all eigenstates")
    energies, states = np.linalg.eigh(hamiltonian.matrix())
    p = scipy.special.softmax(-beta * energies)
    spins = 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)[::-1]) & 1)
    turn, found = np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2), {}
    for name in ("z", "x"):
        weight = np.abs(states) ** 2 @ p
        found[name], found[name + name] = weight @ spins, weight @ (spins[:, :1] * spins)
        for q in range(n):
            states = np.einsum("pq,aqz->apz", turn, states.reshape(2**q, 2, -1)).reshape(states.shape)
    return energies, found
