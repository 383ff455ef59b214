"""The quantum dot: electrons (or bosons, or distinguishable particles) with Coulomb repulsion in a harmonic trap.

H = sum_i (-1/2 lap_i + 1/2 r_i^2) + sum_{i<j} kappa/r_ij in Hartree units with omega = 1; on a line the repulsion is
kappa/sqrt(r^2 + 1).
"""

from __future__ import annotations

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.errors import require
from massieu.exact.thermodynamics import Thermodynamics
from massieu.systems.base import Reference, parameter
from massieu.systems.trapped_electrons import TrappedElectrons

SOFT = 1.0  # softening of the repulsion on a line


class QuantumDot(TrappedElectrons):
    """n particles, all of one spin or half of each, at inverse temperature beta; inf: the ground state."""

    name: ClassVar[str] = "quantum-dot"
    summary: ClassVar[str] = "electrons in a harmonic trap, H = sum (p^2 + r^2)/2 + sum kappa/r_ij"
    source: ClassVar[str] = "Xie, Zhang and Wang, J. Mach. Learn. 1, 38 (2022)"

    kappa: float = parameter(1.0, "strength of the repulsion")

    def __post_init__(self) -> None:
        good = isinstance(self.kappa, (int, float)) and math.isfinite(self.kappa) and self.kappa >= 0
        require(good, "kappa", self.kappa, "a finite number >= 0")
        super().__post_init__()

    @property
    def repulsion(self) -> float:
        return self.kappa

    def potential(self, x: Array) -> Array:
        i, j = np.triu_indices(self.n, 1)
        r2 = jnp.sum((x[i] - x[j]) ** 2, axis=-1) + (SOFT**2 if self.dim == 1 else 0.0)
        return 0.5 * jnp.sum(x**2) + self.kappa * jnp.sum(jax.lax.rsqrt(r2))

    # ---- what is known

    def reference(self, seed: int = 0) -> Reference:
        ideal = self.ideal()
        exact = self.kappa == 0 or self.n == 1
        return Reference(ideal if exact else self._pair() if self.n == 2 else None, {}, ideal)

    def _pair(self) -> Thermodynamics | None:
        """None where too many levels are thermal."""
        from massieu.exact.trapped_pair import HOTTEST, pair

        if self.beta < HOTTEST:
            return None

        parity = {"bose": "even", "boltzmann": "both"}.get(self.statistics, "odd" if self.polarised else "both")
        return pair(self.dim, self.beta, self.kappa, parity)
