"""Spins with q states on any graph: what the Potts and the clock model share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.errors import at_least, at_most
from massieu.exact.thermodynamics import Thermodynamics
from massieu.systems.base import Reference, derived
from massieu.systems.vector_spins import VectorSpins

if TYPE_CHECKING:
    from massieu.exact.annealed import Sites

MOST_STATES = 64


class StateSpins(VectorSpins):
    """s_i in 0 .. q - 1 points along the row s_i of `directions` (q, r), which the group s -> s + 1 mod q permutes."""

    directions: np.ndarray = derived()
    if TYPE_CHECKING:  # a field here would come before those of the subclass
        q: int = 0

    def _check(self) -> None:
        at_least("q", self.q, 2)
        at_most("q", self.q, MOST_STATES)
        self.directions = self.pointing()

    def pointing(self) -> np.ndarray:
        """The vectors (q, r) of the states."""
        raise NotImplementedError

    @property
    def components(self) -> int:
        return self.directions.shape[1]

    def vectors(self, x: Array) -> Array:
        return jnp.asarray(self.directions)[x.astype(int)]

    def sites(self) -> Sites:
        """For a heat bath."""
        from massieu.exact.vector_spins import vector_sites

        return vector_sites(self.couplings, self.field, self.directions)

    def default_density(self, seed: int) -> Any:
        from massieu.densities.state_blanket import StateBlanket

        return StateBlanket(self.couplings, self.directions, self.field, seed=seed)

    def summed(self, seed: int) -> Thermodynamics:
        """The exact sum over the states where its tables are small enough, else annealed importance sampling."""
        from massieu.exact.annealed import ais_sites
        from massieu.exact.elimination import MOST_STATES as OF_TABLE
        from massieu.exact.elimination import eliminate, largest_table

        if largest_table(self.couplings, self.field, self.q) <= OF_TABLE:
            return eliminate(self.couplings, self.field, self.directions, self.beta)
        return ais_sites(self.sites(), self.beta, seed=seed)

    def beside(self, best: Thermodynamics) -> Reference:
        """The reference with the spins without couplings."""
        from massieu.exact.vector_spins import uncoupled

        return Reference(best, {}, uncoupled(self.field, self.directions, self.beta))
