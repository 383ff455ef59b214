"""Tables for the terminal."""

from __future__ import annotations

from typing import Any

from massieu.principle import Estimate
from massieu.systems.base import AbstractSystem
from massieu.text import columns

MAIN = ("F", "E", "S", "C", "lnZ", "ess", "F_reference", "effective_mass_ratio", "P", "F_var", "seconds")  # of a sweep


def sweep_table(rows: list[dict[str, Any]]) -> str:
    """The rows of sweep.csv as text for the terminal, errors in brackets."""
    return columns(cells(rows)) if rows else "no point is finished"


def cells(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Heading and rows: what was swept and the main results; the other observables are in sweep.csv."""
    names = list(dict.fromkeys(name for row in rows for name in row if not name.endswith("_error")))
    swept = names[: names.index("F")] if "F" in names else []
    shown = [*swept, *(name for name in names if name in MAIN)]
    heads = {"effective_mass_ratio": "m*/m", "F_reference": "F reference"}
    return [[heads.get(n, n) for n in shown], *([_cell(row, name) for name in shown] for row in rows)]


def _cell(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None:
        return ""
    if f"{name}_error" in row:
        return str(Estimate(value, row[f"{name}_error"]))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def reference_table(system: AbstractSystem, known: dict[str, Any]) -> str:
    """`massieu reference` as text: exact values, then simpler theories."""
    rows = [["", "total", "per site", "method"]]
    for name in ("F", "E", "S", "C", "lnZ"):
        if name in known:
            rows.append([name, *_per_site(known[name], system.size), known[name]["method"]])
    if "ideal" in known:
        for name, entry in known["ideal"].items():
            rows.append([f"{name} ideal", *_per_site(entry, system.size), entry["method"]])
    for name, entry in known.get("approximations", {}).items():
        note = "; ".join(filter(None, [entry["kind"], entry["note"]]))
        values = _per_site(entry["F"], system.size) if entry["F"] else ["did not converge", ""]
        rows.append([f"F {name}", *values, note])
    return columns(rows)


def _per_site(entry: dict[str, Any], n: int | None) -> list[str]:
    value = Estimate(entry["value"], entry["error"])
    return [str(value), str(Estimate(value.value / n, value.error / n)) if n else ""]


def consistency_table(rows: list[dict[str, Any]]) -> str:
    """The rows of consistency.csv as text for the terminal."""
    table = [["consistency", "at", "between", "measured", "from F", "sigma"]]
    for row in rows:
        both = (str(Estimate(row[k], row[f"{k}_error"])) for k in ("measured", "difference"))
        between = f"{row['from']:.5g} and {row['to']:.5g}"
        table.append([row["derivative"], row["fixed"], between, *both, f"{row['sigma']:.1f}"])
    return columns(table)
