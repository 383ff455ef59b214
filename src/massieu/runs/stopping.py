"""When training stops before its last step: target error reached, no longer healthy, or stopped from outside."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from massieu.errors import RunError, stopped
from massieu.methods.options import Options
from massieu.runs.directory import where_to_resume
from massieu.signals import terminable

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


@contextlib.contextmanager
def told(folder: Path | None) -> Iterator[None]:
    """What stops a run from outside, said with what is saved there and how to continue: Ctrl-C, SIGTERM, memory."""
    try:
        with terminable():
            yield
    except KeyboardInterrupt as error:
        if str(error):  # said already
            raise
        kind = stopped(error)
        raise kind(where_to_resume(folder, kind.word)) from None
    except MemoryError as error:
        raise RunError(where_to_resume(folder, f"out of memory ({error})")) from None
    except jax.errors.JaxRuntimeError as error:
        # a calculator's failure comes wrapped in it; else mostly memory
        text = re.findall(r"RunError: (.*)", str(error)) or [str(error).splitlines()[0]]
        raise RunError(where_to_resume(folder, text[-1])) from None
