"""The result of a final evaluation, the same for every kind of matter."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from massieu.principle import Estimate


class Evaluation(NamedTuple):
    """Totals; kT and energies in the system's unit, entropy in k_B."""

    F: Estimate
    E: Estimate
    S: Estimate
    C: Estimate
    F_var: float
    observables: dict[str, Any]
    importance: dict[str, Any]
    samples: dict[str, np.ndarray]


def shaped(estimates: tuple[Estimate, ...], shape: tuple[int, ...]) -> dict[str, Any]:
    """{"value", "error"}: numbers for a scalar, lists for an array."""
    if not shape:
        return estimates[0].as_dict()
    value, error = (np.array([e[k] for e in estimates]).reshape(shape).tolist() for k in (0, 1))
    return {"value": value, "error": error}
