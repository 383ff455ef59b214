"""Qubits exactly: all levels by dense diagonalisation."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp, softmax

from massieu.errors import require
from massieu.exact.thermodynamics import Thermodynamics
from massieu.physics.pauli import PauliSum

MOST_QUBITS = 12  # 4096 levels


def levels(hamiltonian: PauliSum) -> np.ndarray:
    """All energies (2^n,), ascending; InputError beyond MOST_QUBITS."""
    require(hamiltonian.n <= MOST_QUBITS, "n", hamiltonian.n, f"at most {MOST_QUBITS} for exact diagonalisation")
    return np.linalg.eigvalsh(hamiltonian.matrix())


def thermal(energies: np.ndarray, beta: float) -> Thermodynamics:
    """Exact totals of the levels at beta."""
    p, lnZ = softmax(-beta * energies), float(logsumexp(-beta * energies))
    mean = float(p @ energies)
    return Thermodynamics.from_log_partition(
        lnZ, mean, float(p @ (energies - mean) ** 2), beta, "exact diagonalisation"
    )
