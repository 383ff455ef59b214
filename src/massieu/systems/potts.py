"""The Potts model on any graph: H = -sum_{i<j} J_ij delta(s_i, s_j) - sum_i h_i(s_i), s_i in 0 .. q - 1."""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.systems.base import Reference, parameter
from massieu.systems.states import StateSpins


class Potts(StateSpins):
    """q states a site (Potts 1952; Wu, Rev. Mod. Phys. 54, 235 (1982)); energies in the units of J.

    fields: (n, q), h_i(s) of every state.  For q = 2 the Ising model of J/2, less sum J_ij/2.
    """

    name: ClassVar[str] = "potts"
    summary: ClassVar[str] = "Potts model on any graph, H = -sum_{i<j} J_ij delta(s_i, s_j) - sum h_i(s_i)"
    source: ClassVar[str] = "exact: transfer matrix or enumeration on small or narrow graphs; annealing beyond"

    q: int = parameter(3, "number of states of a site")

    def pointing(self) -> np.ndarray:
        return np.eye(self.q)

    def observables(self, x: Array) -> dict[str, Array]:
        """Shares of the states (q,), abs_m = (q max share - 1)/(q - 1) and m2 = (q sum share^2 - 1)/(q - 1)."""
        share = jnp.mean(self.vectors(x), axis=0)
        q = self.q
        of_squares = (q * jnp.sum(share**2) - 1) / (q - 1)
        return {"abs_m": (q * jnp.max(share) - 1) / (q - 1), "m2": of_squares, "shares": share}

    def reference(self, seed: int = 0) -> Reference:
        return self.beside(self.summed(seed))
