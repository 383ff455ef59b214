"""What a run leaves: F, E, S, C with errors, and the trained density, to be drawn from, asked and evaluated again."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np

from massieu.errors import at_least, require
from massieu.methods.evaluation import Evaluation, Observed
from massieu.methods.method import final_evaluation, fit_memory, method_of
from massieu.methods.options import Options
from massieu.methods.training import Problem, TrainState
from massieu.methods.trust import doubts
from massieu.precision import double_precision
from massieu.principle import Estimate
from massieu.runs import checkpoint
from massieu.runs.directory import (
    Row,
    described,
    identity,
    options_of,
    prepare,
    read_metrics,
    write_metrics,
)
from massieu.runs.loop import SCHEMA
from massieu.runs.recorded import known_values, save_results
from massieu.systems.base import AbstractSystem, Reference
from massieu.version import __version__

OWN_SEED = 2**23  # of samples that the user draws, apart from training and evaluation


@dataclasses.dataclass(repr=False)
class Run:
    """The outcome: F, E, S, C with errors (totals), the trained density, and everything a report needs."""

    system: AbstractSystem
    beta: float
    options: Options
    training: Problem
    state: TrainState
    metrics: list[Row]
    result: Evaluation
    reference: Reference | None
    seconds: float
    evaluation_seconds: float
    made: dict[str, Any] = dataclasses.field(default_factory=dict)  # what the options do not say of the start
    stopped: bool = False  # by a callback, or by the target of the error

    @cached_property
    def density(self) -> Any:
        """The trained density, or density matrix, in float64."""
        return self.training.density(self.state)

    def at(self, value: float) -> Any:
        """The density at another value of the parameter, for a run with a `range`."""
        return self.training.density(self.state, value)

    @property
    def F(self) -> Estimate:
        """Variational free energy, an upper bound on -ln Z/beta."""
        return self.result.F

    @property
    def E(self) -> Estimate:
        """Energy of the variational density."""
        return self.result.E

    @property
    def S(self) -> Estimate:
        """Entropy of the variational density (k_B)."""
        return self.result.S

    @property
    def C(self) -> Estimate:
        """Heat capacity of the variational density (k_B)."""
        return self.result.C

    # ---- the density, used

    def sample(self, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Configurations x (count, *shape) drawn from the density, independent, and ln p (count,); float64.

        InputError for density matrices, whose samples are in `result.samples`.
        """
        at_least("count", count, 1)
        with double_precision():
            return method_of(self.system).sample(self.system, self.density, self.beta, count, OWN_SEED + seed)

    def log_prob(self, x: Any) -> np.ndarray:
        """ln p (count,) of configurations x (count, *shape), or of one; float64."""
        with double_precision():
            return method_of(self.system).log_prob(self.system, self.density, self.beta, x)

    def observe(
        self, functions: Mapping[str, Callable[[Any], Any]], samples: int | None = None, seed: int = 0
    ) -> dict[str, Observed]:
        """Averages of functions of one configuration (of JAX, to numbers or arrays), over fresh samples, with errors.

        Each is variational, reweighted to the Boltzmann distribution, and from Metropolis chains with the density as
        the proposal.
        """
        count = self.options.samples if samples is None else samples
        at_least("samples", count, 100)
        with double_precision():
            return method_of(self.system).observe(
                self.system, self.density, self.beta, dict(functions), count, OWN_SEED + seed
            )

    def evaluate(self, samples: int | None = None, seed: int = 0) -> Run:
        """The same run with averages over fresh samples, as many as asked for; another seed, other samples."""
        at_least("seed", seed, 0)
        options = self.options if samples is None else dataclasses.replace(self.options, samples=samples)
        fit_memory(self.system, options)
        with double_precision():
            result = final_evaluation(self.system, self.training, self.state, self.beta, options, again=1 + seed)
        return dataclasses.replace(self, options=options, result=result)

    # ---- shown and kept

    def summary(self) -> dict[str, Any]:
        """The stable schema of summary.json."""
        best = self.reference.best if self.reference else None
        known = None if best is None else known_values(best)
        r = self.result
        warnings = doubts(r.observables, r.importance)
        return {
            **described(self.system, self.beta),
            "schema": SCHEMA,
            "n": self.system.size,
            "units": self.system.units,
            "status": "finished",
            "F": r.F.as_dict(),
            "E": r.E.as_dict(),
            "S": r.S.as_dict(),
            "C": r.C.as_dict(),
            "F_var": r.F_var,
            "entropy_scale": self.beta * math.sqrt(r.F_var) if math.isfinite(self.beta) else None,
            "observables": r.observables,
            "reference": known,
            "importance": r.importance or None,
            "density": {"name": _name(self.density), "parameters": _size(self.state.params)},
            "stopped": self.stopped,
            "trusted": not warnings,
            "warnings": warnings,
            "steps": int(self.metrics[-1]["step"]) + 1,
            "samples": self.options.samples if r.drawn is None else r.drawn,
            "seconds": round(self.seconds, 3),
            "evaluation_seconds": round(self.evaluation_seconds, 3),
            "seed": self.options.seed,
            "version": __version__,
        }

    def save(self, path: str | Path) -> Path:
        """Write the run directory, checkpoint included, or the results where it is there; returns it.

        InputError if the directory holds another run.
        """
        folder = Path(path)
        if not (folder / "config.yaml").exists():
            prepare(folder, self.system, self.beta, self.options, self.made)
            write_metrics(folder, self.metrics)
            identified = {"identity": identity(self.system, self.beta), "version": __version__, "best_F": None}
            checkpoint.save(folder / "checkpoints", self.state, identified)
        else:
            options_of(folder, self.system, self.beta)
            theirs = [row["F"] for row in read_metrics(folder)]
            same = theirs == [row["F"] for row in self.metrics]
            require(same, "out", folder, "a new directory, or that of this run: it holds another one")
        save_results(folder, self)
        return folder

    def __repr__(self) -> str:
        """Three lines: what was run, what came out, how good it is."""
        what = described(self.system, self.beta)
        given = " ".join(f"{k}={v}" for k, v in what["parameters"].items() if v is not None)
        known = self.reference.best if self.reference else None
        exact = f"   reference F = {known.F}, {known.method}" if known is not None else ""
        unit = "" if self.system.units["energy"] == "dimensionless" else f" {self.system.units['energy']}"
        good = [f"Var(F_loc) = {self.result.F_var:.3g}"]
        good += [f"ESS = {self.result.importance['ess']:.3f}"] if self.result.importance else []
        good += [f"not to be trusted: {text}" for text in doubts(self.result.observables, self.result.importance)[:1]]
        return (
            f"{what['system']} {given}: {int(self.metrics[-1]['step']) + 1} steps, {self.seconds:.3g} s\n"
            f"F = {self.F}{unit}   E = {self.E}{unit}   S = {self.S}   C = {self.C}{exact}\n{'   '.join(good)}"
        )

    # figures and report.html at a path, and the table of a notebook: given by massieu.report, which reads runs
    report: ClassVar[Callable[[Run, str | Path], Path]]
    _repr_html_: ClassVar[Callable[[Run], str]]


def _name(density: Any) -> str:
    """Of a density; of a density matrix of p and of the states."""
    parts = [getattr(density, part) for part in ("p", "psi") if hasattr(density, part)]
    return " and ".join(type(part).__name__ for part in parts or [density])


def _size(params: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))
