"""The common shape of every independent answer: totals, k_B = 1, each value with its error."""

from __future__ import annotations

import math
from typing import NamedTuple

from massieu.principle import Estimate


class Thermodynamics(NamedTuple):
    """Totals for the whole system. ``None`` marks what a method does not give."""

    F: Estimate
    E: Estimate | None
    S: Estimate | None
    C: Estimate | None
    lnZ: Estimate
    method: str

    @classmethod
    def from_log_partition(cls, lnZ: float, energy: float, variance: float, beta: float, method: str) -> Thermodynamics:
        """Exact totals from ln Z, <H> and Var(H): F = -ln Z/beta, S = beta (E - F), C = beta^2 Var(H)."""
        F = -lnZ / beta
        S, C = Estimate(beta * (energy - F)), Estimate(beta**2 * variance)
        return cls(Estimate(F), Estimate(energy), S, C, Estimate(lnZ), method)

    @classmethod
    def from_estimates(cls, lnZ: Estimate, E: Estimate | None, beta: float, method: str) -> Thermodynamics:
        """Totals from independent estimates of ln Z and <H>; errors propagate as uncorrelated."""
        F = Estimate(-lnZ.value / beta, lnZ.error / beta)
        S = None
        if E is not None:
            S = Estimate(beta * (E.value - F.value), beta * math.hypot(E.error, F.error))
        return cls(F, E, S, None, lnZ, method)

    def shifted(self, energy: float, beta: float, method: str) -> Thermodynamics:
        """The same with a constant added to the Hamiltonian."""
        E = None if self.E is None else Estimate(self.E.value + energy, self.E.error)
        lnZ = Estimate(self.lnZ.value - beta * energy, self.lnZ.error)
        return self._replace(F=Estimate(self.F.value + energy, self.F.error), E=E, lnZ=lnZ, method=method)
