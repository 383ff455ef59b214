"""The result of a final evaluation, the same for every kind of matter."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from massieu.principle import Estimate


class Evaluation(NamedTuple):
    """Totals; kT and energies in the system's unit, entropy in k_B.

    drawn: samples behind them, where they are not as many as were asked for.
    """

    F: Estimate
    E: Estimate
    S: Estimate
    C: Estimate
    F_var: float
    observables: dict[str, Any]
    importance: dict[str, Any]
    samples: dict[str, np.ndarray]
    drawn: int | None = None


class Observed(NamedTuple):
    """An average three ways: from Metropolis chains with the density as proposal, of the density, and reweighted.

    value and error are numbers or arrays of the observable's shape.
    """

    unbiased: Estimate
    variational: Estimate
    reweighted: Estimate

    @classmethod
    def of(cls, entry: dict[str, Any]) -> Observed:
        """From the entry of an observable in summary.json."""
        return cls(*(_numbers(found) for found in (entry, entry["model"], entry["reweighted"])))


def _numbers(found: dict[str, Any]) -> Estimate:
    value, error = found["value"], found["error"]
    return Estimate(*(np.array(v) if isinstance(value, list) else v for v in (value, error)))  # type: ignore[arg-type]


def shaped(estimates: tuple[Estimate, ...], shape: tuple[int, ...]) -> dict[str, Any]:
    """{"value", "error"}: numbers for a scalar, lists for an array."""
    if not shape:
        return estimates[0].as_dict()
    value, error = (np.array([e[k] for e in estimates]).reshape(shape).tolist() for k in (0, 1))
    return {"value": value, "error": error}
