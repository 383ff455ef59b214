"""Baselines beside each other and beside a trained network: F with errors, and the error of ln Z, against time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from massieu.baselines.chains import Baseline
from massieu.errors import InputError
from massieu.principle import Estimate
from massieu.runs.directory import read_finished, read_metrics
from massieu.text import columns

Row = dict[str, Any]


def network(folder: Path, system: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Summary and metrics of a finished run of the same system; InputError if it is not one."""
    summary, rows = read_finished(folder), read_metrics(folder)
    if summary is None or not rows:
        raise InputError(f"run = {folder}: must be the directory of a finished run")
    same = summary["system"] == system and all(summary["parameters"].get(k) == v for k, v in parameters.items())
    if not same:
        raise InputError(f"run = {folder}: must be of the same system with the same parameters")
    return {"summary": summary, "metrics": rows}


def rows_of(results: list[tuple[int, Baseline]], trained: dict[str, Any] | None) -> list[Row]:
    """One row a method and effort: method, stages, seconds, F, E, ln Z as Estimates or None, and what to know of it."""
    rows: list[Row] = []
    for stages, found in results:
        values = found.values
        energy = found.observables.get("energy", {})
        E = values.E if values is not None else Estimate(**energy) if energy else None
        note = ", ".join([*_difference(found.observables), *(f"{k} {v:.3g}" for k, v in found.details.items())])
        note += "".join(f"; WARNING {text}" for text in found.warnings)
        known = {"F": values and values.F, "E": E, "lnZ": values and values.lnZ}
        rows.append({"method": found.method, "stages": stages, "seconds": found.seconds, **known, "note": note})
    if trained is not None:
        rows += _network_rows(trained["summary"], trained["metrics"])
    return rows


def _difference(observables: dict[str, Any]) -> list[str]:
    """The free-energy difference between two states, where the system has them."""
    return [f"delta F {Estimate(**observables['delta_F'])}"] if "delta_F" in observables else []


def _network_rows(summary: dict[str, Any], metrics: list[dict[str, float]]) -> list[Row]:
    """The bound, and the reweighted values with the training counted and without it."""
    training, evaluation = metrics[-1]["seconds"], summary["evaluation_seconds"]
    importance = summary["importance"]

    def known(source: dict[str, Any], *names: str) -> dict[str, Any]:
        return {name: Estimate(**source[name]) for name in names}

    bound = {"lnZ": None, **known(summary, "F", "E")}
    exact = known(importance, "F", "E", "lnZ")
    note = ", ".join([*_difference(summary["observables"]), f"ESS {importance['ess']:.3f} of 1"])
    share = {"stages": int(metrics[-1]["step"]) + 1, "note": note}
    return [
        {"method": "network, bound", "seconds": training + evaluation, **share, **bound},
        {"method": "network, reweighted", "seconds": training + evaluation, **share, **exact},
        {"method": "network, amortised", "seconds": evaluation, **share, **exact},
    ]


def table(rows: list[Row], reference: Estimate | None) -> str:
    """The rows as text."""
    head = ["method", "stages or steps", "seconds", "F", "E", "ln Z", ""]
    body = [
        [row["method"], str(row["stages"]), f"{row['seconds']:.1f}", *(str(row[k] or "") for k in ("F", "E", "lnZ")),
         row["note"]]
        for row in rows
    ]  # fmt: skip
    if reference is not None:
        body.append(["reference", "", "", str(reference), "", "", ""])
    return columns([head, *body])


def at_equal_time(rows: list[Row]) -> list[str]:
    """The error of ln Z of the best effort of every method, scaled as 1/sqrt(time) to the times of the network."""
    methods = list(dict.fromkeys(row["method"] for row in rows if row["lnZ"] is not None))
    lines = []
    for row in rows:
        if row["method"] not in ("network, reweighted", "network, amortised"):
            continue
        errors = []
        for method in (m for m in methods if not m.startswith("network")):
            mine = [r for r in rows if r["method"] == method]
            best = min(r["lnZ"].error * float(np.sqrt(r["seconds"] / row["seconds"])) for r in mine)
            errors.append(f"{method} {best:.2g}")
        time = f"{row['seconds']:.0f} s ({row['method']})"
        lines.append(f"error of ln Z in {time}: {row['lnZ'].error:.2g}; {', '.join(errors)} in the same time")
    return lines


def figure(rows: list[Row], trained: dict[str, Any] | None, reference: Estimate | None, unit: str) -> Figure:
    """F with its error against the time, and the error of ln Z against the time."""
    drawn = Figure(figsize=(10, 4), layout="constrained")
    left, right = drawn.subplots(1, 2)
    if trained is not None:
        metrics = trained["metrics"]
        at_end = [row for row in metrics if row["beta"] == metrics[-1]["beta"]]
        left.plot([r["seconds"] for r in at_end], [r["F"] for r in at_end], lw=0.7, color="0.6", label="training")
    for k, method in enumerate(dict.fromkeys(row["method"] for row in rows)):
        mine = [row for row in rows if row["method"] == method]
        with_F = [row for row in mine if row["F"] is not None]
        if with_F:
            time, F, error = np.array([(row["seconds"], *row["F"]) for row in with_F]).T
            left.errorbar(time, F, error, fmt="o-", ms=4, lw=0.8, capsize=2, color=f"C{k}", label=method)
        with_lnZ = [row for row in mine if row["lnZ"] is not None]
        if with_lnZ:
            time, error = np.array([(row["seconds"], row["lnZ"].error) for row in with_lnZ]).T
            right.loglog(time, error, "o-", ms=4, lw=0.8, color=f"C{k}", label=method)
    if reference is not None:
        left.axhline(reference.value, color="k", lw=1, label="reference")
        left.axhspan(reference.value - reference.error, reference.value + reference.error, color="k", alpha=0.1)
    values = [row["F"].value for row in rows if row["F"] is not None] + ([reference.value] if reference else [])
    if values:
        margin = max(0.3 * np.ptp(values), 0.02 * abs(values[-1]) / 10)
        left.set_ylim(min(values) - margin, max(values) + 3 * margin)
    left.set(xscale="log", xlabel="seconds", ylabel=f"F ({unit})")
    right.set(xlabel="seconds", ylabel="error of ln Z")
    for axes in (left, right):
        axes.legend(fontsize=7)
    return drawn
