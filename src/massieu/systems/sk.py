"""The Sherrington-Kirkpatrick spin glass: every pair coupled at random, H = -sum_{i<j} J_ij s_i s_j - sum_i h_i s_i."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from massieu.errors import at_least, require
from massieu.systems.base import PairwiseSpins, derived, given, parameter, temperature
from massieu.systems.couplings import (
    MOST_SPINS,
    chosen_couplings,
    chosen_fields,
    couplings_parameter,
    fields_parameter,
    one_of_two,
)


class SK(PairwiseSpins):
    """Gaussian couplings of variance 1/n (Sherrington and Kirkpatrick 1975), or any couplings and fields of your own.

    couplings: a matrix (n, n), a sparse one, or a file; fields: (n,), a number, or a file.  Files are described in
    `massieu.systems.couplings`.
    """

    name: ClassVar[str] = "sk"
    summary: ClassVar[str] = "Sherrington-Kirkpatrick spin glass, or any couplings J_ij and fields h_i from files"
    source: ClassVar[str] = "exact: enumeration up to 24 spins; annealed importance sampling beyond"

    n: int | None = parameter(None, "number of spins (default: 20, or that of the couplings)")
    beta: float = parameter(1.0, "inverse temperature")
    couplings_seed: int | None = parameter(
        None, "seed of the couplings: default_rng(seed).normal(0, 1/sqrt(n), (n, n)), upper triangle (default: 0)"
    )
    couplings_file: str | None = couplings_parameter()
    fields_file: str | None = fields_parameter()
    couplings: np.ndarray = given()
    fields: np.ndarray | None = given()
    field: np.ndarray = derived()

    def __post_init__(self) -> None:
        temperature(self.beta)
        if self.n is not None:
            at_least("n", self.n, 1)
            require(self.n <= MOST_SPINS, "n", self.n, f"at most {MOST_SPINS}")
        array, self.couplings_file = one_of_two("couplings", self.couplings, self.couplings_file)
        beside = None
        if self.couplings_file is None and (array is None or self.couplings_seed is not None):
            self._draw(array)
        else:
            beside = self._read(array)
        self.n = len(self.couplings)
        self.fields, self.fields_file = chosen_fields(self.fields, self.fields_file, beside, self.n)
        self.field = np.zeros(self.n) if self.fields is None else self.fields

    def _draw(self, array: np.ndarray | None) -> None:
        """Couplings of the seed; others beside it are refused."""
        self.n = 20 if self.n is None else self.n
        self.couplings_seed = 0 if self.couplings_seed is None else self.couplings_seed
        at_least("couplings_seed", self.couplings_seed, 0)
        self.couplings = gaussian_couplings(self.n, self.couplings_seed)
        same = array is None or np.array_equal(array, self.couplings)
        require(same, "couplings_seed", self.couplings_seed, "left out (None) beside other couplings")

    def _read(self, array: np.ndarray | None) -> np.ndarray | None:
        """Couplings of the array or the file; returns the fields that the file has."""
        require(not self.couplings_seed, "couplings_seed", self.couplings_seed, "left out beside a file of couplings")
        self.couplings, beside, self.couplings_file = chosen_couplings(array, self.couplings_file, self.n)
        return beside

    def own_arrays(self) -> dict[str, np.ndarray]:
        drawn = self.couplings_file is None and self.couplings_seed is not None
        own = {} if drawn else {"couplings": self.couplings}
        return own | ({} if self.fields is None else {"fields": self.fields})


def gaussian_couplings(n: int, seed: int) -> np.ndarray:
    """J = triu(A, 1) + its transpose, with A normal of standard deviation 1/sqrt(n)."""
    upper = np.triu(np.random.default_rng(seed).normal(0, 1 / np.sqrt(n), (n, n)), 1)
    return upper + upper.T
