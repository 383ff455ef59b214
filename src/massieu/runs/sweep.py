"""A grid of runs over parameters of a system: each point an ordinary run directory, all of it resumable.

sweep.yaml (the resolved grid)  NAME-VALUE_NAME-VALUE/ (runs)  sweep.csv  sweep.png  consistency.csv (hydrogen)
failed.json (why points failed)  jobs/ (of a cluster)
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from massieu.errors import require
from massieu.methods.method import method_of
from massieu.progress import Progress
from massieu.runs import sweep_table
from massieu.runs.directory import read_finished
from massieu.runs.lock import held
from massieu.runs.outcome import Run
from massieu.runs.sweep_plan import Plan, prepare
from massieu.runs.sweep_table import Row
from massieu.runs.sweep_task import Conduct, Failures, Finish, Work, one_after_another


class Outcome(NamedTuple):
    """The rows of sweep.csv and of consistency.csv (hydrogen), and the names of the points that failed."""

    rows: list[Row]
    checks: list[Row]
    failed: list[str]


def run(
    plan: Plan,
    out: Path,
    progress: Callable[[], Progress],
    finish: Finish = Run.save,
    conduct: Conduct | None = None,
    retry: bool = False,
) -> Outcome:
    """Run what is not finished; `finish` writes what is wanted of each run into its directory.

    conduct: who carries the tasks out (default: this process, one after the other); retry: only those that failed.
    InputError if `out` holds another sweep or anything else.  A point that fails does not stop the others.
    """
    prepare(plan, out)
    with held(out, progress().say):
        failures = Failures(out)
        wanted = [point for point in plan.points if not retry or point.name in failures.before]
        require(bool(wanted), "retry", out, "a sweep with points that failed")
        absent = [point.name for point in plan.points if point not in wanted and not read_finished(out / point.name)]
        (conduct or one_after_another)(Work(plan, out, progress, finish, wanted, absent, failures))
        return _written(plan, out, list(failures.now))


def _written(plan: Plan, out: Path, failed: list[str]) -> Outcome:
    """The tables and the figure of what is finished."""
    done = [(point, summary) for point in plan.points if (summary := read_finished(out / point.name))]
    rows = [sweep_table.row(point.values, summary) for point, summary in done]
    checks = method_of(plan.kind).consistency([(point.system, summary) for point, summary in done])
    sweep_table.write(out, list(plan.grid), plan.kind.units["energy"], rows, checks)
    return Outcome(rows, checks, failed)
