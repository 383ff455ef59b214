"""The effective mass of the polarised electron gas in two dimensions from runs: a table and a figure for the docs.

    m*/m = S/S_0,    S_0 the entropy of the ideal gas in the same box, at the same twist

python benchmarks/effective_mass.py DIR ...: directories of runs or of sweeps of `electron-gas`.  Their rows go to
docs/data/effective_mass.csv, in the place of older ones at the same point; the figure in docs/images is drawn anew.
"""

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import tables

DOCS = Path(__file__).parents[1] / "docs"
PLACE = ("n", "rs", "theta", "twist")
VALUES = ("F", "E", "S")
OBSERVED = ("effective_mass_ratio", "effective_mass_from_levels", "entropy_step", "entropy_loss")
COLUMNS = (*PLACE, *(c for name in (*VALUES, *OBSERVED) for c in (name, f"{name}_error")), "F_var", "seconds")
TRIED = (0.15, "0.25")  # theta and twist of the values beside
# diffusion Monte Carlo of the infinite system at T = 0: Drummond and Needs, Phys. Rev. B 80, 245104 (2009) and 88,
# 035133 (2013); neural canonical transformation, N = 29: Xie, Zhang and Wang, SciPost Phys. 14, 154 (2023)
BESIDE = {
    "diffusion MC 2009": [(1, 0.863, 0.004), (5, 0.71, 0.01), (10, 0.61, 0.01)],
    "diffusion MC 2013": [(1, 0.841, 0.003), (5, 0.73, 0.02), (10, 0.67, 0.04)],
    "neural 2023, N = 29": [(1, 0.80, 0.0), (5, 0.54, 0.0), (10, 0.38, 0.0)],
}


def row_of(path):
    """The place of a run and its row, from its summary."""
    summary = json.loads(path.read_text())
    place = {name: str(summary["parameters"][name]) for name in PLACE}
    estimates = {name: summary[name] for name in VALUES}
    estimates |= {name: summary["observables"].get(name) for name in OBSERVED}
    row = dict(place)
    for name, estimate in estimates.items():
        value, error = estimate.values() if estimate else ("", "")
        row |= {name: _shown(value), f"{name}_error": _shown(error)}
    return tuple(place.values()), row | {name: _shown(summary[name]) for name in ("F_var", "seconds")}


def _shown(value):
    return value if value == "" else f"{value:.7g}"


def drawn(rows, path):
    """m*/m against rs at theta = 0.15 beside values of the literature, and against theta."""
    figure, (by_rs, by_theta) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained", sharey=True)
    for (name, points), marker in zip(BESIDE.items(), "sDx", strict=True):
        rs, mass, error = zip(*points, strict=True)
        by_rs.errorbar(rs, mass, error, fmt=marker, color="0.5", label=name, markersize=5, capsize=2)
    sizes = sorted({int(row["n"]) for row in rows})
    for number, n in enumerate(sizes):
        color = f"C{number}"
        mine = [row for row in rows if int(row["n"]) == n]
        here = [row for row in mine if (float(row["theta"]), row["twist"]) == TRIED]
        _line(by_rs, here, "rs", color, "o-", f"massieu, N = {n}")
        for rs, style in zip(sorted({float(row["rs"]) for row in mine}), ("o-", "^--", "v:", "P-."), strict=False):
            at = [row for row in mine if float(row["rs"]) == rs and row["twist"] == TRIED[1]]
            _line(by_theta, at, "theta", color, style, f"N = {n}, $r_s$ = {rs:g}")
    by_rs.set(xlabel="$r_s$", ylabel="$m^*/m$", title=r"$\Theta$ = 0.15, twist 1/4")
    by_theta.set(xlabel=r"$\Theta = T/T_F$", title="twist 1/4")
    for axes in (by_rs, by_theta):
        axes.legend(fontsize=7)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path)


def _line(axes, rows, name, color, style, label):
    rows = sorted(rows, key=lambda row: float(row[name]))
    mass, error = ([float(row[f"effective_mass_ratio{end}"]) for row in rows] for end in ("", "_error"))
    axes.errorbar([float(row[name]) for row in rows], mass, error, fmt=style, color=color, label=label, capsize=2)


if __name__ == "__main__":
    table = DOCS / "data" / "effective_mass.csv"
    found = {tuple(row[name] for name in PLACE): row for row in tables.read(table)}
    for folder in map(Path, sys.argv[1:]):
        found.update(map(row_of, sorted(folder.glob("**/summary.json"))))
    rows = sorted(found.values(), key=lambda row: [float(row[name]) for name in PLACE])
    tables.write(table, COLUMNS, rows)
    drawn(rows, DOCS / "images" / "effective_mass.svg")
    for row in rows:
        print("  ".join(f"{name} {row[name]}" for name in COLUMNS if row[name]))
