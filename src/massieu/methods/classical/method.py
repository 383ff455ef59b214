"""Classical matter: n is the configuration itself, p a density of configurations."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from massieu.errors import positive, require
from massieu.estimators import factors_of
from massieu.methods.classical import train
from massieu.methods.classical.ansatz import check_density, check_named, check_shape, fitted, make_density
from massieu.methods.classical.evaluate import draw_all, evaluate, observe, refined
from massieu.methods.classical.evaluate_family import NODES, evaluate_range
from massieu.methods.classical.family import parse
from massieu.methods.classical.options import CONTINUOUS, ClassicalOptions
from massieu.methods.evaluation import Evaluation, Observed
from massieu.methods.method import Method, Shown
from massieu.methods.training import Problem, TrainState
from massieu.principle import condition_of
from massieu.systems.base import ClassicalSystem

if TYPE_CHECKING:
    from matplotlib.figure import Figure


FEWEST = 100  # samples at each value of a range


class Classical(Method[ClassicalOptions]):
    """Densities of configurations of a `ClassicalSystem`."""

    name = "classical"
    options = ClassicalOptions
    baselines = "chains"

    def configure(self, system: ClassicalSystem, **given: Any) -> ClassicalOptions:
        if given.get("data") is not None:
            require(Path(given["data"]).is_file(), "data", given["data"], "a .npy file of configurations")
            given["data"] = str(Path(given["data"]).resolve())  # a run is resumed from anywhere
        own = {"gradient": "pathwise"} if given.get("density") in CONTINUOUS else {}
        return super().configure(system, **{**own, **given})

    def implied(self, density: Any) -> dict[str, Any]:
        """Of a continuous density the pathwise gradient, and the optimiser's own rate: the system's is for its own.

        Flows of flowjax go by Adam: where their scores have heavy tails natural gradients diverge.
        """
        origin = type(density).__module__.partition(".")[0]
        if origin not in ("flowjax", "massieu") or getattr(density, "discrete", False):  # others may be of spins
            return {}
        own = {"gradient": "pathwise", "learning_rate": None}
        return own if origin == "massieu" or factors_of(density) is not None else own | {"optimiser": "adam"}

    def check(self, system: ClassicalSystem, beta: float, options: ClassicalOptions) -> None:
        positive("beta", beta)
        if system.action:
            require(beta == 1, "beta", beta, f"left out for {system.name}, whose energy is an action")
        if options.range is not None:
            parse(options.range, system, beta)

    def check_named(self, system: ClassicalSystem, options: ClassicalOptions) -> None:
        check_named(system, options)

    def ansatz(self, system: ClassicalSystem, options: ClassicalOptions) -> Any:
        return make_density(system, options)

    def checked_ansatz(self, system: ClassicalSystem, density: Any, beta: float, options: ClassicalOptions) -> Any:
        density = super().checked_ansatz(system, fitted(system, density), beta, options)
        check_density(options, density)
        return density

    def check_fits(self, system: ClassicalSystem, density: Any) -> None:
        check_shape(system, density)

    def problem(self, system: ClassicalSystem, density: Any, beta: float, options: ClassicalOptions) -> Problem:
        return train.problem(system, density, beta, options)

    def check_optimiser(self, system: ClassicalSystem, options: ClassicalOptions, optimiser: Any) -> None:
        unused = "left out beside an optimiser of your own"
        require(options.learning_rate is None, "learning_rate", options.learning_rate, unused)

    def problem_with(
        self, system: ClassicalSystem, density: Any, beta: float, options: ClassicalOptions, optimiser: Any
    ) -> Problem:
        return train.problem(system, density, beta, options, optimiser)

    def steps_at_reference(self, options: ClassicalOptions) -> bool:
        return options.range is None  # else a mean over the range

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
        family, each = parse(options.range, system, beta), max(FEWEST, options.samples // NODES)
        found = evaluate_range(system, family, partial(training.density, state), beta, each, seed + 1)
        return result._replace(observables=result.observables | {"range": found})

    def sample(
        self, system: ClassicalSystem, density: Any, beta: float, count: int, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        drawn, _ = draw_all(system, density, beta, count, seed, lambda x: {}, count)
        return drawn["x"], drawn["log_prob"]

    def log_prob(self, system: ClassicalSystem, density: Any, beta: float, x: Any) -> np.ndarray:
        shape, x = tuple(density.shape), np.asarray(x, float)
        each = x.shape[len(x.shape) - len(shape) :]
        require(each == shape and x.ndim <= len(shape) + 1, "x", f"array of shape {x.shape}", f"(count, *{shape})")
        return np.asarray(refined(density).log_prob(x, condition_of(density, beta)))

    def observe(
        self, system: ClassicalSystem, density: Any, beta: float, functions: dict[str, Any], samples: int, seed: int
    ) -> dict[str, Observed]:
        return observe(system, density, beta, functions, samples, seed)

    def figures(self, system: ClassicalSystem, shown: Shown) -> dict[str, Figure]:
        from massieu.methods.classical import figures

        return {"samples": figures.samples(system, shown.samples["x"])}
