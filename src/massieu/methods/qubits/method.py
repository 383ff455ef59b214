"""Qubits: an ensemble of basis states carried by a circuit, rho = sum_x p(x) U|x><x|U^+."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from massieu.errors import positive, require
from massieu.methods.evaluation import Evaluation
from massieu.methods.method import Method, Shown
from massieu.methods.qubits import train
from massieu.methods.qubits.evaluate import evaluate_qubits
from massieu.methods.qubits.options import QubitOptions
from massieu.methods.training import Problem, TrainState
from massieu.states.ensemble import CircuitEnsemble
from massieu.systems.qubits import QubitSystem

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Qubits(Method[QubitOptions]):
    """Ensembles of circuit states of a `QubitSystem`."""

    name = "qubits"
    options = QubitOptions
    ansatz_class = CircuitEnsemble

    def check(self, system: QubitSystem, beta: float, options: QubitOptions) -> None:
        positive("beta", beta)

    def check_fits(self, system: QubitSystem, density: Any) -> None:
        super().check_fits(system, density)
        n = density.circuit.n
        require(n == system.size, "density", f"of {n} qubits", f"of the {system.size} qubits of {system.name}")

    def check_named(self, system: QubitSystem, options: QubitOptions) -> None:
        system.check_ansatz(options)

    def ansatz(self, system: QubitSystem, options: QubitOptions) -> CircuitEnsemble:
        return system.default_ansatz(options)

    def problem(self, system: QubitSystem, density: Any, beta: float, options: QubitOptions) -> Problem:
        return train.problem(system, density, beta, options)

    def evaluate(
        self, system: QubitSystem, training: Problem, state: TrainState, beta: float, options: QubitOptions, seed: int
    ) -> Evaluation:
        return evaluate_qubits(system, training.density(state), beta, options.samples, seed)

    def figures(self, system: QubitSystem, shown: Shown) -> dict[str, Figure]:
        from massieu.methods.qubits import figures

        return figures.all_figures(system, shown.summary)
