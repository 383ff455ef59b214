"""The steps that every run takes, however it begins: a start, training, evaluation, results."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, NamedTuple

from massieu.methods.evaluation import Evaluation
from massieu.methods.method import Method, final_evaluation, method_of
from massieu.methods.options import Options
from massieu.methods.training import Problem, TrainState
from massieu.progress import Progress
from massieu.runs import checkpoint
from massieu.runs.beside import ReferenceBeside
from massieu.runs.loop import train
from massieu.runs.outcome import Run
from massieu.runs.recorded import save_results
from massieu.systems.base import AbstractSystem


class Asked(NamedTuple):
    """What a call of `minimize` asks for, checked."""

    system: AbstractSystem
    density: Any
    beta: float
    options: Options
    method: Method[Any]
    optimiser: Any


def made_problem(method: Method[Any], system: Any, density: Any, beta: float, options: Any, optimiser: Any) -> Problem:
    if optimiser is None:
        return method.problem(system, density, beta, options)
    return method.problem_with(system, density, beta, options, optimiser)


def train_and_evaluate(system, beta, options, folder, progress, start, callback=None, made=None) -> Run:
    """start: from the progress to the training problem, its state, the rows of earlier steps and the best F so far."""
    began = time.monotonic()
    if hasattr(progress, "at_beta"):
        progress.at_beta = beta
    compared = method_of(system).steps_at_reference(options)
    beside = ReferenceBeside(system, options.seed, progress, compared) if options.reference else None
    for note in system.notes():
        progress.say(note)
    progress.say("setting up the training")
    training, state, rows, best_F = start()
    for note in training.notes:
        progress.say(note)
    spent = rows[-1]["seconds"] if rows else 0.0
    state = train(training, state, rows, best_F, system, beta, options, folder, progress, callback)
    stopped = int(state.step) < options.steps
    progress.close()
    progress.say(f"evaluating {options.samples} samples with frozen parameters")
    result, of_evaluation = evaluated(system, training, state, beta, options)
    seconds = spent + time.monotonic() - began
    reference = None if beside is None else beside.result()
    made = {name: value for name, value in (made or {}).items() if value is not None}
    run = Run(system, beta, options, training, state, rows, result, reference, seconds, of_evaluation, made, stopped)
    if folder is not None:
        save_results(folder, run)
    return run


def evaluated(system, training, state, beta, options, again=False) -> tuple[Evaluation, float]:
    """The final evaluation and the seconds that it took."""
    began = time.monotonic()
    return final_evaluation(system, training, state, beta, options, again), time.monotonic() - began


def as_it_is(training: Problem, *_: Any) -> Problem:
    return training


def fresh(system, density, beta, options, keep, warm, progress, optimiser=None):
    training = made_problem(method_of(system), system, density, beta, options, optimiser)
    training = keep(training, system, beta, options)
    state = training.start if warm is None else _warm_start(training, warm, progress)
    return training, state, [], math.inf


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
