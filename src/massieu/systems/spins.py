"""Spins with any couplings and fields: H = -sum_{i<j} J_ij s_i s_j - sum_i h_i s_i."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from massieu.errors import InputError
from massieu.systems.base import PairwiseSpins, derived, given, parameter, temperature
from massieu.systems.couplings import chosen_couplings, chosen_fields, couplings_parameter, fields_parameter


class Spins(PairwiseSpins):
    """Couplings J_ij and fields h_i of one's own; energies in their units (k_B = 1).

    couplings: a matrix (n, n), dense or scipy.sparse, a networkx graph (its edges' `weight`, or 1), a lattice of
    `massieu.lattice`, or a file (`massieu.systems.couplings`); fields: (n,), a number, or a file.
    """

    name: ClassVar[str] = "spins"
    summary: ClassVar[str] = "spins with any couplings J_ij and fields h_i, from files"
    source: ClassVar[str] = "exact: enumeration up to 24 spins; annealed importance sampling beyond"

    couplings_file: str | None = couplings_parameter()
    beta: float = parameter(1.0, "inverse temperature")
    fields_file: str | None = fields_parameter()
    couplings: np.ndarray = given()
    fields: np.ndarray | None = given()
    field: np.ndarray = derived()

    def __post_init__(self) -> None:
        temperature(self.beta)
        if self.couplings is None and self.couplings_file is None:
            raise InputError("couplings = None: must be given, a matrix, a graph or the path of a file")
        self.couplings, beside, self.couplings_file = chosen_couplings(self.couplings, self.couplings_file)
        n = len(self.couplings)
        self.fields, self.fields_file = chosen_fields(self.fields, self.fields_file, beside, n)
        self.field = np.zeros(len(self.couplings)) if self.fields is None else self.fields

    def own_arrays(self) -> dict[str, np.ndarray]:
        return {"couplings": self.couplings} | ({} if self.fields is None else {"fields": self.fields})
