"""The training loop of a run: step, record, save; what is trained is saved when it ends, however it ends."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from massieu.errors import RunError
from massieu.methods.options import Options
from massieu.methods.training import Problem, TrainState
from massieu.progress import Progress
from massieu.runs import checkpoint
from massieu.runs.directory import Row, append_metrics, identity, where_to_resume, write_metrics
from massieu.runs.stopping import collapsed, converged
from massieu.strict_json import to_json
from massieu.systems.base import AbstractSystem
from massieu.version import __version__

SCHEMA = 1  # of summary.json
Callback = Callable[[int, Row, TrainState], bool | None]


def train(
    training: Problem, state: TrainState, rows: list[Row], best_F: float, system: AbstractSystem, beta: float,
    options: Options, folder: Path | None, progress: Progress, callback: Callback | None = None,
) -> TrainState:  # fmt: skip
    """Step until done, or until the callback says so; record every step; save at times and at the end."""
    began = time.monotonic() - (rows[-1]["seconds"] if rows else 0.0)
    saving = Saving(folder, int(state.step), system, beta, options, best_F)
    compiling = int(state.step) < options.steps
    if compiling:
        progress.say("compiling the first step")
    try:
        while int(state.step) < options.steps and not converged(rows, beta, options):
            since, coming = time.monotonic(), training.announced(state)
            if coming:
                progress.say(coming)
            new, metrics = training.step(training.between_steps(state))
            row = {
                "step": int(state.step),
                **{k: float(v) for k, v in metrics.items()},
                "seconds": time.monotonic() - began,
            }
            if not (math.isfinite(row["F"]) and math.isfinite(row["F_var"]) and math.isfinite(row["grad_norm"])):
                raise _diverged(row, folder)
            if compiling:
                progress.say(f"compiled and made in {time.monotonic() - since:.1f} s")
                compiling = False
            rows.append(row)
            state = new
            if collapsed(rows):
                raise _diverged(row, folder)
            progress.step(int(state.step), options.steps, row)
            if int(state.step) % options.checkpoint_every == 0:
                saving.save(state, rows)
            if callback is not None and _called(callback, state, row, folder):
                break
        saving.save(state, rows)
    except (KeyboardInterrupt, SystemExit):  # SystemExit: what submitit makes of the signal before a job is preempted
        progress.close()
        saving.anew(state, rows)
        raise
    except OSError as error:
        progress.close()
        raise RunError(where_to_resume(folder, f"cannot write to {folder} ({error.strerror})")) from None
    return state


def _called(callback: Callback, state: TrainState, row: Row, folder: Path | None) -> bool:
    """What the callback says; its own failures are not those of the run directory."""
    try:
        return bool(callback(int(state.step), row, state))
    except OSError as error:
        raise RunError(where_to_resume(folder, f"the callback failed at step {int(state.step)}: {error}")) from error


class Saving:
    """What is saved of a run so far, and in which order: a checkpoint never knows more steps than metrics.csv."""

    def __init__(
        self, folder: Path | None, steps: int, system: AbstractSystem, beta: float, options: Options, best_F: float
    ):
        self.folder, self.steps, self.best_F = folder, steps, best_F
        self.beta, self.every = beta, options.checkpoint_every
        self.meta = {"identity": identity(system, beta), "version": __version__}

    def save(self, state: TrainState, rows: list[Row]) -> None:
        """Metrics first, then the checkpoint, and that of the best F; nothing where there is no directory."""
        new = [row for row in rows if row["step"] >= self.steps]
        if self.folder is not None and new:
            append_metrics(self.folder, new)
            self._checkpoint(self.folder, state, rows)

    def anew(self, state: TrainState, rows: list[Row]) -> None:
        """The same from wherever an interruption left it: the table of metrics as a whole."""
        done = [row for row in rows if row["step"] < int(state.step)]
        if self.folder is not None and done:
            write_metrics(self.folder, done)
            self._checkpoint(self.folder, state, done)

    def _checkpoint(self, folder: Path, state: TrainState, rows: list[Row]) -> None:
        recent = rows[-self.every :]
        mean_F = float(np.mean([row["F"] for row in recent]))
        better = all(row["beta"] == self.beta for row in recent) and mean_F < self.best_F
        self.best_F = mean_F if better else self.best_F
        content: dict[str, Any] = self.meta | {"best_F": self.best_F}
        checkpoint.save(folder / "checkpoints", state, content)
        if better:
            checkpoint.save(folder / "checkpoints", state, content, name="best.npz")
        self.steps = int(state.step)


def _diverged(row: Row, folder: Path | None) -> RunError:
    state = f"F = {row['F']}, Var(F_loc) = {row['F_var']}, acceptance {row.get('acceptance', 1.0):.2g}"
    text = f"diverged at step {row['step']} ({state}); try a smaller learning_rate"
    if folder is not None:
        failed = {"schema": SCHEMA, "status": "diverged", "steps": int(row["step"]), "F": None, "E": None, "S": None}
        checkpoint.write_atomically(folder / "summary.json", to_json(failed, indent=2).encode())
    return RunError(where_to_resume(folder, text))
