"""Quantum particles: rho = sum_K p(K) |Psi_K><Psi_K| in a box or in a trap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from massieu.errors import require
from massieu.methods.evaluation import Evaluation
from massieu.methods.method import Method, Shown
from massieu.methods.particles import train
from massieu.methods.particles.evaluate import evaluate_quantum
from massieu.methods.particles.options import ParticleOptions
from massieu.methods.training import Problem, TrainState
from massieu.states import DensityMatrix
from massieu.systems.quantum import QuantumSystem

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
        from massieu.methods.particles.figures import all_figures

        return all_figures(system, shown)
