"""The equation of state that a sweep of hydrogen gives: P beside F, E and S, and whether they belong together.

consistency.csv    P against -dF/dV between neighbours in density, S against -dF/dT between neighbours in temperature
"""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np

from massieu.observables.consistency import Check, checks
from massieu.principle import Estimate
from massieu.systems.hydrogen import Hydrogen
from massieu.units import GPA, KELVIN_PER_RYDBERG

COLUMNS = ("derivative", "fixed", "from", "to", "measured", "measured_error", "difference", "difference_error", "sigma")
Finished = tuple[Hydrogen, dict[str, Any]]  # a system and the summary of its run
Row = dict[str, Any]


def consistency(runs: list[Finished]) -> list[Row]:
    """All checks that the runs allow: along lines that differ in density alone, and in temperature alone.

    P in GPa between values of rs, S in k_B between temperatures in K.
    """
    rows = []
    for line in _lines(runs, ("rs", "box")):
        x = np.array([system.length**3 for system, _ in line])
        found = checks(x, [_scaled(run["F"], GPA) for _, run in line],
                       [_scaled(run["observables"]["pressure"]) for _, run in line])  # fmt: skip
        name, n = f"T = {line[0][0].temperature:g} K", line[0][0].n
        rows += [_row("P = -dF/dV (GPa)", name, _rs(c.low, n), _rs(c.high, n), c) for c in found]
    for line in _lines([run for run in runs if np.isfinite(run[0].beta)], ("temperature",)):
        x = np.array([system.temperature for system, _ in line])
        found = checks(x, [_scaled(run["F"], KELVIN_PER_RYDBERG) for _, run in line],
                       [_scaled(run["S"]) for _, run in line])  # fmt: skip
        rows += [_row("S = -dF/dT (k_B)", f"rs = {line[0][0].density_parameter:.5g}", c.low, c.high, c) for c in found]
    return rows


def _lines(runs: list[Finished], names: tuple[str, ...]) -> list[list[Finished]]:
    """Groups of at least two runs that agree in all parameters but these."""
    groups: dict[str, list[Finished]] = {}
    for system, run in runs:
        rest = {name: value for name, value in system.parameters().items() if name not in names}
        groups.setdefault(repr(rest), []).append((system, run))
    by_volume = "rs" in names
    kept = []
    for group in groups.values():
        values = {system.length if by_volume else system.temperature for system, _ in group}
        kept += [group] if len(values) == len(group) > 1 else []
    if by_volume:
        return kept
    return [group for group in kept if len({system.length for system, _ in group}) == 1]


def _scaled(estimate: dict[str, float], scale: float = 1.0) -> Estimate:
    return Estimate(scale * estimate["value"], scale * estimate["error"])


def _rs(volume: float, n: int) -> float:
    return float((3 * volume / (4 * np.pi * n)) ** (1 / 3))


def _row(derivative: str, fixed: str, low: float, high: float, check: Check) -> Row:
    values = (derivative, fixed, low, high, *check.measured, *check.difference, check.sigma)
    return dict(zip(COLUMNS, values, strict=True))


def as_csv(rows: list[Row]) -> str:
    """consistency.csv."""
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, fieldnames=COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return table.getvalue()


def cells(rows: list[Row]) -> list[list[str]]:
    """The checks as a table for the terminal."""
    table = [["consistency", "at", "between", "measured", "from F", "sigma"]]
    for row in rows:
        both = (str(Estimate(row[k], row[f"{k}_error"])) for k in ("measured", "difference"))
        between = f"{row['from']:.5g} and {row['to']:.5g}"
        table.append([row["derivative"], row["fixed"], between, *both, f"{row['sigma']:.1f}"])
    return table
