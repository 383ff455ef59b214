"""How far a sweep is, from its files alone: each point waits, is in the queue, runs, was stopped, failed or is done."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from massieu.errors import InputError
from massieu.principle import Estimate
from massieu.runs import checkpoint, lock
from massieu.runs.directory import read_content, read_finished, read_metrics
from massieu.runs.jobs import submitted
from massieu.runs.sweep_plan import GRID, points_of, read_grid
from massieu.runs.sweep_task import read_failures

WORDS = ("done", "running", "submitted", "stopped", "failed", "waiting")


class State(NamedTuple):
    """A point, one of WORDS, and what more is known."""

    point: str
    word: str
    text: str


def states(out: Path) -> list[State]:
    """Of all points, in the order of the grid; InputError if `out` is no sweep."""
    grid = read_grid(out).get("grid")
    if not isinstance(grid, dict) or not all(isinstance(values, list) for values in grid.values()):
        raise InputError(f"{out / GRID}: must be the grid of a sweep, unchanged")
    failed, jobs = read_failures(out), submitted(out)
    return [State(name, *_state(out / name, failed.get(name), jobs.get(name))) for name in points_of(grid)]


def summary(out: Path, found: list[State]) -> str:
    """How many there are of each, and what to do about those that failed."""
    counts = Counter(state.word for state in found)
    text = ", ".join(f"{counts[word]} {word}" for word in WORDS if counts[word])
    again = f"; massieu sweep --retry {out} tries those that failed again" if counts["failed"] else ""
    return f"{len(found)} points: {text}{again}"


def _state(folder: Path, why: str | None, job: str | None) -> tuple[str, str]:
    if summary := read_finished(folder):
        return "done", f"F {_estimate(summary['F']['value'], summary['F']['error'])}"
    if holder := lock.holder(folder):
        return "running", _last_step(folder) + holder
    if job is not None:  # again, where it failed before
        return "submitted", f"job {job}"
    if why is not None:
        return "failed", why
    saved = checkpoint.steps_saved(folder / "checkpoints")
    return ("waiting", "") if saved is None else ("stopped", f"{saved} steps saved")


def _last_step(folder: Path) -> str:
    """Of those saved; nothing before the first checkpoint."""
    rows = read_metrics(folder)
    if not rows:
        return ""
    steps = (read_content(folder).get("config") or {}).get("steps", "?")
    return f"step {int(rows[-1]['step']) + 1}/{steps}, F {_estimate(rows[-1]['F'], rows[-1]['F_error'])}, "


def _estimate(value: float, error: float) -> str:
    return str(Estimate(value, error))
