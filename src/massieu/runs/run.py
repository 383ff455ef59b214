"""A run from the first sample to the summary: in memory, or in a directory that survives crashes.

config.yaml  metrics.csv  checkpoints/  summary.json  samples.npz  figures/  report.html

One module: starting, resuming and evaluating share every step of a run.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np

from massieu.errors import InputError, RunError, require
from massieu.methods.evaluation import Evaluation
from massieu.methods.method import final_evaluation, method_of
from massieu.methods.options import Options
from massieu.methods.training import Problem, TrainState
from massieu.principle import Estimate
from massieu.progress import Progress, Silent
from massieu.runs import checkpoint
from massieu.runs.beside import ReferenceBeside
from massieu.runs.directory import (
    Row,
    append_metrics,
    described,
    identity,
    known_values,
    prepare,
    read_config,
    read_metrics,
    read_summary,
    save_results,
    where_to_resume,
    write_metrics,
)
from massieu.runs.programs import kept
from massieu.runs.stopping import collapsed, converged
from massieu.systems.base import AbstractSystem, Reference
from massieu.version import __version__

SCHEMA = 1


@dataclasses.dataclass
class Run:
    """The outcome: F, E, S, C with errors (totals), the trained density, and everything a report needs."""

    system: AbstractSystem
    beta: float
    options: Options
    density: Any
    metrics: list[Row]
    result: Evaluation
    reference: Reference | None
    seconds: float
    evaluation_seconds: float
    at: Callable[[float], Any]  # the density at another value of the parameter, for a run with a `range`

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

    def summary(self) -> dict[str, Any]:
        """The stable schema of summary.json."""
        best = self.reference.best if self.reference else None
        known = None if best is None else known_values(best)
        r = self.result
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
            "observables": r.observables,
            "reference": known,
            "importance": r.importance or None,
            "steps": int(self.metrics[-1]["step"]) + 1,
            "samples": self.options.samples,
            "seconds": round(self.seconds, 3),
            "evaluation_seconds": round(self.evaluation_seconds, 3),
            "seed": self.options.seed,
            "version": __version__,
        }

    def save(self, path: str | Path) -> Path:
        """Write the run directory, or what of it is not there yet; returns it."""
        folder = Path(path)
        if not (folder / "config.yaml").exists():
            prepare(folder, self.system, self.beta, self.options)
            write_metrics(folder, self.metrics)
        save_results(folder, self)
        return folder

    # figures and report.html at a path: given by massieu.report, which reads runs
    report: ClassVar[Callable[[Run, str | Path], Path]]


def minimize(
    system: AbstractSystem,
    density: Any = None,
    *,
    beta: float | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
    start_from: str | Path | None = None,
    **given: Any,
) -> Run:
    """Minimise the variational free energy of a system and evaluate it.

    density: anything with flowjax's sample/log_prob interface and the shape of a configuration, or the name of one of
    the library's for spins or fields (default: the system's);
    beta: inverse temperature (default: the system's own); out: run directory (default: keep all in memory);
    start_from: another run directory, whose newest parameters (not the optimiser's state) training starts from if they
    have the right shapes and a lower F than a fresh start;
    given: fields of the options (steps, batch, seed, ...) of this kind of matter, see `massieu run SYSTEM --help`.
    InputError for anything that cannot work.
    """
    beta = chosen_beta(system, beta)
    if isinstance(density, str):
        density, given = None, given | {"density": density}
    method = method_of(system)
    options = method.configure(system, **given)
    warm = None if start_from is None else Path(start_from)
    if warm is not None and not (warm / "checkpoints").is_dir():
        raise InputError(f"start_from = {warm}: must be a run directory with checkpoints")
    with jax.enable_x64(True):
        keep = kept if density is None else _as_it_is  # only what the options name can be known again
        density = method.checked_ansatz(system, density, beta, options)
        folder = None if out is None else prepare(Path(out), system, beta, options)
        return _train_and_evaluate(system, density, beta, options, folder, progress or Silent(), keep, start_from=warm)


def chosen_beta(system: AbstractSystem, beta: float | None) -> float:
    """The given inverse temperature or the system's own; InputError if there is neither."""
    chosen = getattr(system, "beta", None) if beta is None else beta
    if chosen is None:
        raise InputError("beta = None: must be given, the system has no temperature of its own")
    return chosen


def resume(folder: Path, steps: int | None, progress: Progress) -> Run | None:
    """Continue a run from its newest checkpoint; None if it is already finished and no more steps are asked for."""
    system, beta, options = read_config(folder)
    method = method_of(system)
    if steps is not None:
        options = dataclasses.replace(options, steps=steps)
    summary = read_summary(folder)
    if summary and summary.get("status") == "finished" and summary["steps"] >= options.steps:
        return None
    with jax.enable_x64(True):
        density = method.ansatz(system, options)
        continued = method.continued(options)
        training = kept(method.problem(system, density, beta, continued), system, beta, continued)
        state, meta, damaged = checkpoint.load_newest(folder / "checkpoints", training.start, identity(system, beta))
        for name in damaged:
            progress.say(f"{name} cannot be read (truncated?); continuing from the one before")
        rows = [row for row in read_metrics(folder) if row["step"] < int(state.step)]
        write_metrics(folder, rows)
        return _train_and_evaluate(
            system, density, beta, options, folder, progress, kept, resumed=(training, state, rows, meta)
        )


def _train_and_evaluate(system, density, beta, options, folder, progress, keep, resumed=None, start_from=None) -> Run:
    began = time.monotonic()
    beside = ReferenceBeside(system, options.seed, progress) if options.reference else None
    for note in system.notes():
        progress.say(note)
    training, state, rows, meta = resumed or _start(system, density, beta, options, keep, start_from, progress)
    for note in training.notes:
        progress.say(note)
    spent = rows[-1]["seconds"] if rows else 0.0
    state = _train(training, state, rows, meta, system, beta, options, folder, progress)
    progress.close()
    progress.say(f"evaluating {options.samples} samples with frozen parameters")
    result, of_evaluation = _evaluated(system, training, state, beta, options)
    seconds, density = spent + time.monotonic() - began, partial(training.density, state)
    reference = None if beside is None else beside.result()
    run = Run(system, beta, options, density(), rows, result, reference, seconds, of_evaluation, density)
    if folder is not None:
        save_results(folder, run)
    return run


def _evaluated(system, training, state, beta, options) -> tuple[Evaluation, float]:
    """The final evaluation and the seconds that it took."""
    began = time.monotonic()
    return final_evaluation(system, training, state, beta, options), time.monotonic() - began


def _as_it_is(training: Problem, *_: Any) -> Problem:
    return training


def _start(system, density, beta, options, keep, warm, progress):
    training = keep(method_of(system).problem(system, density, beta, options), system, beta, options)
    state = training.start if warm is None else _warm_start(training, warm, progress)
    return training, state, [], {"best_F": math.inf}


def _warm_start(training: Problem, folder: Path, progress: Progress) -> TrainState:
    """The start with the parameters of another run; the fresh start where they do not fit or have the higher F."""
    state = checkpoint.with_parameters_of(folder / "checkpoints", training.start, training.carried)
    if state is None:
        progress.say(f"fresh start: the parameters of {folder.name} have other shapes")
        return training.start
    warm, fresh = (float(training.step(start)[1]["F"]) for start in (state, training.start))
    if not warm < fresh:
        progress.say(f"fresh start: F is {fresh:.6g} there, {warm:.6g} with the parameters of {folder.name}")
        return training.start
    progress.say(f"starts from {folder.name}: F is {warm:.6g} there, {fresh:.6g} at a fresh start")
    return state


def _train(training, state, rows, meta, system, beta, options, folder, progress) -> TrainState:
    """Step until done; record every step; save every `checkpoint_every` steps, at the end, and when interrupted."""
    began = time.monotonic() - (rows[-1]["seconds"] if rows else 0.0)
    pending: list[Row] = []
    progress.say("compiling the first step")
    try:
        while int(state.step) < options.steps and not converged(rows, beta, options):
            new, metrics = training.step(training.between_steps(state))
            row = {
                "step": int(state.step),
                **{k: float(v) for k, v in metrics.items()},
                "seconds": time.monotonic() - began,
            }
            if not (math.isfinite(row["F"]) and math.isfinite(row["F_var"]) and math.isfinite(row["grad_norm"])):
                raise _diverged(row, folder)
            state = new
            rows.append(row)
            if collapsed(rows):
                raise _diverged(row, folder)
            pending.append(row)
            progress.step(int(state.step), options.steps, row)
            if folder is not None and (
                int(state.step) % options.checkpoint_every == 0 or int(state.step) == options.steps
            ):
                _save(folder, state, rows, pending, meta, system, beta, options)
                pending = []
        if folder is not None and pending:
            _save(folder, state, rows, pending, meta, system, beta, options)
    except OSError as error:
        progress.close()
        raise RunError(where_to_resume(folder, f"cannot write to {folder} ({error.strerror})")) from None
    return state


def _save(folder, state, rows, pending, meta, system, beta, options) -> None:
    """Metrics first, then the checkpoint: a checkpoint never knows more steps than metrics.csv."""
    append_metrics(folder, pending)
    recent = rows[-options.checkpoint_every :]
    mean_F = float(np.mean([row["F"] for row in recent]))
    at_beta = all(row["beta"] == beta for row in recent)
    better = at_beta and mean_F < meta["best_F"]
    meta["best_F"] = mean_F if better else meta["best_F"]
    content = {"identity": identity(system, beta), "best_F": meta["best_F"], "version": __version__}
    checkpoint.save(folder / "checkpoints", state, content)
    if better:
        checkpoint.save(folder / "checkpoints", state, content, name="best.npz")


def _diverged(row: Row, folder: Path | None) -> RunError:
    state = f"F = {row['F']}, Var(F_loc) = {row['F_var']}, acceptance {row.get('acceptance', 1.0):.2g}"
    text = f"diverged at step {row['step']} ({state}); try a smaller learning_rate"
    if folder is not None:
        failed = {"schema": SCHEMA, "status": "diverged", "steps": int(row["step"]), "F": None, "E": None, "S": None}
        checkpoint.write_atomically(folder / "summary.json", json.dumps(failed, indent=2).encode())
    return RunError(where_to_resume(folder, text))


def evaluate_folder(folder: Path, samples: int | None, progress: Progress, finite_size: bool = False) -> Run:
    """Evaluate the newest checkpoint of a run anew, with other samples than the run's own evaluation if asked for."""
    system, beta, options = read_config(folder)
    method = method_of(system)
    if finite_size:
        known = {field.name for field in dataclasses.fields(options)}
        require("finite_size" in known, "finite_size", True, f"left out, {system.name} has no use for it")
        options = dataclasses.replace(options, finite_size=True)  # type: ignore[call-arg]
        method.check(system, beta, options)
    if samples is not None:
        options = dataclasses.replace(options, samples=samples)
    with jax.enable_x64(True):
        training = method.problem(system, method.ansatz(system, options), beta, method.continued(options))
        state, _, _ = checkpoint.load_newest(folder / "checkpoints", training.start, identity(system, beta))
        rows = [row for row in read_metrics(folder) if row["step"] < int(state.step)]
        progress.say(f"evaluating {options.samples} samples of step {int(state.step)}")
        result, of_evaluation = _evaluated(system, training, state, beta, options)
        reference = system.known(options.seed) if options.reference else None
    seconds, density = rows[-1]["seconds"], partial(training.density, state)
    return Run(system, beta, options, density(), rows, result, reference, seconds, of_evaluation, density)
