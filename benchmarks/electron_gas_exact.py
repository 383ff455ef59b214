"""Every exact value of the electron gas up to five electrons beside what a run by default finds: a line each.

python benchmarks/electron_gas_exact.py FILE.csv [n ...]: rows are appended; those in the file are not run again.
n = 0 are pairs of opposite spins.  The exact values and their basis errors are those of the tests.
"""

import json
import sys
import time
from pathlib import Path

import tables

import massieu as ms

DATA = json.loads((Path(__file__).parents[1] / "tests" / "data" / "electron_gas.json").read_text())
PLACE = ("n", "dim", "rs", "theta", "twist", "polarised")
COLUMNS = (*PLACE, "F", "F_error", "F_exact", "F_basis", "E", "E_error", "E_exact", "S", "S_error", "S_exact",
           "C", "C_error", "gap_percent", "cpu_seconds")  # fmt: skip


def entries():
    """Rows with n, dim, rs, theta, twist, polarised and the exact F, E, S and basis error of F."""
    for row in DATA["interacting"]:
        yield {**row, "polarised": True}
    for row in DATA["unpolarised_pair"]:
        _, dim, _, _, rs, theta = row["key"].split(".", 5)
        exact = {name: 2 * row[f"{name}_per_N"] for name in ("F", "E", "S")}
        place = {"n": 2, "dim": int(dim[0]), "rs": float(rs[2:]), "theta": float(theta[5:]), "twist": 0.0}
        yield {**place, **exact, "change": 0.0, "polarised": False}


def measured(row):
    """A row of the table."""
    began = time.process_time()
    place = {name: row[name] for name in PLACE}
    run = ms.minimize(ms.ElectronGas(**{**place, "twist": str(place["twist"])}), reference=False)
    C = run.C
    values = {"F": run.F.value, "F_error": run.F.error, "F_exact": row["F"], "F_basis": abs(row["change"]),
              "E": run.E.value, "E_error": run.E.error, "E_exact": row["E"], "S": run.S.value,
              "S_error": run.S.error, "S_exact": row["S"], "C": C.value, "C_error": C.error,
              "gap_percent": 100 * (run.F.value - row["F"]) / abs(row["F"])}  # fmt: skip
    shown = {name: "" if value is None else f"{value:.7g}" for name, value in values.items()}
    return {**place, **shown, "cpu_seconds": round(time.process_time() - began)}


path, sizes = Path(sys.argv[1]), [int(n) for n in sys.argv[2:]]
rows = tables.read(path)
done = {tuple(row[name] for name in PLACE) for row in rows}
for row in entries():
    asked = not sizes or (row["n"] if row["polarised"] else 0) in sizes
    if not asked or tuple(str(row[name]) for name in PLACE) in done:
        continue
    new = measured(row)
    print("  ".join(f"{name} {value}" for name, value in new.items()), flush=True)
    rows.append(new)
    tables.write(path, COLUMNS, rows)
