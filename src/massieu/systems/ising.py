"""The Ising model on a square lattice: H = -J sum_<ij> s_i s_j - h sum_i s_i."""

from __future__ import annotations

import contextlib
from typing import ClassVar

import numpy as np

from massieu.errors import InputError, at_least, finite, one_of, require
from massieu.exact.thermodynamics import Thermodynamics
from massieu.geometry import lattice_couplings
from massieu.systems.base import PairwiseSpins, derived, parameter, temperature

CRITICAL_BETA = 0.44068679
MAX_SITES = 4096


class Ising(PairwiseSpins):
    """Nearest-neighbour Ising model on an L x M lattice; energies in the units of j and h (k_B = 1).

    A periodic direction of extent 2 has two bonds between the same pair, as in Kaufman's formula.
    """

    name: ClassVar[str] = "ising"
    summary: ClassVar[str] = "Ising model on a square lattice, H = -J sum_<ij> s_i s_j - h sum s_i"
    linear: ClassVar[tuple[str, ...]] = ("j", "h")
    source: ClassVar[str] = "exact: Kaufman, Phys. Rev. 76, 1232 (1949); transfer matrix; enumeration"

    l: int = parameter(16, "side of the square lattice")
    shape: str | None = parameter(None, "sides of a rectangular lattice instead of l, e.g. 8x12")
    beta: float = parameter(CRITICAL_BETA, "inverse temperature (default: critical)")
    j: float = parameter(1.0, "coupling J (> 0: ferromagnet)")
    h: float = parameter(0.0, "magnetic field")
    boundary: str = parameter("periodic", "periodic or open")
    sides: tuple[int, int] = derived()
    couplings: np.ndarray = derived()
    field: np.ndarray = derived()

    def __post_init__(self) -> None:
        at_least("l", self.l, 1)
        temperature(self.beta)
        finite("j", self.j)
        finite("h", self.h)
        one_of("boundary", self.boundary, ["periodic", "open"])
        self.sides = (self.l, self.l) if self.shape is None else parse_shape(self.shape)
        n = self.sides[0] * self.sides[1]
        require(
            n <= MAX_SITES, "l" if self.shape is None else "shape", self.shape or self.l, f"at most {MAX_SITES} sites"
        )
        self.couplings = lattice_couplings(self.sides, self.j, self.boundary == "periodic")
        self.field = np.full(n, float(self.h))

    def exact(self, seed: int) -> Thermodynamics:
        """Kaufman on the torus without field, chains and rings, transfer matrices, else the general way."""
        from massieu.exact.ising import ising_chain, ising_ring, kaufman
        from massieu.exact.transfer import transfer_matrix

        short, long = sorted(self.sides)
        periodic = self.boundary == "periodic"
        if short == 1:
            chain = ising_ring if periodic and long > 1 else ising_chain
            return chain(long, self.beta, self.j, self.h)
        if periodic and self.h == 0 and self.j != 0:
            with contextlib.suppress(ValueError):  # wide frustrated lattices, where its terms cancel
                return kaufman(self.sides, self.beta, self.j)
        if short <= (10 if periodic else 16):
            return transfer_matrix(self.sides, self.beta, self.j, self.h, periodic)
        return super().exact(seed)


def parse_shape(text: str) -> tuple[int, int]:
    """'8x12' -> (8, 12); a single number is a ring or chain of that length."""
    words = str(text).lower().split("x")
    if not 1 <= len(words) <= 2 or not all(w.isdecimal() and int(w) > 0 for w in words):
        raise InputError(f"shape = {text}: must be one or two positive integers such as 16 or 8x12")
    sides = [int(w) for w in words]
    return (1, sides[0]) if len(sides) == 1 else (sides[0], sides[1])
