"""Few electrons: the Hamiltonian between determinants with a Jastrow factor, measured and diagonalised in each sector.

    H C = S C E,   p(k) ~ exp(-beta E_k),   S and H as in sector_sums.py

J is trained with single determinants; the states and p follow from one measurement, and the evaluation finds their
energies and their overlaps from independent samples (evaluate_sectors.py).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.errors import RunError
from massieu.methods.particles.correlated import Loop
from massieu.methods.particles.options import ParticleOptions
from massieu.methods.particles.sector_sums import hermitian, measured_families, of_determinants, spectrum, sums_of
from massieu.methods.training import Problem, TrainState
from massieu.states import DensityMatrix
from massieu.states.correlated import CorrelatedStates
from massieu.states.sectors import NEVER

POINTS = (40, 200)  # for each determinant, in each half of a measurement: least, most
FULL_WEIGHT = 0.1  # of a family, where it has the most
MEASURE_SEED = 2**29


class Frame(NamedTuple):
    """States C (families, m, m) as measured, and ln p (1, n) of all states."""

    states: Array
    log_weights: Array


class SectorLoop(Loop):
    """Trains J with single determinants of given weights; measures the sectors before the last step."""

    def __init__(self, system: Any, rho: DensityMatrix, beta: float, options: ParticleOptions):
        super().__init__(system, rho, beta, options)
        self.sectors = rho.psi.mixing
        self.table = Frame(jnp.asarray(self.sectors.states), jnp.asarray(rho.p.log_weights))
        self.sums = sums_of(system, rho.psi, self.sectors)

    def price_of_jastrow(self, rho: DensityMatrix) -> float:
        """Nothing: sectors are diagonalised with their overlaps."""
        return 0.0

    def ensemble(self, params: Any, frame: Any) -> DensityMatrix:
        """Single determinants, with the weights that training starts from."""
        rho = super().combined(params, frame)
        return eqx.tree_at(lambda rho: rho.psi.mixing, rho, None)

    def combined(self, params: Any, frame: Any) -> DensityMatrix:
        """The mixed states, with the p of their energies."""
        rho = super().combined(params, frame)
        rho = eqx.tree_at(lambda rho: rho.psi.mixing.states, rho, frame.states)
        return eqx.tree_at(lambda rho: rho.p.log_weights, rho, frame.log_weights)

    def first_frame(self) -> Any:
        return self.table

    def between_steps(self, state: TrainState) -> TrainState:
        """With measured states and weights before the last step."""
        if not self._is_due(state):
            return state
        key = jax.random.fold_in(state.key, MEASURE_SEED)
        return state._replace(frame=self.measured(self.ensemble(state.params, state.frame).psi, key))

    def announced(self, state: TrainState) -> str:
        """A line before the measurement."""
        families = measured_families(self.sectors)
        number = sum(family.size for _, family in families)
        what = f"measuring the Hamiltonian between {number} determinants in {len(families)} sectors"
        return what if self._is_due(state) else ""

    def _is_due(self, state: TrainState) -> bool:
        return int(state.step) == self.options.steps - 1

    def measured(self, psi: CorrelatedStates, key: Array) -> Frame:
        """States and energies of every family, from two halves: the energies of each half's states are the other's."""
        copies = len(psi.jastrow.factors())
        states, energies = np.array(self.table.states), np.full(len(self.sectors.sets), np.inf)
        for number, family in measured_families(self.sectors):
            count = family.states
            halves, points = [], round(float(np.interp(family.weight, (0, FULL_WEIGHT), POINTS)))
            for half in jax.random.split(jax.random.fold_in(key, number)):
                nothing = np.zeros((copies * count, count)), np.zeros(count)
                halves.append(hermitian(self.sums(psi, family, *nothing, points * count, half), family))
            values, mixed = spectrum(halves)
            values, mixed = values[:count], mixed[:, :count]  # as many as there are labels, the lowest
            states[number, : copies * family.size, :count] = of_determinants(mixed, family, copies)
            for sector in family.sectors:
                energies[self.sectors.members[sector][:count]] = values
        if not np.all(np.isfinite(states)) or np.any(np.isnan(energies)):
            raise RunError("the energies between correlated determinants are not finite; try a smaller learning_rate")
        log_weights = boltzmann(energies, self.beta)
        return Frame(jnp.asarray(states), jnp.asarray(log_weights[None]))


def boltzmann(energies: np.ndarray, beta: float) -> np.ndarray:
    """ln p (n,) up to a constant; of the ground state that of the first lowest state alone."""
    if math.isinf(beta):
        return np.where(np.arange(len(energies)) == np.argmin(energies), 0.0, NEVER)
    return np.maximum(-beta * (energies - energies.min()), NEVER)


def problem(system: Any, rho: DensityMatrix, beta: float, options: ParticleOptions) -> Problem:
    """The same loop, with mixed states at its end."""
    loop = SectorLoop(system, rho, beta, options)
    statics = (loop.static_p, loop.static_psi)
    step, start = jax.jit(loop.step), loop.start()
    return Problem(step, start, statics, loop.combined, loop.between_steps, announced=loop.announced)
