"""A sweep in Python: `ms.sweep(ms.SK, beta=[0.5, 1.0], couplings_seed=[1, 2])` and the table that comes out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from massieu.errors import InputError, RunError, did_you_mean, require
from massieu.progress import Lines, Silent
from massieu.report.page import table
from massieu.report.tables import cells, sweep_table
from massieu.runs import sweep_plan
from massieu.runs.cluster import Cluster
from massieu.runs.cluster import cluster as cluster_of
from massieu.runs.jobs import conductor
from massieu.runs.sweep import run
from massieu.runs.sweep_table import as_csv
from massieu.systems.base import AbstractSystem


class Table:
    """The rows of a sweep: the swept values, F, E, S, C, ln Z, ESS, every scalar observable, each with its error."""

    def __init__(self, rows: list[dict[str, Any]]):
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __getitem__(self, name: str) -> np.ndarray:
        """A column; nan where a row does not have it.  Errors are NAME_error."""
        names = self.names
        if name not in names:
            raise InputError(f"column = {name}: must be one of {', '.join(names)}{did_you_mean(name, names)}")
        values = [row.get(name) for row in self.rows]
        return np.array([np.nan if value is None else value for value in values])

    @property
    def names(self) -> list[str]:
        """Of the columns."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def to_csv(self, path: str | Path) -> Path:
        """Write sweep.csv."""
        Path(path).write_text(as_csv(self.rows))
        return Path(path)

    def to_pandas(self) -> Any:
        """A pandas DataFrame; pandas must be installed."""
        import pandas

        return pandas.DataFrame(self.rows, columns=self.names)

    def __repr__(self) -> str:
        return sweep_table(self.rows)

    def _repr_html_(self) -> str:
        head, *rows = cells(self.rows) if self.rows else [[sweep_table([])]]
        return table(head, rows)


def sweep(
    kind: type[AbstractSystem],
    *,
    out: str | Path | None = None,
    progress: bool = False,
    cluster: str | Cluster | None = None,
    **given: Any,
) -> Table:
    """A run at every point of a grid; neighbours start from each other's parameters, a sweep in `out` is continued.

    kind: a class of systems; given: its parameters, those with several values as lists, tuples or arrays, and options
    of the training (steps, batch, seed, ...).  out: directory of the sweep (default: a temporary one, not kept).
    cluster: where points run side by side, local (two processes), slurm, or `ms.cluster("slurm", jobs=8, gpus=1)`.
    InputError for what cannot work at any point; RunError if a point failed, once the others are done.
    """
    conduct = None
    if cluster is not None:
        require(out is not None, "out", out, "given with cluster, a directory that all its jobs see")
        conduct = conductor(cluster_of(cluster) if isinstance(cluster, str) else cluster)
    names = sweep_plan.public_names(kind)
    parameters = {names[name]: _values(value) for name, value in given.items() if name in names}
    options = {name: value for name, value in given.items() if name not in names}
    plan = sweep_plan.plan(kind, parameters, options)
    with tempfile.TemporaryDirectory(prefix="massieu-") as temporary:
        folder = Path(temporary) / "sweep" if out is None else Path(out)
        outcome = run(plan, folder, Lines if progress else Silent, conduct=conduct)
    if outcome.failed:
        raise RunError(f"{len(outcome.failed)} of {len(plan.points)} points: {', '.join(outcome.failed)}")
    return Table(outcome.rows)


def _values(value: Any) -> Any:
    """Several values as a tuple of plain numbers and words; one as it is."""
    if isinstance(value, (list, tuple, range, np.ndarray)):
        array = value.tolist() if isinstance(value, np.ndarray) else list(value)
        require(bool(array), "values", value, "at least one")
        return tuple(array)
    return value
