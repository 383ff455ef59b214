"""Atoms: protons with a density of their own, and electrons that follow them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from massieu.errors import require
from massieu.methods.atoms import train
from massieu.methods.atoms.evaluate import evaluate_hydrogen
from massieu.methods.atoms.options import AtomOptions
from massieu.methods.evaluation import Evaluation
from massieu.methods.method import Method, Shown
from massieu.methods.training import Problem, TrainState
from massieu.systems.hydrogen import Atoms, Hydrogen

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Atomic(Method[AtomOptions]):
    """rho = int dS p(S) |S><S| x rho_S of `Hydrogen`."""

    name = "atoms"
    options = AtomOptions
    example = "--rs 1,5"
    ansatz_class = Atoms

    def check(self, system: Hydrogen, beta: float, options: AtomOptions) -> None:
        super().check(system, beta, options)
        require(beta == system.beta, "beta", beta, "left out for hydrogen, whose temperature is in K")

    def ansatz(self, system: Hydrogen, options: AtomOptions) -> Atoms:
        return system.default_ansatz(options)

    def problem(self, system: Hydrogen, density: Any, beta: float, options: AtomOptions) -> Problem:
        return train.problem(system, density, beta, options)

    def continued(self, options: AtomOptions) -> AtomOptions:
        return dataclasses.replace(options, tune=False)

    def evaluate(
        self, system: Hydrogen, training: Problem, state: TrainState, beta: float, options: AtomOptions, seed: int
    ) -> Evaluation:
        chains, rho = (options.sampler, options.moves), training.density(state)
        return evaluate_hydrogen(system, rho, state.walkers, beta, options.samples, seed, *chains)

    def figures(self, system: Hydrogen, shown: Shown) -> dict[str, Figure]:
        from massieu.methods.atoms import figures
        from massieu.methods.figures import energies

        found = {"energies": energies(shown.rows, shown.summary, shown.known)}
        return found | figures.all_figures(system, shown.observables, shown.rows)

    def files(self, system: Hydrogen, samples: Mapping[str, Any]) -> dict[str, str]:
        """The protons as extended XYZ, where ase is there to write it."""
        frames = system.frames(samples)
        return {"samples.extxyz": frames} if frames else {}

    def consistency(self, runs: list[tuple[Hydrogen, dict[str, Any]]]) -> list[dict[str, Any]]:
        """P against -dF/dV, S against -dF/dT."""
        from massieu.methods.atoms.equation_of_state import consistency

        return consistency(runs)
