"""The final evaluation of a circuit ensemble: sums over all basis states, or averages over samples with errors."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu import statistics
from massieu.methods.evaluation import Evaluation, shaped
from massieu.principle import Estimate
from massieu.states.circuit import rotated_to_x
from massieu.states.ensemble import CircuitEnsemble, all_spins
from massieu.systems.qubits import QubitSystem

SHOWN = 20  # levels, from the lowest
CHUNK = 32
KEPT = 2000


def evaluate_qubits(system: QubitSystem, rho: CircuitEnsemble, beta: float, samples: int, seed: int) -> Evaluation:
    """Exact averages over rho where all basis states are summed over, else over `samples` of p; x64 must be on.

    C = beta^2 Var(E_x) is that of the levels of the ensemble; beta^2 (<H^2> - <H>^2), larger where they are no
    eigenstates, is an observable beside it.
    """
    weighed = _all(system, rho, beta) if system.sums_over_all else _samples(system, rho, samples, seed)
    energy, log_p, of_states, spins, mean = weighed
    f = energy + log_p / beta
    F, E = mean(f), mean(energy)
    inside = mean(of_states.pop("variance"))
    C = mean((beta * (energy - E.value)) ** 2)
    order = np.argsort(energy)
    lowest = np.unique(energy[order].round(9))[:SHOWN] if not system.sums_over_all else energy[order][:SHOWN]
    observables: dict[str, Any] = {
        "purity": mean(np.exp(log_p)).as_dict(),
        "heat_capacity_from_hamiltonian": Estimate(
            C.value + beta**2 * inside.value, math.hypot(C.error, beta**2 * inside.error)
        ).as_dict(),
        "energy_variance_within_states": inside.as_dict(),
        "levels": {"value": lowest.tolist(), "error": [0.0] * len(lowest)},
    }
    for name, values in of_states.items():
        observables[name] = shaped(tuple(mean(column) for column in values.T), values.shape[1:])
    return Evaluation(
        F=F,
        E=E,
        S=mean(-log_p),
        C=C,
        F_var=mean((f - F.value) ** 2).value + inside.value,
        observables=observables,
        importance={},
        samples={"x": spins[:KEPT], "energy": energy[:KEPT], "log_prob": log_p[:KEPT]},
    )


def _all(system: QubitSystem, rho: CircuitEnsemble, beta: float):
    """Energies, ln p and averages of all basis states, and the exact mean over p."""
    spins = all_spins(system.size)
    energy, of_states = _weigh(system, rho, spins)
    log_p = np.asarray(rho.all_log_prob(jnp.asarray(energy), beta))
    p = np.exp(log_p)
    return energy, log_p, of_states, spins, lambda values: Estimate(float(p @ values), 0.0)


def _samples(system: QubitSystem, rho: CircuitEnsemble, samples: int, seed: int):
    """The same of samples of p, whose mean has an error; basis states that are drawn twice are weighed once."""
    spins, log_p = (np.asarray(a) for a in rho.p.sample_and_log_prob(jax.random.key(seed), (samples,)))
    different, index = np.unique(spins, axis=0, return_inverse=True)
    energy, of_states = _weigh(system, rho, different)
    back = index.ravel()
    of_states = {name: values[back] for name, values in of_states.items()}
    return energy[back], log_p, of_states, spins, lambda values: statistics.mean(values, unit=1.0)


def _weigh(system: QubitSystem, rho: CircuitEnsemble, spins: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Energies (B,) and averages of the states of spins (B, n), chunk by chunk."""

    @jax.jit
    def chunk(spins: Array) -> tuple[Array, dict[str, Array]]:
        levels, u = rho.levels_and_states(system.hamiltonian, spins)
        return levels.energy, {"variance": levels.variance} | _correlations(u, system.size)

    count = len(spins)
    padded = np.concatenate([spins, np.ones((-count % CHUNK, spins.shape[1]))])
    parts = [jax.tree.map(np.asarray, chunk(jnp.asarray(part))) for part in padded.reshape(-1, CHUNK, spins.shape[1])]
    return jax.tree.map(lambda *rows: np.concatenate(rows)[:count], *parts)


def _correlations(u: Array, n: int) -> dict[str, Array]:
    """<Z_i>, <X_i>, <Z_0 Z_i> and <X_0 X_i> (B, n) in states u (2^n, B)."""
    spins, found = jnp.asarray(all_spins(n)), {}
    for name, state in (("z", u), ("x", rotated_to_x(u, n))):
        weight = jnp.abs(state.T) ** 2
        found[name] = weight @ spins
        found[name + name] = weight @ (spins[:, :1] * spins)
    return found
