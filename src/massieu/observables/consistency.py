"""Whether free energies and their measured derivatives belong together: -dF = P dV + S dT, point by point.

Between neighbours on a line the derivative is integrated over the polynomial through up to four points around them, so
that the check has no error of first differences; two points alone give the trapezoid.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from massieu.principle import Estimate
from massieu.statistics import z_score

POINTS = 4  # of the polynomial


class Check(NamedTuple):
    """Between two values of x: the mean measured derivative, and -(difference of F)/(difference of x)."""

    low: float
    high: float
    measured: Estimate
    difference: Estimate

    @property
    def sigma(self) -> float:
        """Their distance in standard errors."""
        return abs(z_score(self.measured, self.difference))


def checks(x: np.ndarray, f: list[Estimate], derivative: list[Estimate]) -> list[Check]:
    """One check for each pair of neighbours; derivative = -dF/dx as measured at each x (two values at least)."""
    order = np.argsort(x)
    x = np.asarray(x, float)[order]
    f, derivative = [f[i] for i in order], [derivative[i] for i in order]
    found = []
    for i in range(len(x) - 1):
        step = x[i + 1] - x[i]
        first = max(0, min(i - (POINTS - 2) // 2, len(x) - POINTS))
        around = slice(first, first + POINTS)
        weights = _mean_weights(x[around], x[i], x[i + 1])
        values, errors = np.array([(d.value, d.error) for d in derivative[around]]).T
        measured = Estimate(float(weights @ values), float(np.sqrt(weights**2 @ errors**2)))
        change = Estimate(-(f[i + 1].value - f[i].value) / step, float(np.hypot(f[i + 1].error, f[i].error)) / step)
        found.append(Check(float(x[i]), float(x[i + 1]), measured, change))
    return found


def _mean_weights(nodes: np.ndarray, low: float, high: float) -> np.ndarray:
    """w such that w @ y is the mean over (low, high) of the polynomial through y at the nodes."""
    middle, scale = nodes.mean(), np.ptp(nodes)
    t, a, b = (nodes - middle) / scale, (low - middle) / scale, (high - middle) / scale
    powers = np.arange(1, len(nodes) + 1)
    means = (b**powers - a**powers) / (powers * (b - a))
    return np.linalg.solve(np.vander(t, increasing=True).T, means)
