"""A run from the first sample to the summary: in memory, or in a directory that survives crashes.

config.yaml  metrics.csv  checkpoints/  summary.json  samples.npz  figures/  report.html
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from massieu.errors import InputError, require
from massieu.methods.method import method_of
from massieu.methods.training import Problem, TrainState
from massieu.precision import double_precision
from massieu.progress import Lines, Progress, Silent
from massieu.runs.continued import continued_here
from massieu.runs.core import Asked, as_it_is, fresh, made_problem, train_and_evaluate
from massieu.runs.directory import (
    claim,
    prepare,
)
from massieu.runs.lock import held
from massieu.runs.loop import Callback
from massieu.runs.outcome import Run
from massieu.runs.programs import kept
from massieu.runs.stopping import told
from massieu.systems.base import AbstractSystem


def minimize(
    system: AbstractSystem,
    density: Any = None,
    *,
    beta: float | None = None,
    out: str | Path | None = None,
    progress: Progress | bool | None = None,
    start_from: str | Path | None = None,
    resume: bool = False,
    callback: Callback | None = None,
    **given: Any,
) -> Run:
    """Minimise the variational free energy of a system and evaluate it.

    density: anything with flowjax's sample/log_prob interface and the shape of a configuration, or the name of one of
    the library's for spins or fields (default: the system's);
    beta: inverse temperature (default: the system's own); out: run directory (default: keep all in memory);
    progress: True for the lines of the command line, or an object that is told of every step;
    start_from: another run directory, whose newest parameters (not the optimiser's state) training starts from if they
    have the right shapes and a lower F than a fresh start;
    resume: continue the run in `out`, if there is one of this system and these options (but for `steps`);
    callback: called after every step with its number, its metrics and the state of the training; True stops training;
    given: fields of the options (steps, batch, seed, ...) of this kind of matter, see `massieu run SYSTEM --help`;
    `optimiser` may be any gradient transformation of optax, for classical systems.
    InputError for anything that cannot work.
    """
    asked = _asked(system, density, beta, given)
    system, density, beta, options, method, optimiser = asked
    warm = None if start_from is None else Path(start_from)
    if warm is not None and not (warm / "checkpoints").is_dir():
        raise InputError(f"start_from = {warm}: must be a run directory with checkpoints")
    shown = _shown(progress)
    require(out is not None or not resume, "resume", resume, "given with out, the run directory that it continues")
    with double_precision():
        there = resume and out is not None and (Path(out) / "config.yaml").is_file()
        if there:
            return continued_here(asked, Path(out), warm, shown, callback)  # type: ignore[arg-type]
        keep = kept if density is None and optimiser is None else as_it_is  # only what the options name is known again
        if density is None and progress:
            shown.say("making the density")
        own = {"density": density, "optimiser": optimiser}
        names = {name: None if part is None else type(part).__name__ for name, part in own.items()}
        how = {**names, "start_from": warm and str(warm.resolve())}
        density = method.checked_ansatz(system, density, beta, options)
        folder = None if out is None else claim(Path(out))
        with held(folder, shown.say), told(folder):
            if folder is not None:
                prepare(folder, system, beta, options, how)
            start = partial(fresh, system, density, beta, options, keep, warm, shown, optimiser)
            return train_and_evaluate(system, beta, options, folder, shown, start, callback, how)


def problem(system: AbstractSystem, density: Any = None, *, beta: float | None = None, **given: Any) -> Problem:
    """The training problem of `minimize`, for a loop of one's own.

    problem = ms.problem(system, batch=512)
    state = problem.start
    for _ in range(100):
        state, metrics = problem.step(state)
    problem.density(state)
    """
    system, density, beta, options, method, optimiser = _asked(system, density, beta, given)
    with double_precision():
        density = method.checked_ansatz(system, density, beta, options)
        training = made_problem(method, system, density, beta, options, optimiser)

    def step(state: TrainState) -> tuple[TrainState, dict[str, Any]]:
        with double_precision():
            return training.step(training.between_steps(state))

    return training._replace(step=step, between_steps=lambda state: state)


def _asked(system: AbstractSystem, density: Any, beta: float | None, given: dict[str, Any]) -> Asked:
    beta = chosen_beta(system, beta)
    if isinstance(density, str):
        density, given = None, given | {"density": density}
    method, optimiser = method_of(system), given.get("optimiser")
    own = optimiser is not None and not isinstance(optimiser, str)
    if own:
        transforms = hasattr(optimiser, "init") and hasattr(optimiser, "update")
        require(transforms, "optimiser", type(optimiser).__name__, "a name, or a gradient transformation of optax")
        given = {name: value for name, value in given.items() if name != "optimiser"}
    options = method.configure(system, **{**method.implied(density), **given})
    if own:
        method.check_optimiser(system, options, optimiser)
    return Asked(system, density, beta, options, method, optimiser if own else None)


def _shown(progress: Progress | bool | None) -> Progress:
    if progress is True:
        return Lines()
    return progress or Silent()


def chosen_beta(system: AbstractSystem, beta: float | None) -> float:
    """The given inverse temperature or the system's own; InputError if there is neither."""
    chosen = getattr(system, "beta", None) if beta is None else beta
    if chosen is None:
        raise InputError("beta = None: must be given, the system has no temperature of its own")
    return chosen
