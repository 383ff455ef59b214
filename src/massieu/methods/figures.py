"""The figures that every kind of matter has: F, its parts and its variance against the step, families and sweeps."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

Row = dict[str, float]


def free_energy(rows: list[Row], summary: dict[str, Any], known: dict[str, Any]) -> Figure:
    """F against the step, with the final value, the reference and what simpler theories give."""
    figure = Figure(figsize=(7, 4.3), layout="constrained")
    axes = figure.add_subplot()
    steps, F, error = (np.array([row[k] for row in rows]) for k in ("step", "F", "F_error"))
    axes.plot(steps, F, lw=0.8, label="F during training")
    axes.fill_between(steps, F - error, F + error, alpha=0.3, lw=0)
    axes.axhline(summary["F"]["value"], color="C0", ls="--", lw=1, label="F, final evaluation")
    lines = [summary["F"]["value"]]
    if "F" in known:
        axes.axhline(known["F"]["value"], color="k", lw=1.2, label=f"reference ({known['F']['method'].split(' (')[0]})")
        lines.append(known["F"]["value"])
    for color, (name, entry) in zip(("C1", "C3", "C4"), known.get("approximations", {}).items(), strict=False):
        if entry["F"] is not None:
            axes.axhline(entry["F"]["value"], color=color, ls=":", lw=1.2, label=f"{name} ({entry['kind']})")
            lines.append(entry["F"]["value"])
    final = rows_at_final_beta(rows)
    if not final.all():
        axes.axvspan(steps[0], steps[~final][-1], color="0.93", label="annealing: F at another beta")
    _zoom(axes, F[final], lines)
    axes.set(xlabel="step", ylabel=f"F ({summary['units']['energy']})")
    figure.legend(fontsize=8, loc="outside lower center", ncols=3)  # beneath: it hides no line
    return figure


def rows_at_final_beta(rows: list[Row]) -> np.ndarray:
    """Mask of the steps at the final temperature (F of an annealing step belongs to another temperature)."""
    beta = np.array([row["beta"] for row in rows])
    return beta == beta[-1]


def _zoom(axes: Any, F: np.ndarray, lines: list[float]) -> None:
    """Show the lines and the later half of the steps at the final temperature, not the first transient."""
    late = F[len(F) // 4 :]
    low, high = min([*lines, *late]), max([*lines, *late])
    margin = 0.1 * max(high - low, 1e-9)
    axes.set_ylim(low - margin, high + 3 * margin)


def spread(rows: list[Row], summary: dict[str, Any]) -> Figure:
    """Var(F_loc), zero for the exact density, and the variance of the gradient, against the step."""
    figure = Figure(figsize=(7, 3.4), layout="constrained")
    axes = figure.add_subplot()
    steps = [row["step"] for row in rows]
    curves = {
        r"$\beta^2$ Var$(F_{loc})$": [
            row["F_var"] * (row["beta"] ** 2 if np.isfinite(row["beta"]) else 1.0) for row in rows
        ],
    }
    if "grad_var" in rows[0]:
        curves["variance of the gradient (all parameters)"] = [row["grad_var"] for row in rows]
    for label, values in curves.items():
        axes.semilogy(steps, np.maximum(values, 1e-30), lw=0.8, label=label)  # zero for an exact density
    axes.set(xlabel="step", ylabel="variance (0: exact)")
    figure.legend(fontsize=8, loc="outside lower center", ncols=2)
    return figure


def energies(rows: list[Row], summary: dict[str, Any], known: dict[str, Any]) -> Figure:
    """F, E and S against the step, with the final evaluation, the reference, and the ideal gas where it is in sight."""
    ideal, figure = known.get("ideal", {}), Figure(figsize=(12, 3.4), layout="constrained")
    energy = summary["units"]["energy"]
    for axes, name, unit in zip(figure.subplots(1, 3), "FES", (energy, energy, "$k_B$"), strict=True):
        values = [row[name] for row in rows]
        axes.plot([row["step"] for row in rows], values, lw=0.6, color="C0", label="training")
        axes.axhline(summary[name]["value"], color="C2", lw=1.2, label="final evaluation")
        if summary.get("reference") and name in summary["reference"]:
            axes.axhline(summary["reference"][name]["value"], color="k", lw=1, label="reference")
        if name in ideal:
            limits, level = axes.get_ylim(), ideal[name]["value"]
            seen = limits[0] <= level <= limits[1]
            label = "ideal gas" if seen else f"ideal gas: {level:.4g}, out of sight"
            axes.axhline(level, color="C1", ls=":", label=label)
            axes.set_ylim(limits)
        axes.set(xlabel="step", ylabel=f"{name} ({unit})")
        axes.legend(fontsize=8)
    return figure


def over_range(found: dict[str, Any], unit: str) -> Figure:
    """F, its derivatives both ways, and the effective sample size against the parameter of a family."""
    kinds = [name for name in ("conjugate", "S", "C") if name in found]
    figure = Figure(figsize=(3.4 * (2 + len(kinds)), 3.2), layout="constrained")
    panels = figure.subplots(1, 2 + len(kinds))
    at, name = found["values"], found["parameter"]
    panels[0].errorbar(at, found["F"]["value"], found["F"]["error"], fmt="o-", ms=3, lw=0.8, capsize=2)
    panels[0].set_ylabel(f"F ({unit})")
    slope = "E" if name == "beta" else f"<dH/d{name}>"
    for axes, kind in zip(panels[1:], kinds, strict=False):
        smooth = found[kind]["differentiated"]
        value, error = np.array(smooth["value"]), np.array(smooth["error"])
        axes.plot(at, value, lw=1, label="from ln Z")
        axes.fill_between(at, value - error, value + error, alpha=0.3, lw=0)
        direct = found[kind]["direct"]
        axes.errorbar(at, direct["value"], direct["error"], fmt="ko", ms=3, lw=0.8, capsize=2, label="average")
        axes.set_ylabel(slope if kind == "conjugate" else kind)
        axes.legend(fontsize=7)
    panels[-1].plot(at, found["ess"], "o-", ms=3, lw=0.8)
    panels[-1].set(ylim=(0, 1.02), ylabel="effective sample size")
    for axes in panels:
        axes.set_xlabel(name)
    return figure


def sweep(rows: list[dict[str, Any]], swept: list[str], names: tuple[str, ...], energy_unit: str) -> Figure:
    """The quantities against the first swept parameter, one curve for each value of the others."""
    figure = Figure(figsize=(3.6 * len(names), 3.4), layout="constrained")
    curves: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: row[swept[0]]):
        curves.setdefault(tuple(row[name] for name in swept[1:]), []).append(row)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for values, points in sorted(curves.items()):
            points = [p for p in points if name in p]
            named = zip(swept[1:], values, strict=True)
            label = ", ".join(f"{k} = {v}" if isinstance(v, str) else f"{k} = {v:g}" for k, v in named)
            x, y, error = ([p[k] for p in points] for k in (swept[0], name, f"{name}_error"))
            drawn = axes.errorbar(x, y, error, fmt="o-", ms=4, lw=0.9, capsize=2, label=label or name)
            known = [(p[swept[0]], p["F_reference"]) for p in points if name == "F" and p["F_reference"] is not None]
            if known:
                axes.plot(*zip(*known, strict=True), "--", lw=0.9, color=drawn.lines[0].get_color(), label="reference")
        unit = {"F": f" ({energy_unit})", "E": f" ({energy_unit})", "S": " (k_B)", "P": " (GPa)"}.get(name, "")
        axes.set(xlabel=swept[0], ylabel=("m*/m" if name == "effective_mass_ratio" else name) + unit)
    axes.legend(fontsize=8)
    return figure
