"""The density derivative of the entropy of the polarised electron gas in two dimensions, at one temperature.

    dS/dn at constant T, S = n S(N)/N of a unit area;    -dS/dn = d mu/dT at constant n

python benchmarks/entropy_derivative.py N T RS,RS,...: runs of N electrons at T (Ry), twist 1/4, one for each rs; rows
are appended to docs/data/entropy_derivative.csv, those in it are not run again, and docs/images/entropy_derivative.svg
is drawn anew: the entropy and its derivative, the ideal gas in the same boxes beside.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import tables

import massieu as ms
from massieu.observables.effective_mass import density, entropy_derivative
from massieu.principle import Estimate
from massieu.units import fermi_temperature

DOCS = Path(__file__).parents[1] / "docs"
COLUMNS = ("n", "temperature", "rs", "theta", "F", "F_error", "S", "S_error", "S_ideal")


def measured(n, temperature, rs):
    """A row: the gas at rs and T."""
    gas = ms.ElectronGas(n=n, rs=rs, theta=temperature / fermi_temperature(rs, 2), twist="0.25")
    run = ms.minimize(gas, reference=False)
    values = (n, temperature, rs, gas.theta, *run.F, *run.S, gas.ideal().S.value)
    return {name: f"{value:.7g}" for name, value in zip(COLUMNS, values, strict=True)}


def drawn(rows, path):
    """S per electron and dS/dn against the density."""
    rows = sorted(rows, key=lambda row: -float(row["rs"]))
    rs, n = [float(row["rs"]) for row in rows], int(rows[0]["n"])
    own = [Estimate(float(row["S"]) / n, float(row["S_error"]) / n) for row in rows]
    ideal = [Estimate(float(row["S_ideal"]) / n, 0.0) for row in rows]
    figure, (above, below) = plt.subplots(2, 1, figsize=(5.5, 5.5), layout="constrained", sharex=True)
    for entropies, style, label in ((own, "o-", f"interacting, N = {n}"), (ideal, "s--", "ideal gas, same boxes")):
        points = [density(r, 2) for r in rs]
        above.errorbar(points, [s.value for s in entropies], [s.error for s in entropies], fmt=style, label=label)
        slopes = entropy_derivative(rs, entropies, 2)
        shown = [(d.density, d.slope.value, d.slope.error) for d in slopes]
        below.errorbar(*map(list, zip(*shown, strict=True)), fmt=style, label=label)
        print(label, *(f"rs {r:g}: dS/dn {d.slope}" for r, d in zip(rs, slopes, strict=True)), sep="\n  ")
    below.axhline(0, color="0.6", linewidth=0.8)
    above.set(ylabel="S/N ($k_B$)", title=f"2D polarised, T = {float(rows[0]['temperature']):g} Ry")
    below.set(xlabel="n ($a_0^{-2}$)", ylabel=r"$\partial S/\partial n$ ($k_B$)")
    above.legend()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path)


if __name__ == "__main__":
    n, temperature, radii = int(sys.argv[1]), float(sys.argv[2]), [float(r) for r in sys.argv[3].split(",")]
    table = DOCS / "data" / "entropy_derivative.csv"
    rows = tables.read(table)
    mine = {float(row["rs"]): row for row in rows if (int(row["n"]), float(row["temperature"])) == (n, temperature)}
    for rs in radii:
        if rs in mine:
            continue
        mine[rs] = measured(n, temperature, rs)
        print("  ".join(f"{name} {value}" for name, value in mine[rs].items()), flush=True)
        rows.append(mine[rs])
        tables.write(table, COLUMNS, rows)
    drawn(list(mine.values()), DOCS / "images" / "entropy_derivative.svg")
