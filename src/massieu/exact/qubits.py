"""Qubits exactly: all levels by dense diagonalisation."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp, softmax

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
    p, lnZ = softmax(-beta * energies), float(logsumexp(-beta * energies))
    mean = float(p @ energies)
    return Thermodynamics.from_log_partition(
        lnZ, mean, float(p @ (energies - mean) ** 2), beta, "exact diagonalisation"
    )


def ising_ring_in_a_field(n: int, beta: float, gamma: float, j: float = 1.0) -> Thermodynamics:
    """-J sum Z Z - gamma sum X on a ring of any length, by free fermions (Pfeuty, Ann. Phys. 57, 79 (1970)).

    Z is half the sum over fermions with antiperiodic (even parity) and periodic (odd parity) boundary condition.
    """

    def log_partition(beta: float) -> float:
        terms, signs = [], []
        for parity in (1, -1):
            k = 2 * np.pi * (np.arange(n) + (0.5 if parity == 1 else 0.0)) / n
            e = 2 * np.sqrt(np.maximum(0.0, gamma**2 + j**2 - 2 * j * gamma * np.cos(k)))
            if parity == -1:  # the unpaired modes k = 0 and, of even rings, k = pi keep their sign
                e[0] = 2 * (gamma - j)
            x = 0.5 * beta * e
            unpaired = [i for i in range(n) if np.isclose(np.sin(k[i]), 0, atol=1e-9)]
            if parity == 1 and unpaired:
                e[unpaired] = 2 * (gamma + j)
            terms += [np.sum(np.logaddexp(x, -x)), np.sum(np.abs(x) + np.log1p(-np.exp(-2 * np.abs(x))))]
            signs += [1.0, parity * np.prod(np.sign(x))]
        return float(logsumexp(terms, b=np.array(signs))) - np.log(2)

    step = 1e-3 * beta
    values = [log_partition(beta + k * step) for k in (-2, -1, 0, 1, 2)]
    slope = (values[0] - 8 * values[1] + 8 * values[3] - values[4]) / (12 * step)
    bend = (-values[0] + 16 * values[1] - 30 * values[2] + 16 * values[3] - values[4]) / (12 * step**2)
    return Thermodynamics.from_log_partition(values[2], -slope, bend, beta, "free fermions")


def spectrum_and_averages(hamiltonian: PauliSum, beta: float) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """All energies, and thermal <Z_i>, <X_i>, <Z_0 Z_i>, <X_0 X_i> (n,) from all eigenstates; up to 2^10 of them."""
    n = hamiltonian.n
    require(n <= MOST_EIGENSTATES, "n", n, f"at most {MOST_EIGENSTATES} for all eigenstates")
    energies, states = np.linalg.eigh(hamiltonian.matrix())
    p = softmax(-beta * energies)
    spins = 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)[::-1]) & 1)
    turn, found = np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2), {}
    for name in ("z", "x"):
        weight = np.abs(states) ** 2 @ p
        found[name], found[name + name] = weight @ spins, weight @ (spins[:, :1] * spins)
        for q in range(n):
            states = np.einsum("pq,aqz->apz", turn, states.reshape(2**q, 2, -1)).reshape(states.shape)
    return energies, found
