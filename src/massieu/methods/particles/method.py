"""Quantum particles: rho = sum_K p(K) |Psi_K><Psi_K| in a box or in a trap."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from massieu.errors import require
from massieu.methods.evaluation import Evaluation
from massieu.methods.method import Method, Shown, option_names
from massieu.methods.particles import correlated, evaluate, evaluate_correlated, evaluate_sectors, sectors, train
from massieu.methods.particles.options import ParticleOptions
from massieu.methods.particles.thermal_share import HOT, thermal_share
from massieu.methods.training import Problem, TrainState
from massieu.states import DensityMatrix
from massieu.systems.quantum import QuantumSystem

if TYPE_CHECKING:
    from matplotlib.figure import Figure


PROBLEMS = {"flow": train.problem, "correlated": correlated.problem, "sectors": sectors.problem}
EVALUATIONS = {
    "flow": evaluate.evaluate, "correlated": evaluate_correlated.evaluate, "sectors": evaluate_sectors.evaluate
}  # fmt: skip


UNUSED = {  # options that a family of states has no use for
    "flow": ("backflow", "walkers"),
    "correlated": ("method", "sampler", "clip_energy", "accumulate", "remix", "width", "attention",
                   "optimiser", "clip"),
}  # fmt: skip
CORRELATED = {"steps": 120, "batch": 256, "moves": 25, "samples": 20_000, "optimiser": "auto",
              "learning_rate": None, "remix": 50}  # fmt: skip
LAYERS = 2  # of the flow beneath the Jastrow factor of a hot gas


def treatment(rho: DensityMatrix) -> str:
    """How a density matrix is trained and evaluated: a key of the tables above."""
    return getattr(rho.psi, "treatment", "flow")


STEPS_OF_FEW = 50  # electrons, whose determinants are mixed


class Particles(Method[ParticleOptions]):
    """Density matrices of a `QuantumSystem`."""

    name = "particles"
    options = ParticleOptions
    example = "--rs 1,5"
    baselines = "path integrals"
    ansatz_class = DensityMatrix

    def configure(self, system: Any, **given: Any) -> ParticleOptions:
        own = {"states": given.get("states") or system.default_states}
        if own["states"] == "correlated":
            own |= CORRELATED
            own |= {"steps": STEPS_OF_FEW, "samples": system.samples_of_few} if system.few else {}
        return super().configure(system, **{**own, **given, "states": own["states"]})

    def implied(self, density: Any) -> dict[str, Any]:
        if not isinstance(density, DensityMatrix):
            return {}
        return {"states": "flow" if treatment(density) == "flow" else "correlated"}

    def check(self, system: QuantumSystem, beta: float, options: ParticleOptions) -> None:
        super().check(system, beta, options)
        states = options.states
        require(states in system.states, "states", states, f"{' or '.join(system.states)} for {system.name}")
        fields = option_names(self.options)
        for name in UNUSED[states]:
            value, other = getattr(options, name), next(kind for kind in UNUSED if kind != states)
            allowed = f"left out for {states} states, which have no use for it; states = {other} has"
            require(value == fields[name].default, name, value, allowed)
        if states == "correlated":
            require(system.couples, "states", states, "flow for the ideal gas, whose states are plane waves")
            groups = options.batch // options.walkers
            allowed = f"a multiple of walkers = {options.walkers}, at least {2 * options.walkers}"
            either = f"left out beside depth = {options.depth}: a flow takes its place"
            require(not (options.backflow and options.depth), "backflow", options.backflow, either)
            require(options.batch % options.walkers == 0 and groups >= 2, "batch", options.batch, allowed)
        known = system.has_finite_size_corrections
        allowed = f"left out for {system.name}, whose corrections are not known"
        require(known or not options.finite_size, "finite_size", options.finite_size, allowed)

    def ansatz(self, system: QuantumSystem, options: ParticleOptions) -> DensityMatrix:
        rho = system.default_ansatz(options)
        open_ = options.states == "correlated" and options.depth is None and options.backflow is None
        if not open_ or system.few or thermal_share(system, rho, system.beta, options.seed) <= HOT:
            return rho
        return system.default_ansatz(dataclasses.replace(options, depth=LAYERS))

    def problem(self, system: QuantumSystem, density: Any, beta: float, options: ParticleOptions) -> Problem:
        return PROBLEMS[treatment(density)](system, density, beta, options)

    def evaluate(
        self, system: QuantumSystem, training: Problem, state: TrainState, beta: float, options: ParticleOptions,
        seed: int,
    ) -> Evaluation:  # fmt: skip
        how = EVALUATIONS[treatment(training.density(state))]
        result = how(system, training, state, beta, options, seed)
        if not options.finite_size:
            return result
        return result._replace(observables=result.observables | system.finite_size(result))

    def figures(self, system: QuantumSystem, shown: Shown) -> dict[str, Figure]:
        from massieu.methods.particles.figures import all_figures

        return all_figures(system, shown)
