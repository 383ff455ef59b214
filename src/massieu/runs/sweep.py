"""A grid of runs over parameters of a system: each point an ordinary run directory, all of it resumable.

sweep.yaml (the resolved grid)  NAME-VALUE_NAME-VALUE/ (runs)  sweep.csv  sweep.png  consistency.csv (hydrogen)

A point starts from the parameters of the nearest point before it in the grid, counted in grid steps.  Only steps along
real-valued parameters count as near: other numbers of particles or other random couplings are other problems.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import yaml

from massieu.errors import InputError, InUse, RunError, require, stopped
from massieu.methods.method import method_of
from massieu.progress import Progress
from massieu.runs import checkpoint
from massieu.runs.continued import resume
from massieu.runs.directory import GIVEN, identity, make_system, name_of, read_config, read_finished
from massieu.runs.lock import held
from massieu.runs.outcome import Run
from massieu.runs.run import chosen_beta, minimize
from massieu.systems.base import AbstractSystem
from massieu.systems.table import parameters as fields_of
from massieu.systems.table import place_of

QUANTITIES = ("F", "E", "S", "C")
CONTINUED = ("steps", "anneal")  # options of a point that may have been trained further by itself
OBSERVED = {"effective_mass_ratio": "effective_mass_ratio", "P": "pressure"}  # column: observable
Row = dict[str, Any]
Finish = Callable[[Run, Path], Any]


class Point(NamedTuple):
    """One point of the grid: directory name, place along each axis, the swept values by name, and the system."""

    name: str
    place: tuple[int, ...]
    values: dict[str, Any]
    system: AbstractSystem


class Plan(NamedTuple):
    """The resolved grid; `options` are the fields of the configuration that were given."""

    kind: type[AbstractSystem]
    grid: dict[str, tuple[Any, ...]]
    options: dict[str, Any]
    points: list[Point]

    def as_dict(self) -> dict[str, Any]:
        """What sweep.yaml holds, and what a later call must agree on."""
        common = {k: v for k, v in self.points[0].system.parameters().items() if k not in self.grid}
        grid = {name: list(values) for name, values in self.grid.items()}
        kind = {"system": name_of(self.points[0].system), "class": place_of(self.kind)}
        return {**kind, "grid": grid, "parameters": common, "options": self.options}


class Outcome(NamedTuple):
    """The rows of sweep.csv and of consistency.csv (hydrogen), and the names of the points that failed."""

    rows: list[Row]
    checks: list[Row]
    failed: list[str]


def plan(kind: type[AbstractSystem], parameters: dict[str, Any], options: dict[str, Any]) -> Plan:
    """The grid over all parameters (by public name) whose value is a tuple; InputError if any point cannot be run."""
    grid = {name: value for name, value in parameters.items() if isinstance(value, tuple)}
    if not grid:
        example = method_of(kind).example
        raise InputError(
            f"{kind.name}: must be given numbers with commas for a parameter to sweep over, such as {example}"
        )
    fixed = {name: value for name, value in parameters.items() if name not in grid}
    for name, values in grid.items():
        shown = ",".join(_text(name, value) for value in values)
        require(len(set(values)) == len(values) > 1, name, shown, "at least two values, all different")
    points = []
    for place in itertools.product(*(range(len(values)) for values in grid.values())):
        chosen = {name: values[i] for i, (name, values) in zip(place, grid.items(), strict=True)}
        name = "_".join(f"{key.replace('_', '-')}-{_text(key, value)}" for key, value in chosen.items())
        points.append(Point(name, place, chosen, make_system(kind, fixed | chosen)))
        method_of(kind).configure(points[-1].system, **options)
    return Plan(kind, grid, options, points)


def public_names(kind: type[AbstractSystem]) -> dict[str, str]:
    """The names that users see of the parameters, by these and by those of the fields."""
    fields = fields_of(kind)
    return {field.name: name for name, field in fields.items()} | {name: name for name in fields}


def _text(name: str, value: Any) -> str:
    """As short as it can be and still be read back as the same value: no two points share a directory."""
    if isinstance(value, (bool, str)):
        text = str(value) if isinstance(value, str) else str(value).lower()
        require("/" not in text, name, text, "without / in a sweep, whose directories are named after it")
        return text
    short = f"{value:.12g}"
    return short if float(short) == value else repr(value)


def described(plan: Plan) -> list[str]:
    """One line for each point: its directory and where it starts."""
    near = [nearest(plan, point) for point in plan.points]
    width = max(len(point.name) for point in plan.points)
    return [
        f"{point.name:{width}s}  {f'starts from {other.name}' if other else 'fresh start'}"
        for point, other in zip(plan.points, near, strict=True)
    ]


def nearest(plan: Plan, point: Point, failed: tuple[str, ...] = ()) -> Point | None:
    """The point before this one, trained, that is the fewest grid steps away along real-valued parameters."""
    real = [all(isinstance(v, float) for v in values) for values in plan.grid.values()]

    def steps(other: Point) -> float:
        moves = [abs(i - j) for i, j in zip(point.place, other.place, strict=True)]
        return sum(moves) if all(ok or move == 0 for ok, move in zip(real, moves, strict=True)) else math.inf

    before = [p for p in plan.points[: plan.points.index(point)] if p.name not in failed and steps(p) < math.inf]
    return min(before, key=steps, default=None)


def run(plan: Plan, out: Path, progress: Callable[[], Progress], finish: Finish = Run.save) -> Outcome:
    """Run what is not finished; `finish` writes what is wanted of each run into its directory.

    InputError if `out` holds another sweep or anything else.  A point that fails does not stop the others.
    """
    _prepare(plan, out)
    with held(out, progress().say):
        return _run(plan, out, progress, finish)


def _run(plan: Plan, out: Path, progress: Callable[[], Progress], finish: Finish) -> Outcome:
    failed: list[str] = []
    for number, point in enumerate(plan.points, 1):
        teller = progress()
        label = f"[{number}/{len(plan.points)}] {point.name}"
        try:
            with held(folder if (folder := out / point.name).is_dir() else None, teller.say):
                _one(plan, point, out, label, teller, tuple(failed), finish)
        except (RunError, InUse) as error:
            teller.close()
            teller.say(f"{label}: failed: {error}")
            failed.append(point.name)
        except KeyboardInterrupt as error:
            kind = stopped(error)
            raise kind(f"{str(error) or kind.word}, or the whole sweep with the same command again") from None
        jax.clear_caches()  # the programs of one point are not those of the next, and a process can hold only so many
    done = [(point, summary) for point in plan.points if (summary := read_finished(out / point.name))]
    rows = [_row(point, summary) for point, summary in done]
    checks = method_of(plan.kind).consistency([(point.system, summary) for point, summary in done])
    _write(plan, out, rows, checks)
    return Outcome(rows, checks, failed)


def _one(
    plan: Plan, point: Point, out: Path, label: str, progress: Progress, failed: tuple[str, ...], finish: Finish
) -> None:
    """Train one point, or continue it; nothing if it is finished."""
    folder = out / point.name
    if read_finished(folder):
        _check_is_mine(plan, point, folder)
        progress.say(f"{label}: finished before, skipped")
        return
    if checkpoint.steps_saved(folder / "checkpoints") is not None:
        _check_is_mine(plan, point, folder)
        progress.say(f"{label}: continues from its last checkpoint")
        done = resume(folder, None, progress)
    else:
        _clear(folder)
        other = nearest(plan, point, failed)
        progress.say(f"{label}: {f'from {other.name}' if other else 'fresh start'}")
        warm = {} if other is None else method_of(plan.kind).warm(point.system, other.system, plan.options)
        start_from = out / other.name if other else None
        done = minimize(point.system, out=folder, progress=progress, start_from=start_from, **plan.options, **warm)
    if done is not None:
        finish(done, folder)


def _check_is_mine(plan: Plan, point: Point, folder: Path) -> None:
    """InputError, naming what differs, unless the run is of this system and these options (but for more steps)."""

    def described(system: AbstractSystem, beta: float, options: Any) -> dict[str, Any]:
        given = {name: getattr(options, name) for name in plan.options if name not in CONTINUED}
        return identity(system, beta) | given

    own = method_of(plan.kind).configure(point.system, **plan.options)
    mine, theirs = described(point.system, chosen_beta(point.system, None), own), described(*read_config(folder))
    other = next((name for name in mine if mine[name] != theirs.get(name)), None)
    if other is not None:
        raise InputError(f"{folder}: must be of this point of the sweep, its {_difference(other, theirs, mine)}")


def _clear(folder: Path) -> None:
    """Remove what a run that died before its first checkpoint left behind, and only that."""
    for name in ("config.yaml", GIVEN, "metrics.csv", "summary.json"):
        (folder / name).unlink(missing_ok=True)
    if (folder / "checkpoints").is_dir() and not any((folder / "checkpoints").iterdir()):
        (folder / "checkpoints").rmdir()


def _prepare(plan: Plan, out: Path) -> None:
    """sweep.yaml, written or compared with."""
    path, mine = out / "sweep.yaml", yaml.safe_load(yaml.safe_dump(plan.as_dict(), sort_keys=False))
    if path.exists():
        try:
            theirs = dict(yaml.safe_load(path.read_text()))
        except (OSError, TypeError, ValueError, yaml.YAMLError):
            raise InputError(f"{path}: must be the grid of a sweep, unchanged") from None
        for part, content in mine.items():
            if part == "class" and part not in theirs:  # version 0.1.0
                continue
            if theirs.get(part) != content:
                raise InputError(f"out = {out}: must be of the same sweep, its {_difference(part, theirs, mine)}")
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"out = {out}: must be a new or empty directory, or that of this sweep")
    try:
        out.mkdir(parents=True, exist_ok=True)
        checkpoint.write_atomically(path, yaml.safe_dump(mine, sort_keys=False).encode())
    except OSError as error:
        raise InputError(f"out = {out}: must be a writable directory ({error.strerror})") from None


def _difference(part: str, theirs: dict[str, Any], mine: dict[str, Any]) -> str:
    """The first entry that is not the same there, in words."""
    old, new = theirs.get(part), mine[part]
    if isinstance(old, dict) and isinstance(new, dict):
        name = next(k for k in [*new, *old] if old.get(k, "not given") != new.get(k, "not given"))
        return f"{name} is {old.get(name, 'not given')}, not {new.get(name, 'not given')}"
    return f"{part} is {old}, not {new}"


# ---- what comes out


def _row(point: Point, summary: dict[str, Any]) -> Row:
    """One row of sweep.csv: None where a value is not known."""
    row: Row = dict(point.values)
    for name in QUANTITIES:
        row |= {name: summary[name]["value"], f"{name}_error": summary[name]["error"]}
    known = (summary.get("reference") or {}).get("F")
    row |= {"F_reference": known and known["value"], "F_reference_error": known and known["error"]}
    importance = summary.get("importance")
    if importance:
        row |= {"lnZ": importance["lnZ"]["value"], "lnZ_error": importance["lnZ"]["error"], "ess": importance["ess"]}
    for column, name in OBSERVED.items():
        if name in summary["observables"]:
            found = summary["observables"][name]
            row |= {column: found["value"], f"{column}_error": found["error"]}
    row |= {"F_var": summary["F_var"], "seconds": summary["seconds"]}
    for name, found in summary["observables"].items():  # numbers; Metropolis averages where there are any
        if name not in OBSERVED.values() and name not in row and isinstance(found, dict) and _is_number(found):
            row |= {name: found["value"], f"{name}_error": found["error"]}
    return row


def _is_number(found: dict[str, Any]) -> bool:
    return "error" in found and isinstance(found.get("value"), int | float)


def _write(plan: Plan, out: Path, rows: list[Row], checks: list[Row]) -> None:
    """sweep.csv, sweep.png and consistency.csv, each atomically."""
    if not rows:
        return
    checkpoint.write_atomically(out / "sweep.csv", as_csv(rows).encode())
    if checks:
        checkpoint.write_atomically(out / "consistency.csv", as_csv(checks).encode())
    names = ("F", "E", "S", *(name for name in OBSERVED if any(name in row for row in rows)))
    from massieu.methods import figures

    picture = io.BytesIO()
    figures.sweep(rows, list(plan.grid), names, plan.kind.units["energy"]).savefig(picture, format="png", dpi=130)
    checkpoint.write_atomically(out / "sweep.png", picture.getvalue())


def as_csv(rows: list[Row]) -> str:
    """Rows that need not have the same columns; None is empty."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, fieldnames=columns, restval="")
    writer.writeheader()
    writer.writerows({k: "" if v is None else v for k, v in row.items()} for row in rows)
    return table.getvalue()
