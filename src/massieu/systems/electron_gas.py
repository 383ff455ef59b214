"""The uniform electron gas at finite temperature: N electrons in a periodic square or cubic box with a background.

H = -sum lap + sum_{i<j} 2/r_ij + background, in Ry and a0; Ewald sum with self-images; T = theta T_F.
"""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.errors import require
from massieu.exact.thermodynamics import Thermodynamics
from massieu.physics import finite_size
from massieu.physics.ewald import Ewald, madelung
from massieu.physics.plane_wave_matrix import coulomb_table
from massieu.states import DensityMatrix
from massieu.states.mixing import Mixing, small_enough
from massieu.systems.base import Reference, derived, parameter
from massieu.systems.periodic_electrons import PeriodicElectrons

MIXED_DETERMINANTS = 64


class ElectronGas(PeriodicElectrons):
    """n electrons, n_up and n_down of each spin, at density parameter rs and temperature theta T_F."""

    name: ClassVar[str] = "electron-gas"
    summary: ClassVar[str] = "uniform electron gas in a periodic box, finite temperature or ground state"
    pole: ClassVar[float] = 1.0
    source: ClassVar[str] = "Xie, Zhang and Wang, SciPost Phys. 14, 154 (2023)"

    interacting: bool = parameter(True, "false: the ideal gas")
    mix: int = parameter(
        MIXED_DETERMINANTS, "flow: determinants of one momentum mixed by the interaction, where they can be tabulated"
    )
    ewald: Ewald = derived()

    def __post_init__(self) -> None:
        require(isinstance(self.mix, int) and 1 <= self.mix <= 1000, "mix", self.mix, "an integer from 1 to 1000")
        super().__post_init__()
        self.ewald = Ewald(self.dim)

    @property
    def couples(self) -> bool:
        return self.interacting

    def potential(self, x: Array) -> Array:
        if not self.interacting:
            return jnp.zeros(())
        return 2 / self.length * self.ewald.energy(x)

    def default_ansatz(self, options: Any) -> DensityMatrix:
        asked = options.states == "flow" or self.mix == MIXED_DETERMINANTS
        require(asked, "mix", self.mix, "left out for correlated states, which have no use for it; states = flow has")
        return super().default_ansatz(options)

    @property
    def default_states(self) -> str:
        return super().default_states if self.mix == MIXED_DETERMINANTS else "flow"

    def tabulates(self, vectors: np.ndarray) -> bool:
        return self.interacting and len(vectors) > max(self.spins) and small_enough(len(vectors), self.spins)

    def mixing(self, vectors: np.ndarray) -> Mixing:
        """By the Coulomb energy."""
        coupling = 2 * self.length / (2 * np.pi) ** 2  # 2/L over (2 pi/L)^2, in Ry
        return Mixing(vectors, self.spins, coupling, self.mix)

    def exchange(self, vectors: np.ndarray) -> np.ndarray:
        return 2 / self.length * coulomb_table(vectors)

    # ---- what is known

    def reference(self, seed: int = 0) -> Reference:
        ideal = self.ideal()
        return Reference(self._exact(ideal) if self.interacting else ideal, {}, ideal)

    def _exact(self, ideal: Thermodynamics) -> Thermodynamics | None:
        """Of one electron, or of two or three at one twist where the basis in reach holds the thermal momenta."""
        from massieu.exact.diagonalisation import small_gas

        if self.n == 1:
            own = madelung(self.dim) / self.length  # its own images
            return ideal.shifted(own, self.beta, "one electron and its images")
        if self.n > 3 or len(self.twist_vectors) > 1:
            return None
        fewest = len(self.plane_waves(partners=False).vectors)
        return small_gas(self.spins, self.length, self.twist_vectors[0], self.beta, fewest)

    def finite_size(self, result: Any) -> dict[str, Any]:
        ideal, box = self.ideal(), finite_size.Box(self.spins, self.dim, self.length, self.temperature)
        totals = {"F": result.F, "E": result.E, "S": result.S}
        of_box = [e.value for e in (ideal.F, ideal.E, ideal.S) if e is not None]
        return {"finite_size": finite_size.entries(box, of_box, totals, self.interacting)}
