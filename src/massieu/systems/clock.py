"""The clock model on any graph: H = -sum_{i<j} J_ij cos(2 pi (s_i - s_j)/q) - sum_i h_i . u_i, s_i in 0 .. q - 1."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jax import Array

from massieu.systems.base import Reference, parameter
from massieu.systems.states import StateSpins
from massieu.systems.vector_spins import order_in_the_plane


class Clock(StateSpins):
    """q directions of the plane, u = (cos, sin)(2 pi s/q) (Jose et al., Phys. Rev. B 16, 1217 (1977)).

    q = 2 is the Ising model, q = 3 the Potts model of 3 J/2 less sum J_ij/2, q = 4 two Ising models of J/2.
    """

    name: ClassVar[str] = "clock"
    summary: ClassVar[str] = "clock model of q directions on any graph, H = -sum_{i<j} J_ij cos(2 pi (s_i - s_j)/q)"
    source: ClassVar[str] = "exact: transfer matrix or enumeration on small or narrow graphs; annealing beyond"

    q: int = parameter(6, "number of directions")

    def pointing(self) -> np.ndarray:
        angles = 2 * np.pi * np.arange(self.q) / self.q
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)

    def observables(self, x: Array) -> dict[str, Array]:
        return order_in_the_plane(self.vectors(x))

    def reference(self, seed: int = 0) -> Reference:
        return self.beside(self.summed(seed))
