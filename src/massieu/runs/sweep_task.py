"""The work of a sweep: a task for each point, who carries them out, and why points failed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax

from massieu.errors import InputError, InUse, RunError, stopped
from massieu.methods.method import method_of
from massieu.progress import Progress
from massieu.runs import checkpoint
from massieu.runs.continued import resume
from massieu.runs.directory import GIVEN, identity, read_config, read_finished
from massieu.runs.lock import held
from massieu.runs.outcome import Run
from massieu.runs.run import chosen_beta, minimize
from massieu.runs.sweep_plan import Plan, Point, difference, nearest
from massieu.strict_json import from_json, to_json
from massieu.systems.base import AbstractSystem

FAILED = "failed.json"
CONTINUED = ("steps", "anneal")  # options of a point that may have been trained further by itself
Finish = Callable[[Run, Path], Any]
Conduct = Callable[["Work"], None]


class Failures:
    """Why points failed: `now`, in this call, and in failed.json with what is left of earlier ones."""

    def __init__(self, out: Path):
        self.path, self.now = out / FAILED, dict[str, str]()
        self.before = read_failures(out)

    def settle(self, name: str, why: str | None = None) -> None:
        """A point has ended, well or not."""
        self.before.pop(name, None)
        if why is not None:
            self.now[name] = why
        if known := self.before | self.now:
            checkpoint.write_atomically(self.path, to_json(known, indent=2).encode())
        else:
            self.path.unlink(missing_ok=True)


def read_failures(out: Path) -> dict[str, str]:
    """What `Failures` has written."""
    try:
        return dict(from_json((out / FAILED).read_text()))
    except (OSError, ValueError, TypeError):
        return {}


class Work(NamedTuple):
    """What a conductor is given: the points that are wanted, those that are absent for good, where failures go."""

    plan: Plan
    out: Path
    progress: Callable[[], Progress]
    finish: Finish
    wanted: list[Point]
    absent: list[str]
    failures: Failures

    def task(self, point: Point) -> Task:
        """A point, and where it starts as things stand."""
        label = f"[{self.plan.points.index(point) + 1}/{len(self.plan.points)}] {point.name}"
        near = nearest(self.plan, point, (*self.absent, *self.failures.now))
        return Task(self.plan.kind, self.plan.options, point, near, label)


class Task(NamedTuple):
    """One point to be run, and the one that it starts from: all that another process has to know."""

    kind: type[AbstractSystem]
    options: dict[str, Any]
    point: Point
    near: Point | None
    label: str

    def carry_out(self, out: Path, progress: Progress, finish: Finish) -> None:
        """Train the point, or continue it; nothing if it is finished.  InUse while another process does."""
        folder = out / self.point.name
        folder.mkdir(exist_ok=True)
        with held(folder, progress.say):
            self._carry_out(out, folder, progress, finish)

    def _carry_out(self, out: Path, folder: Path, progress: Progress, finish: Finish) -> None:
        point, near = self.point, self.near
        if read_finished(folder):
            self.check_is_mine(folder)
            progress.say(f"{self.label}: finished before, skipped")
            return
        if checkpoint.steps_saved(folder / "checkpoints") is not None:
            self.check_is_mine(folder)
            progress.say(f"{self.label}: continues from its last checkpoint")
            done = resume(folder, None, progress)
        else:
            _clear(folder)
            progress.say(f"{self.label}: {f'from {near.name}' if near else 'fresh start'}")
            warm = {} if near is None else method_of(self.kind).warm(point.system, near.system, self.options)
            start_from = out / near.name if near else None
            done = minimize(point.system, out=folder, progress=progress, start_from=start_from, **self.options, **warm)
        if done is not None:
            finish(done, folder)

    def check_is_mine(self, folder: Path) -> None:
        """InputError, naming what differs, unless the run is of this system and these options (but for more steps)."""

        def described(system: AbstractSystem, beta: float, options: Any) -> dict[str, Any]:
            given = {name: getattr(options, name) for name in self.options if name not in CONTINUED}
            return identity(system, beta) | given

        system = self.point.system
        own = method_of(self.kind).configure(system, **self.options)
        mine, theirs = described(system, chosen_beta(system, None), own), described(*read_config(folder))
        other = next((name for name in mine if mine[name] != theirs.get(name)), None)
        if other is not None:
            raise InputError(f"{folder}: must be of this point of the sweep, its {difference(other, theirs, mine)}")


def one_after_another(work: Work) -> None:
    """All in this process."""
    for point in work.wanted:
        teller, task = work.progress(), work.task(point)
        try:
            task.carry_out(work.out, teller, work.finish)
            work.failures.settle(point.name)
        except (RunError, InUse) as error:
            teller.close()
            teller.say(f"{task.label}: failed: {error}")
            work.failures.settle(point.name, str(error))
        except KeyboardInterrupt as error:
            kind = stopped(error)
            raise kind(f"{str(error) or kind.word}, or the whole sweep with the same command again") from None
        jax.clear_caches()  # the programs of one point are not those of the next, and a process can hold only so many


def _clear(folder: Path) -> None:
    """Remove what a run that died before its first checkpoint left behind, and only that."""
    for name in ("config.yaml", GIVEN, "metrics.csv", "summary.json"):
        (folder / name).unlink(missing_ok=True)
    if (folder / "checkpoints").is_dir() and not any((folder / "checkpoints").iterdir()):
        (folder / "checkpoints").rmdir()
