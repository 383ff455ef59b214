"""Several runs side by side: one table, one figure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from massieu.errors import require
from massieu.principle import Estimate
from massieu.runs.directory import read_content
from massieu.text import columns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOTALS = ("F", "E", "S", "C")


def table(folders: list[Path], summaries: list[dict[str, Any]]) -> str:
    """A row for each run: what differs between their parameters and options, F, E, S, C, Var(F_loc), ESS, reference."""
    shown = [
        {"system": s["system"]} | s["parameters"] | read_content(f).get("config", {})
        for f, s in zip(folders, summaries, strict=True)
    ]
    names = list(dict.fromkeys(name for row in shown for name in row))
    differ = [name for name in names if len({str(row.get(name)) for row in shown}) > 1]
    head = ["run", *differ, *TOTALS, "Var(F_loc)", "ESS", "reference F"]
    rows = [head]
    for folder, row, s in zip(folders, shown, summaries, strict=True):
        ess = f"{s['importance']['ess']:.3f}" if s.get("importance") else ""
        known = (s.get("reference") or {}).get("F")
        reference = _shown(known) if known else ""
        totals = [_shown(s[name]) for name in TOTALS]
        variance = "" if s["F_var"] is None else f"{s['F_var']:.3g}"
        own = ["" if row.get(name) is None else str(row[name]) for name in differ]
        rows.append([str(folder), *own, *totals, variance, ess, reference])
    return columns(rows)


def _shown(entry: dict[str, Any]) -> str:
    return "" if entry["value"] is None else str(Estimate(entry["value"], entry["error"] or 0.0))


def figure(folders: list[Path], summaries: list[dict[str, Any]]) -> Figure:
    """F against the step, above its final value or the reference, and Var(F_loc)."""
    import numpy as np
    from matplotlib.figure import Figure

    from massieu.methods.figures import rows_at_final_beta
    from massieu.runs.directory import read_metrics

    units = {s["units"]["energy"] for s in summaries}
    require(len(units) == 1, "runs", ", ".join(sorted(units)), "of one unit of energy")
    drawn = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = drawn.subplots(1, 2)
    for folder, s in zip(folders, summaries, strict=True):
        rows = read_metrics(folder)
        rows = [row for row, kept in zip(rows, rows_at_final_beta(rows), strict=True) if kept]
        known = (s.get("reference") or {}).get("F")
        alike = [t["F"]["value"] for t in summaries if (t["system"], t["parameters"]) == (s["system"], s["parameters"])]
        zero = min(alike) if known is None else known["value"]
        steps = np.array([row["step"] for row in rows])
        name = folder.name + ("" if known is None else ", above the reference")
        (line,) = left.plot(steps, np.array([row["F"] for row in rows]) - zero, lw=0.8, label=name)
        left.axhline(s["F"]["value"] - zero, color=line.get_color(), ls="--", lw=1)
        right.semilogy(steps, [row["F_var"] for row in rows], lw=0.8, label=folder.name)
    left.set(xlabel="step", ylabel=f"F - lowest final F or reference ({units.pop()})")
    left.set_yscale("symlog", linthresh=_typical(summaries))
    right.set(xlabel="step", ylabel=r"Var($F_{\rm loc}$)")
    left.legend(fontsize=8)
    return drawn


def _typical(summaries: list[dict[str, Any]]) -> float:
    """Where the scale of F turns from linear to logarithmic: the smallest error."""
    return max(1e-12, *(3 * (s["F"]["error"] or 0.0) for s in summaries))
