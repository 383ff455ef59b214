"""The quantum dot: electrons (or bosons, or distinguishable particles) with Coulomb repulsion in a harmonic trap.

H = sum_i (-1/2 lap_i + 1/2 r_i^2) + sum_{i<j} kappa/r_ij in Hartree units with omega = 1; on a line the repulsion is
kappa/sqrt(r^2 + 1).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.densities.occupation import TabulatedOccupation
from massieu.errors import InputError, require
from massieu.exact.thermodynamics import Thermodynamics
from massieu.exact.trapped_gas import ideal_gas
from massieu.states import DensityMatrix
from massieu.states.radial_flow import RadialFlow
from massieu.states.sectors import NEVER
from massieu.states.trap_jastrow import TrapJastrow, trap_cusp_slopes
from massieu.states.trap_sectors import TrapSectors, trap_sectors
from massieu.states.trapped import TrappedFlow
from massieu.states.trapped_correlated import TrappedCorrelated
from massieu.systems.base import Reference, parameter
from massieu.systems.inheritance import holds
from massieu.systems.trapped_electrons import TrappedElectrons

FEW = 4  # electrons up to here are diagonalised, if their thermal states are not too many
COLDEST = 3.0  # inverse temperature of the determinants that the Jastrow factor is trained with
SOFT = 1.0  # softening of the repulsion on a line


@lru_cache(maxsize=4)
def _shared_sectors(spins: tuple[int, ...], dim: int, beta: float) -> TrapSectors | None:
    cold = math.isinf(beta)
    return trap_sectors(spins, dim, beta, 0.0 if cold else sum(ideal_gas(n, dim, beta, "fermi")[0] for n in spins if n))


class QuantumDot(TrappedElectrons):
    """n particles, all of one spin or half of each, at inverse temperature beta; inf: the ground state."""

    name: ClassVar[str] = "quantum-dot"
    summary: ClassVar[str] = "electrons in a harmonic trap, H = sum (p^2 + r^2)/2 + sum kappa/r_ij"
    source: ClassVar[str] = "Xie, Zhang and Wang, J. Mach. Learn. 1, 38 (2022)"
    states: ClassVar[tuple[str, ...]] = ("flow", "correlated")
    samples_of_few: ClassVar[int] = 50_000

    kappa: float = parameter(1.0, "strength of the repulsion")

    def __post_init__(self) -> None:
        good = isinstance(self.kappa, (int, float)) and math.isfinite(self.kappa) and self.kappa >= 0
        require(good, "kappa", self.kappa, "a finite number >= 0")
        super().__post_init__()

    @property
    def repulsion(self) -> float:
        return self.kappa

    @property
    def couples(self) -> bool:
        return self.kappa > 0 and self.n > 1

    # ---- correlated states of a few electrons

    @property
    def default_states(self) -> str:
        """Correlated where they are few enough to be diagonalised, and nothing is asked of the shells."""
        return "correlated" if self.shells is None and self.few else "flow"

    @property
    def few(self) -> bool:
        good = self.couples and self.statistics == "fermi" and self.n <= FEW and holds(type(self), "repulsion")
        return good and self._sectors() is not None

    def _sectors(self) -> TrapSectors | None:
        return _shared_sectors(self.spins, self.dim, float(self.beta))

    def default_ansatz(self, options: Any) -> DensityMatrix:
        return self._correlated(options) if options.states == "correlated" else super().default_ansatz(options)

    def _correlated(self, options: Any) -> DensityMatrix:
        """Determinants with a Jastrow factor, sector by sector, and p a table that starts without interaction."""
        found = self._sectors() if self.few else None
        what = f"n = {self.n}, dim = {self.dim}, beta = {self.beta}, statistics = {self.statistics}"
        if found is None:
            raise InputError(
                f"states = correlated: must be flow for {what}: correlated ones are for few thermal electrons"
            )
        require(self.shells is None, "shells", self.shells, "left out for correlated states")
        for name in ("backflow", "depth"):
            value = getattr(options, name)
            require(not value, name, value, f"left out for {self.name}, whose determinants are mixed")
        orbitals, sectors, energies = found
        size = (1.0 + self.kappa ** (1 / 3)) * 0.7
        flow = RadialFlow(self.spins, self.dim, layers=0, sectors=1, spacing=1.0)
        jastrow = TrapJastrow(self.spins, size, trap_cusp_slopes(self.dim, self.kappa))
        psi = TrappedCorrelated(self.beta, TrappedFlow(self.spins, self.statistics, orbitals, flow), jastrow, sectors)
        log_weights = np.where(np.isfinite(energies), -min(self.beta, COLDEST) * energies, NEVER)
        none = np.zeros(len(energies), int)
        return DensityMatrix(TabulatedOccupation(sectors.index, sectors.sets, log_weights[None], none, 0.0 * none), psi)

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
