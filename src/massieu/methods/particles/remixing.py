"""During training: from time to time the mixed determinants become eigenstates of the measured Hamiltonian.

The states and their energies are measured with the parameters of one step and then kept; they are a part of the
training state, so that a run resumes with the same ones.  p starts anew from the energies.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jax import Array

from massieu.densities.occupation import TabulatedOccupation
from massieu.errors import RunError
from massieu.states import DensityMatrix, dressing
from massieu.states.mixing import Dressed
from massieu.systems.quantum import QuantumSystem

LEAST_WEIGHT = 1e-6  # blocks less probable than this are not measured


class Frame(NamedTuple):
    """States (B, m, m) of the blocks and ln p of all sets (Q, n) as measured; of the ground state ln p is empty."""

    states: Array
    log_weights: Array


def with_plain_tables(rho: DensityMatrix) -> DensityMatrix:
    """The same with tables measured in an earlier run as constants, not as parameters."""
    mixing = getattr(rho.psi, "mixing", None)
    if mixing is None or mixing.dressed is None:
        return rho
    plain = mixing.dressed._replace(states=np.asarray(mixing.dressed.states))
    rho = eqx.tree_at(lambda rho: rho.psi.mixing.dressed, rho, plain, is_leaf=_is_table)
    if isinstance(rho.p, TabulatedOccupation):
        rho = eqx.tree_at(lambda rho: rho.p.log_weights, rho, np.asarray(rho.p.log_weights))
    return rho


def _is_table(leaf: Any) -> bool:
    return leaf is None or isinstance(leaf, Dressed)


class Remixing:
    """Measures the blocks of a density matrix whose determinants are mixed."""

    @classmethod
    def of(cls, system: QuantumSystem, rho: DensityMatrix) -> Remixing | None:
        """None where nothing is mixed."""
        mixing = rho.psi.mixing
        return None if mixing is None or not len(mixing.of_slot) else cls(system, rho)

    def __init__(self, system: QuantumSystem, rho: DensityMatrix):
        self.system, self.mixing = system, rho.psi.mixing
        self.vectors, self.twist = np.asarray(rho.psi.orbitals), np.asarray(rho.psi.twist)
        self.unit = system.kinetic_scale * (2 * np.pi) ** 2
        self.families = dressing.families(self.mixing, self.vectors)
        self.tables = self.mixing.dressed or dressing.tables(self.mixing, self.families)
        thermal = isinstance(rho.p, TabulatedOccupation)
        self.start = Frame(
            jnp.asarray(self.tables.states), jnp.asarray(rho.p.log_weights) if thermal else jnp.zeros((0, 0))
        )
        samples = dressing.SAMPLES * self.mixing.amplitudes.shape[1]

        @jax.jit
        def moments(coefficients: Any, sets: Array, count: Array, total: Array, key: Array) -> tuple[Array, Array]:
            psi = eqx.tree_at(lambda psi: psi.flow.coefficients, rho.psi, coefficients)
            return dressing.moments(psi, system, sets, count, total, key, samples)

        self._moments = moments

    def framed(self, p: Any, psi: Any, frame: Frame) -> tuple[Any, Any]:
        """p and Psi, or what is not trained of them, with the states and energies of a frame."""
        tables = self.tables._replace(states=frame.states)
        psi = eqx.tree_at(lambda psi: psi.mixing.dressed, psi, tables, is_leaf=_is_table)
        if len(frame.log_weights):
            p = eqx.tree_at(lambda p: p.log_weights, p, frame.log_weights)
        return p, psi

    def measured(self, rho: DensityMatrix, frame: Frame, key: Array) -> Frame:
        """The frame of the present flow; blocks of little weight keep what they have."""
        probability = self._probability(rho)
        states, energies = np.array(frame.states), self.mixing.energies * self.unit
        shifts, weights, found = [], [], {}
        for number, family in enumerate(self.families):
            weight = probability[np.concatenate([ranks for ranks, _ in family.images])].sum()
            if weight < LEAST_WEIGHT:
                continue
            count = len(family.sets)
            values, mixed = self._block(rho, family, states[number, :count, :count], jax.random.fold_in(key, number))
            found[number], states[number, :count, :count] = values, mixed
            shifts.append(np.min(values) - np.min(energies[family.ranks]))
            weights.append(weight)
        if not found:
            return frame
        energies = energies + np.average(shifts, weights=weights)
        for number, values in found.items():
            own = self.tables.block == number
            energies[self.mixing.of_slot[own]] = values[self.tables.column[own]]
        return Frame(jnp.asarray(states), self._log_weights(energies, frame.log_weights))

    def _block(self, rho: DensityMatrix, family: dressing.Family, before: np.ndarray, key: Array):
        """Energies and states of one block; the states `before` with their energies where these have the lower F."""
        rows = self.tables.states.shape[-1] - len(family.sets)
        padded = np.pad(family.sets, ((0, rows), (0, 0)), mode="edge")
        halves = []
        for half in jax.random.split(key):
            sums = self._moments(rho.psi.flow.coefficients, padded, len(family.sets), family.total, half)
            halves.append(dressing.hamiltonian(sums, family))
        values, states = dressing.spectrum(halves)
        old = dressing.expectations(np.mean(halves, axis=0), before)
        if not (np.all(np.isfinite(values)) and np.all(np.isfinite(old))):
            raise RunError("the local energies between mixed determinants are not finite; try a smaller learning_rate")
        better = self._free_energy(values) < self._free_energy(old)
        return (values, states) if better else (old, before)

    def _free_energy(self, energies: np.ndarray) -> float:
        if np.isinf(self.system.beta):
            return float(energies[0])  # the occupied one
        return float(-scipy.special.logsumexp(-self.system.beta * energies) / self.system.beta)

    def _probability(self, rho: DensityMatrix) -> np.ndarray:
        """p (n,) of every set, averaged over the twists."""
        n, twists = len(self.mixing.energies), len(rho.psi.twist)
        if isinstance(rho.p, TabulatedOccupation):
            logits = jax.vmap(rho.p.logits)(jnp.arange(twists))
            return np.mean(np.asarray(jax.nn.softmax(logits, axis=1)), axis=0)
        ranks = self.mixing.ranks(rho.p.occupied)
        return np.bincount(ranks, minlength=n) / twists

    def _log_weights(self, energies: np.ndarray, like: Array) -> Array:
        """ln p (Q, n) up to a constant from energies (n,) at zero twist; the twist adds a boost."""
        if not len(like):
            return like
        total, twist = np.sum(self.vectors[self.mixing.all_sets()], axis=1), self.twist
        boosts = 2 * twist @ total.T + len(self.families[0].sets[0]) * np.sum(twist**2, axis=1)[:, None]
        log_weights = -self.system.beta * (energies + self.unit * boosts)
        return jnp.asarray(log_weights - log_weights.max(axis=1, keepdims=True))
