"""The grid of a sweep: its points, where each of them starts, and sweep.yaml, from which it can be made again.

A point starts from the parameters of the nearest point before it in the grid, counted in grid steps.  Only steps along
real-valued parameters count as near: other numbers of particles or other random couplings are other problems.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from massieu.errors import InputError, require
from massieu.methods.method import method_of
from massieu.runs import checkpoint
from massieu.runs.directory import class_named, make_system, name_of
from massieu.systems.base import AbstractSystem
from massieu.systems.table import parameters as fields_of
from massieu.systems.table import place_of

GRID = "sweep.yaml"


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
        points.append(Point(name_of_point(chosen), place, chosen, make_system(kind, fixed | chosen)))
        method_of(kind).configure(points[-1].system, **options)
    return Plan(kind, grid, options, points)


def name_of_point(values: dict[str, Any]) -> str:
    """NAME-VALUE_NAME-VALUE, its directory."""
    return "_".join(f"{key.replace('_', '-')}-{_text(key, value)}" for key, value in values.items())


def points_of(grid: dict[str, Any]) -> list[str]:
    """The names of all points of a grid, in order."""
    return [name_of_point(dict(zip(grid, values, strict=True))) for values in itertools.product(*grid.values())]


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


def read_plan(out: Path) -> Plan:
    """The plan of a sweep that is there, from its sweep.yaml; InputError if it cannot be made from that alone."""
    content = read_grid(out)
    try:
        name, place, parameters = content["system"], content.get("class"), dict(content["parameters"])
        grid = {axis: tuple(values) for axis, values in content["grid"].items()}
        options = dict(content["options"])
    except (KeyError, TypeError, AttributeError):
        raise InputError(f"{out / GRID}: must be the grid of a sweep, unchanged") from None
    return plan(class_named(out, name, place), parameters | grid, options)


def read_grid(out: Path) -> dict[str, Any]:
    """sweep.yaml as it stands; InputError if there is none."""
    try:
        return dict(yaml.safe_load((out / GRID).read_text()))
    except OSError:
        raise InputError(f"{out}: must be the directory of a sweep (it has no readable {GRID})") from None
    except (TypeError, ValueError, yaml.YAMLError):
        raise InputError(f"{out / GRID}: must be the grid of a sweep, unchanged") from None


def prepare(plan: Plan, out: Path) -> None:
    """sweep.yaml, written or compared with."""
    path, mine = out / GRID, yaml.safe_load(yaml.safe_dump(plan.as_dict(), sort_keys=False))
    if path.exists():
        try:
            theirs = dict(yaml.safe_load(path.read_text()))
        except (OSError, TypeError, ValueError, yaml.YAMLError):
            raise InputError(f"{path}: must be the grid of a sweep, unchanged") from None
        for part, content in mine.items():
            if part == "class" and part not in theirs:  # version 0.1.0
                continue
            if theirs.get(part) != content:
                raise InputError(f"out = {out}: must be of the same sweep, its {difference(part, theirs, mine)}")
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"out = {out}: must be a new or empty directory, or that of this sweep")
    try:
        out.mkdir(parents=True, exist_ok=True)
        checkpoint.write_atomically(path, yaml.safe_dump(mine, sort_keys=False).encode())
    except OSError as error:
        raise InputError(f"out = {out}: must be a writable directory ({error.strerror})") from None


def difference(part: str, theirs: dict[str, Any], mine: dict[str, Any]) -> str:
    """The first entry that is not the same there, in words."""
    old, new = theirs.get(part), mine[part]
    if isinstance(old, dict) and isinstance(new, dict):
        name = next(k for k in [*new, *old] if old.get(k, "not given") != new.get(k, "not given"))
        return f"{name} is {old.get(name, 'not given')}, not {new.get(name, 'not given')}"
    return f"{part} is {old}, not {new}"
