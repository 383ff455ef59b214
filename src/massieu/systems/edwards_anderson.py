"""The Edwards-Anderson spin glass: H = -sum_<ij> J_ij s_i s_j, J_ij at random on the bonds of a lattice."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from massieu.errors import at_least, finite, one_of, require
from massieu.physics.lattices import lattice
from massieu.systems.base import PairwiseSpins, derived, parameter, temperature
from massieu.systems.couplings import MOST_SPINS


class EdwardsAnderson(PairwiseSpins):
    """Couplings +-1 or Gaussian with variance 1 (Edwards and Anderson, J. Phys. F 5, 965 (1975)); units of their width.

    The couplings of bonds, in the order of `massieu.lattice`, are those of default_rng(couplings_seed): choice([-1, 1])
    or normal(); a periodic side of 2 has two bonds between its sites.
    """

    name: ClassVar[str] = "ea"
    summary: ClassVar[str] = "Edwards-Anderson spin glass in 2 or 3 dimensions, H = -sum_<ij> J_ij s_i s_j - h sum s"
    source: ClassVar[str] = "exact: enumeration up to 24 spins; annealed importance sampling beyond"

    l: int = parameter(4, "side of the lattice")
    dim: int = parameter(3, "dimensions of space, 2 or 3")
    beta: float = parameter(1.0, "inverse temperature")
    disorder: str = parameter("pm", "couplings: pm (+1 or -1) or gaussian")
    couplings_seed: int = parameter(0, "seed of the couplings")
    h: float = parameter(0.0, "magnetic field")
    boundary: str = parameter("periodic", "periodic or open")
    couplings: np.ndarray = derived()
    field: np.ndarray = derived()

    def __post_init__(self) -> None:
        at_least("l", self.l, 2)
        require(self.dim in (2, 3), "dim", self.dim, "2 or 3")
        require(self.l**self.dim <= MOST_SPINS, "l", self.l, f"smaller, of at most {MOST_SPINS} sites")
        temperature(self.beta)
        finite("h", self.h)
        one_of("disorder", self.disorder, ["pm", "gaussian"])
        at_least("couplings_seed", self.couplings_seed, 0)
        bonds = lattice("x".join([str(self.l)] * self.dim), boundary=self.boundary)
        rng, count = np.random.default_rng(self.couplings_seed), len(bonds.bonds)
        drawn = rng.choice([-1.0, 1.0], count) if self.disorder == "pm" else rng.normal(size=count)
        self.couplings = bonds.couplings(drawn)
        self.field = np.full(bonds.n, float(self.h))
