"""Classical matter: n is the configuration itself, p a density of configurations."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from massieu.errors import positive, require
from massieu.methods.classical import train
from massieu.methods.classical.ansatz import check_density, make_density
from massieu.methods.classical.evaluate import CHUNK, evaluate
from massieu.methods.classical.evaluate_family import NODES, evaluate_range
from massieu.methods.classical.family import parse
from massieu.methods.classical.options import ClassicalOptions
from massieu.methods.evaluation import Evaluation
from massieu.methods.method import Method, Shown
from massieu.methods.training import Problem, TrainState
from massieu.systems.base import ClassicalSystem

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Classical(Method[ClassicalOptions]):
    """Densities of configurations of a `ClassicalSystem`."""

    name = "classical"
    options = ClassicalOptions
    baselines = "chains"

    def configure(self, system: ClassicalSystem, **given: Any) -> ClassicalOptions:
        if given.get("data") is not None:
            require(Path(given["data"]).is_file(), "data", given["data"], "a .npy file of configurations")
            given["data"] = str(Path(given["data"]).resolve())  # a run is resumed from anywhere
        return super().configure(system, **given)

    def check(self, system: ClassicalSystem, beta: float, options: ClassicalOptions) -> None:
        positive("beta", beta)
        if system.action:
            require(beta == 1, "beta", beta, f"left out for {system.name}, whose energy is an action")
        if options.range is not None:
            parse(options.range, system, beta)

    def ansatz(self, system: ClassicalSystem, options: ClassicalOptions) -> Any:
        return make_density(system, options)

    def checked_ansatz(self, system: ClassicalSystem, density: Any, beta: float, options: ClassicalOptions) -> Any:
        density = super().checked_ansatz(system, density, beta, options)
        check_density(options, density)
        return density

    def problem(self, system: ClassicalSystem, density: Any, beta: float, options: ClassicalOptions) -> Problem:
        return train.problem(system, density, beta, options)

    def warm(self, system: ClassicalSystem, other: ClassicalSystem, given: dict[str, Any]) -> dict[str, Any]:
        """A density that is trained already is annealed from its own beta, not from a high temperature."""
        mine, theirs = getattr(system, "beta", None), getattr(other, "beta", None)
        if "beta_start" in given or theirs is None or mine is None:
            return {}
        return {"beta_start": float(theirs)}

    def evaluate(
        self, system: ClassicalSystem, training: Problem, state: TrainState, beta: float, options: ClassicalOptions,
        seed: int,
    ) -> Evaluation:  # fmt: skip
        result = evaluate(system, training.density(state), beta, options.samples, seed)
        if options.range is None:
            return result
        family, each = parse(options.range, system, beta), max(CHUNK, options.samples // NODES)
        found = evaluate_range(system, family, partial(training.density, state), beta, each, seed + 1)
        return result._replace(observables=result.observables | {"range": found})

    def figures(self, system: ClassicalSystem, shown: Shown) -> dict[str, Figure]:
        from massieu.methods.classical import figures

        return {"samples": figures.samples(system, shown.samples["x"])}
