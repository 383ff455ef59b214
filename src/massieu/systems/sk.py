"""The Sherrington-Kirkpatrick spin glass: every pair coupled at random, H = -sum_{i<j} J_ij s_i s_j."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from massieu.errors import at_least, require
from massieu.systems.base import PairwiseSpins, derived, parameter, read_couplings, temperature

MAX_SPINS = 2048


class SK(PairwiseSpins):
    """Gaussian couplings of variance 1/n (Sherrington and Kirkpatrick 1975), or any symmetric matrix from a file."""

    name: ClassVar[str] = "sk"
    summary: ClassVar[str] = "Sherrington-Kirkpatrick spin glass, or any couplings J_ij from a .npy file"
    source: ClassVar[str] = "exact: enumeration up to 24 spins; annealed importance sampling beyond"

    n: int | None = parameter(None, "number of spins (default: 20, or the size of the couplings file)")
    beta: float = parameter(1.0, "inverse temperature")
    couplings_seed: int = parameter(
        0, "seed of the couplings: default_rng(seed).normal(0, 1/sqrt(n), (n, n)), upper triangle"
    )
    couplings_file: str | None = parameter(
        None, flag="couplings", text="symmetric (n, n) matrix with zero diagonal, .npy"
    )
    couplings: np.ndarray = derived()
    field: np.ndarray = derived()

    def __post_init__(self) -> None:
        temperature(self.beta)
        at_least("couplings_seed", self.couplings_seed, 0)
        if self.n is not None:
            at_least("n", self.n, 1)
            require(self.n <= MAX_SPINS, "n", self.n, f"at most {MAX_SPINS}")
        if self.couplings_file is not None:
            self.couplings = read_couplings("couplings", self.couplings_file, self.n)
            self.n = len(self.couplings)
        else:
            self.n = 20 if self.n is None else self.n
            self.couplings = gaussian_couplings(self.n, self.couplings_seed)
        self.field = np.zeros(len(self.couplings))


def gaussian_couplings(n: int, seed: int) -> np.ndarray:
    """J = triu(A, 1) + its transpose, with A normal of standard deviation 1/sqrt(n)."""
    upper = np.triu(np.random.default_rng(seed).normal(0, 1 / np.sqrt(n), (n, n)), 1)
    return upper + upper.T
