"""What comes out of a sweep: sweep.csv, a row for each finished point, sweep.png, and consistency.csv (hydrogen)."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from massieu.runs import checkpoint

QUANTITIES = ("F", "E", "S", "C")
OBSERVED = {"effective_mass_ratio": "effective_mass_ratio", "P": "pressure"}  # column: observable
Row = dict[str, Any]


def row(values: dict[str, Any], summary: dict[str, Any]) -> Row:
    """One row of sweep.csv from the swept values of a point and its summary: None where a value is not known."""
    found: Row = dict(values)
    for name in QUANTITIES:
        found |= {name: summary[name]["value"], f"{name}_error": summary[name]["error"]}
    known = (summary.get("reference") or {}).get("F")
    found |= {"F_reference": known and known["value"], "F_reference_error": known and known["error"]}
    importance = summary.get("importance")
    if importance:
        found |= {"lnZ": importance["lnZ"]["value"], "lnZ_error": importance["lnZ"]["error"], "ess": importance["ess"]}
    for column, name in OBSERVED.items():
        if name in summary["observables"]:
            entry = summary["observables"][name]
            found |= {column: entry["value"], f"{column}_error": entry["error"]}
    found |= {"F_var": summary["F_var"], "seconds": summary["seconds"]}
    for name, entry in summary["observables"].items():  # numbers; Metropolis averages where there are any
        if name not in OBSERVED.values() and name not in found and isinstance(entry, dict) and _is_number(entry):
            found |= {name: entry["value"], f"{name}_error": entry["error"]}
    return found


def _is_number(found: dict[str, Any]) -> bool:
    return "error" in found and isinstance(found.get("value"), int | float)


def write(out: Path, swept: list[str], unit: str, rows: list[Row], checks: list[Row]) -> None:
    """sweep.csv, sweep.png and consistency.csv, each atomically; nothing where no point is finished."""
    if not rows:
        return
    checkpoint.write_atomically(out / "sweep.csv", as_csv(rows).encode())
    if checks:
        checkpoint.write_atomically(out / "consistency.csv", as_csv(checks).encode())
    names = ("F", "E", "S", *(name for name in OBSERVED if any(name in row for row in rows)))
    from massieu.methods import figures

    picture = io.BytesIO()
    figures.sweep(rows, swept, names, unit).savefig(picture, format="png", dpi=130)
    checkpoint.write_atomically(out / "sweep.png", picture.getvalue())


def as_csv(rows: list[Row]) -> str:
    """Rows that need not have the same columns; None is empty."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, fieldnames=columns, restval="")
    writer.writeheader()
    writer.writerows({k: "" if v is None else v for k, v in row.items()} for row in rows)
    return table.getvalue()
