"""Runs that are there already: continued, read, evaluated anew."""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from pathlib import Path
from typing import Any

from massieu.errors import InputError, require
from massieu.methods.method import fit_memory, method_of
from massieu.precision import double_precision
from massieu.progress import Progress
from massieu.runs import checkpoint
from massieu.runs.core import Asked, as_it_is, evaluated, fresh, made_problem, train_and_evaluate
from massieu.runs.directory import (
    existing,
    finished,
    identity,
    options_of,
    read_config,
    read_finished,
    read_start,
    rewrite_options,
    rows_up_to,
    write_metrics,
)
from massieu.runs.lock import held
from massieu.runs.loop import Callback
from massieu.runs.outcome import Run
from massieu.runs.programs import kept
from massieu.runs.recorded import read_evaluation, read_reference
from massieu.runs.stopping import told
from massieu.systems.base import AbstractSystem


def resume(folder: Path, steps: int | None, progress: Progress, callback: Callback | None = None) -> Run | None:
    """Continue a run from its newest checkpoint, or from its configuration if it was stopped before the first one.

    None if it is already finished and no more steps are asked for.
    """
    with held(existing(folder), progress.say), told(folder), double_precision():
        return _resumed(folder, steps, progress, callback)


def _resumed(folder: Path, steps: int | None, progress: Progress, callback: Callback | None) -> Run | None:
    progress.say(f"reading {folder}")
    system, beta, options = read_config(folder)
    options = options if steps is None else options.further(steps)
    done = read_finished(folder)
    if done is not None and done["steps"] >= options.steps:
        return None
    anew = done is None and checkpoint.steps_saved(folder / "checkpoints") is None
    start = (_anew if anew else _continued)(system, beta, options, folder, progress)
    rewrite_options(folder, options)  # an interrupted continuation goes on to the same steps
    return train_and_evaluate(system, beta, options, folder, progress, start, callback)


def _anew(system, beta, options, folder, progress):
    """The start of a run that was stopped before its first checkpoint, as its configuration says."""
    how = read_start(folder)
    if how.get("density") is not None:
        raise InputError(f"{folder}: must be started again by the script that gave it its density, {how['density']}")
    progress.say("no step was saved before: the run starts anew from its configuration")
    write_metrics(folder, [])
    warm = how.get("start_from") and Path(how["start_from"])
    if warm is not None and not (warm / "checkpoints").is_dir():
        progress.say(f"fresh start: {warm}, whose parameters it started from, is not there any more")
        warm = None
    density = method_of(system).checked_ansatz(system, None, beta, options)
    return partial(fresh, system, density, beta, options, kept, warm, progress)


def _continued(system, beta, options, folder, progress, density=None, optimiser=None):
    """The start from the newest checkpoint that can be read."""
    method, keep = method_of(system), kept if density is None and optimiser is None else as_it_is
    continued = method.continued(options)
    density = method.checked_ansatz(system, density, beta, options)
    training = keep(made_problem(method, system, density, beta, continued, optimiser), system, beta, continued)
    state, meta, damaged = checkpoint.load_newest(folder / "checkpoints", training.start, identity(system, beta))
    for name in damaged:
        progress.say(f"{name} cannot be read (truncated?); continuing from the one before")
    rows = rows_up_to(folder, int(state.step))
    write_metrics(folder, rows)
    return lambda: (training, state, rows, math.inf if meta["best_F"] is None else meta["best_F"])


def continued_here(asked: Asked, folder: Path, warm: Path | None, progress: Progress, callback: Callback | None) -> Run:
    """Continue the run of the same system and options in a folder, or read it if it is finished.

    warm: the run that a start takes its parameters from, where none was saved before.
    """
    system, density, beta, options, _, optimiser = asked
    recorded, _ = options_of(folder, system, beta)
    same = dataclasses.replace(recorded, steps=options.steps)
    asked_for = options.as_dict()
    differ = [k for k, v in same.as_dict().items() if v != asked_for[k] and k not in options.SCHEDULED]
    for name in differ:
        require(False, name, getattr(options, name), f"{getattr(recorded, name)} as in {folder}, or another directory")
    allowed = f"at least {recorded.steps}, as in {folder}"
    require(options.steps >= recorded.steps, "steps", options.steps, allowed)
    own = _checked_start(folder, density, optimiser)
    further = options.steps > recorded.steps
    options = recorded.further(options.steps) if further else recorded
    with held(folder, progress.say), told(folder):
        done = read_finished(folder)
        if done is not None and (done["steps"] >= options.steps or (done.get("stopped") and not further)):
            return loaded(folder, system, density, optimiser)
        if checkpoint.steps_saved(folder / "checkpoints") is None:
            write_metrics(folder, [])
            made = method_of(system).checked_ansatz(system, density, beta, options)
            start = partial(fresh, system, made, beta, options, as_it_is, warm, progress, optimiser)
        else:
            start = _continued(system, beta, options, folder, progress, density, optimiser)
        rewrite_options(folder, options)
        return train_and_evaluate(system, beta, options, folder, progress, start, callback, own)


def _checked_start(folder: Path, density: Any, optimiser: Any, *, trains: bool = True) -> dict[str, Any]:
    """What the run was started with beside its options; InputError unless these are of the same classes.

    trains: whether it is to be trained further; only then an optimiser has to be there.
    """
    own = read_start(folder)
    for name, part in (("density", density), ("optimiser", optimiser)):
        if name == "optimiser" and part is None and not trains:
            continue
        mine, theirs = None if part is None else type(part).__name__, own.get(name)
        allowed = f"given, the {theirs} of this run" if theirs else f"left out: the run in {folder} has its own"
        require(mine == theirs, name, mine, allowed)
    return own


def load(path: str | Path, system: AbstractSystem | None = None, density: Any = None, optimiser: Any = None) -> Run:
    """The finished run of a directory, in any process: results, density, samples; nothing is trained.

    system, density: as given to `minimize`, where these are of one's own; an optimiser may be left out.
    """
    with double_precision():
        return loaded(existing(Path(path)), system, density, optimiser)


def loaded(folder: Path, system: AbstractSystem | None, density: Any, optimiser: Any) -> Run:
    """`load` with x64 on."""
    if system is None:
        system, beta, options = read_config(folder)
    else:
        options, beta = options_of(folder, system, None)
    own = _checked_start(folder, density, optimiser, trains=False)
    summary = finished(folder)
    method = method_of(system)
    made = method.checked_ansatz(system, density, beta, options)
    training = made_problem(method, system, made, beta, method.continued(options), optimiser)
    if own.get("optimiser") and optimiser is None:
        found_state = checkpoint.with_parameters_of(folder / "checkpoints", training.start, (".params", ".step"))
        require(found_state is not None, "path", folder, "a run directory with a checkpoint that can be read")
        state: Any = found_state
    else:
        state, _, _ = checkpoint.load_newest(folder / "checkpoints", training.start, identity(system, beta))
    if summary["steps"] != int(state.step):
        raise InputError(f"{folder}: must be a finished run, this one was trained further (massieu resume {folder})")
    spent = (summary["seconds"], summary["evaluation_seconds"])
    found = read_evaluation(folder, summary), read_reference(folder)
    rows, stopped = rows_up_to(folder, int(state.step)), summary.get("stopped", False)
    return Run(system, beta, options, training, state, rows, *found, *spent, own, stopped)


def evaluate_folder(folder: Path, samples: int | None, progress: Progress, finite_size: bool = False) -> Run:
    """Evaluate the newest checkpoint of a run anew, with other samples than the run's own evaluation."""
    system, beta, options = read_config(folder)
    method = method_of(system)
    if finite_size:
        known = {field.name for field in dataclasses.fields(options)}
        require("finite_size" in known, "finite_size", True, f"left out, {system.name} has no use for it")
        options = dataclasses.replace(options, finite_size=True)  # type: ignore[call-arg]
        method.check(system, beta, options)
    if samples is not None:
        options = dataclasses.replace(options, samples=samples)
        fit_memory(system, options)
    with double_precision():
        progress.say(f"reading {folder}")
        training = method.problem(system, method.ansatz(system, options), beta, method.continued(options))
        state, _, _ = checkpoint.load_newest(folder / "checkpoints", training.start, identity(system, beta))
        rows = rows_up_to(folder, int(state.step))
        progress.say(f"evaluating {options.samples} new samples of step {int(state.step)}")
        result, of_evaluation = evaluated(system, training, state, beta, options, again=True)
        if options.reference:
            progress.say("computing the reference")
        reference = system.known(options.seed) if options.reference else None
    seconds = rows[-1]["seconds"]
    return Run(system, beta, options, training, state, rows, result, reference, seconds, of_evaluation)
