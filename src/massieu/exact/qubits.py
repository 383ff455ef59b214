"""Qubits exactly: all levels by dense diagonalisation."""

from __future__ import annotations

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


def ising_ring_in_a_field(n: int, beta: float, gamma: float, j: float = 1.0) -> Thermodynamics:
    """-J sum Z Z - gamma sum X on a ring of any length, by free fermions (Pfeuty, Ann. Phys. 57, 79 (1970)).

    Z = 1/2 sum over both parities of prod 2 cosh(beta e/2) +- prod 2 sinh(beta e/2), of the modes e of antiperiodic
    (even) and periodic (odd) boundary condition; the unpaired modes k = 0 and pi keep their sign.
    """
    logs: list[float] = []
    signs, slopes, bends = list(logs), list(logs), list(logs)
    for parity in (1, -1):
        k = 2 * np.pi * (np.arange(n) + (0.5 if parity == 1 else 0.0)) / n
        e = 2 * np.sqrt(np.maximum(0.0, gamma**2 + j**2 - 2 * j * gamma * np.cos(k)))
        unpaired = np.isclose(np.sin(k), 0, atol=1e-9)
        e[unpaired] = 2 * (gamma - j * np.cos(k[unpaired]))
        half, x = 0.5 * e, 0.5 * beta * e
        logs.append(np.sum(np.logaddexp(x, -x)))
        signs.append(1.0)
        slopes.append(np.sum(half * np.tanh(x)))
        bends.append(np.sum((half / np.cosh(np.minimum(np.abs(x), 300.0))) ** 2))
        if np.all(np.abs(x) > 1e-14):  # else the product of sinh is zero at every beta
            size = np.abs(x)
            logs.append(np.sum(size + np.log(-np.expm1(-2 * size))))
            signs.append(float(parity * np.prod(np.sign(x))))
            slopes.append(np.sum(half / np.tanh(x)))
            bends.append(-np.sum((half / np.sinh(np.minimum(size, 300.0))) ** 2))
    total = float(scipy.special.logsumexp(logs, b=signs))
    weights = np.array(signs) * np.exp(np.array(logs) - total)
    slope = float(weights @ np.array(slopes))
    variance = float(weights @ (np.array(bends) + (np.array(slopes) - slope) ** 2))
    return Thermodynamics.from_log_partition(total - np.log(2), -slope, variance, beta, "free fermions")


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
