"""When training stops before its last step: the target error is reached, or the run is no longer healthy."""

from __future__ import annotations

import numpy as np

from massieu.methods.options import Options

PATIENCE = 10  # steps in a row below the target error, or beyond what a healthy run does
LEAST_ACCEPTANCE, EXPLODED = 0.01, 1e3  # of Markov chains; times the usual variance
Row = dict[str, float]


def converged(rows: list[Row], beta: float, options: Options) -> bool:
    """Second-order estimate of the gap, beta Var(F_loc) / 2, below the target for some steps in a row."""
    if options.target_error == 0 or len(rows) < PATIENCE:
        return False
    last = rows[-PATIENCE:]
    return all(r["beta"] == beta and 0.5 * beta * r["F_var"] < options.target_error * abs(r["F"]) for r in last)


def collapsed(rows: list[Row]) -> bool:
    """Chains that hardly move, or a variance far above what it was: for PATIENCE steps in a row."""
    if len(rows) < 5 * PATIENCE:
        return False
    last, before = rows[-PATIENCE:], rows[-5 * PATIENCE : -PATIENCE]
    stuck = all(row.get("acceptance", 1.0) < LEAST_ACCEPTANCE for row in last)
    usual = float(np.median([row["F_var"] for row in before]))
    same_beta = rows[-5 * PATIENCE]["beta"] == last[-1]["beta"]
    return stuck or (same_beta and usual > 0 and all(row["F_var"] > EXPLODED * usual for row in last))
