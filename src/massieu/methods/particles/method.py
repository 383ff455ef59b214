"""Quantum particles: rho = sum_K p(K) |Psi_K><Psi_K| in a box or in a trap."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from massieu.errors import require
from massieu.methods.evaluation import Evaluation
from massieu.methods.figures import energies
from massieu.methods.method import Method, Shown
from massieu.methods.particles import figures_box, figures_trap, train
from massieu.methods.particles.evaluate import evaluate_quantum
from massieu.methods.particles.figures import health
from massieu.methods.particles.options import ParticleOptions
from massieu.methods.training import Problem, TrainState
from massieu.states import DensityMatrix
from massieu.systems.base import by_class
from massieu.systems.periodic_electrons import PeriodicElectrons
from massieu.systems.quantum import QuantumSystem
from massieu.systems.trapped_electrons import TrappedElectrons

FIGURES: dict[Any, Any] = {PeriodicElectrons: figures_box.all_figures, TrappedElectrons: figures_trap.all_figures}


class Particles(Method[ParticleOptions]):
    """Density matrices of a `QuantumSystem`."""

    name = "particles"
    options = ParticleOptions
    example = "--rs 1,5"
    baselines = "path integrals"

    def check(self, system: QuantumSystem, beta: float, options: ParticleOptions) -> None:
        super().check(system, beta, options)
        known = system.has_finite_size_corrections
        allowed = f"left out for {system.name}, whose corrections are not known"
        require(known or not options.finite_size, "finite_size", options.finite_size, allowed)

    def ansatz(self, system: QuantumSystem, options: ParticleOptions) -> DensityMatrix:
        return system.default_ansatz(options)

    def problem(self, system: QuantumSystem, density: Any, beta: float, options: ParticleOptions) -> Problem:
        return train.problem(system, density, beta, options)

    def evaluate(
        self, system: QuantumSystem, training: Problem, state: TrainState, beta: float, options: ParticleOptions,
        seed: int,
    ) -> Evaluation:  # fmt: skip
        result = evaluate_quantum(system, training.density(state), beta, options.samples, seed)
        if not options.finite_size:
            return result
        return result._replace(observables=result.observables | system.finite_size(result))

    def figures(self, system: QuantumSystem, shown: Shown) -> dict[str, Figure]:
        found = {"energies": energies(shown.rows, shown.summary, shown.known), "health": health(shown.rows)}
        own = by_class(FIGURES, type(system))
        return found if own is None else found | own(system, shown)
