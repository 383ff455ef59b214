"""The equation of state that a sweep of hydrogen gives: P beside F, E and S, and whether they belong together.

consistency.csv    P against -dF/dV between neighbours in density, S against -dF/dT between neighbours in temperature
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
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
    pressed = [(system, run) for system, run in runs if system.has_pressure]
    for line in _lines(pressed, lambda system: system.length, ("rs", "box")):
        volumes = np.array([system.length**3 for system, _ in line])
        found = checks(volumes, [_estimate(run["F"], GPA) for _, run in line],
                       [_estimate(run["observables"]["pressure"]) for _, run in line])  # fmt: skip
        shown = [system.density_parameter for system, _ in line]
        rows += _rows("P = -dF/dV (GPa)", f"T = {line[0][0].temperature:g} K", shown, found)
    thermal = [(system, run) for system, run in runs if np.isfinite(system.beta)]
    for line in _lines(thermal, lambda system: system.temperature, ("temperature",)):
        shown = [system.temperature for system, _ in line]
        found = checks(np.array(shown), [_estimate(run["F"], KELVIN_PER_RYDBERG) for _, run in line],
                       [_estimate(run["S"]) for _, run in line])  # fmt: skip
        rows += _rows("S = -dF/dT (k_B)", f"rs = {line[0][0].density_parameter:.5g}", shown, found)
    return rows


def _lines(runs: list[Finished], place: Callable[[Hydrogen], float], free: tuple[str, ...]) -> list[list[Finished]]:
    """Groups of at least two runs, by rising `place`, that agree in all parameters but the free ones."""
    groups = alike(sorted(runs, key=lambda both: place(both[0])), free).values()
    return [group for group in groups if len({place(system) for system, _ in group}) == len(group) > 1]


def alike(runs: list[Finished], free: tuple[str, ...]) -> dict[str, list[Finished]]:
    """Groups of runs that agree in all parameters but the free ones, by what they agree in."""
    groups: dict[str, list[Finished]] = {}
    for system, run in runs:
        fixed = {name: value for name, value in system.parameters().items() if name not in free}
        groups.setdefault(", ".join(f"{k}={v}" for k, v in fixed.items() if v is not None), []).append((system, run))
    return groups


def _estimate(entry: dict[str, float], scale: float = 1.0) -> Estimate:
    return Estimate(scale * entry["value"], scale * entry["error"])


def _rows(derivative: str, fixed: str, shown: list[float], found: list[Check]) -> list[Row]:
    """One row for each check between neighbours among the values `shown`."""
    between = zip(itertools.pairwise(shown), found, strict=True)
    return [
        dict(zip(COLUMNS, (derivative, fixed, *both, *c.measured, *c.difference, c.sigma), strict=True))
        for both, c in between
    ]
