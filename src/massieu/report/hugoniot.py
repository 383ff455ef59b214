"""`massieu hugoniot`: the shock Hugoniot of a table or of a finished sweep of hydrogen, beside published points."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from massieu.errors import require
from massieu.observables.hugoniot import Isotherm, ShockPoint, isotherms

# compression rho/rho0 and pressure (GPa) of deuterium
PUBLISHED: dict[str, list[tuple[float, float]]] = {
    "Knudson and Desjarlais 2017 (Z machine)": [
        (4.299, 34.7), (4.393, 40.5), (4.533, 49.9), (4.504, 61.5), (4.273, 142.3)],
    "Fernandez-Panella et al. 2019 (laser)": [(4.475, 87.4), (4.359, 101.5), (4.335, 135.3)],
    "Tenti et al. 2024, LRDMC": [
        (3.216, 17.2), (3.988, 28.9), (4.490, 38.5), (4.677, 48.0), (4.612, 65.8), (4.536, 84.5), (4.385, 140.2)],
    "Militzer and Ceperley 2000, RPIMC": [
        (0.690 / 0.171, 51), (0.721 / 0.171, 68), (0.733 / 0.171, 128), (0.733 / 0.171, 254), (0.730 / 0.171, 576)],
}  # fmt: skip
STYLES = {"Knudson": "s", "Fernandez": "D", "Tenti": "x--", "Militzer": "^:"}


def isotherms_of_sweep(folder: Path) -> list[Isotherm]:
    """E and P per atom of the finished runs of a sweep of hydrogen; InputError if there are none."""
    from massieu.methods.atoms.equation_of_state import alike
    from massieu.runs.directory import read_config, read_finished

    runs: list[tuple[Any, dict[str, Any]]] = []
    for path in sorted(folder.iterdir()):
        summary = read_finished(path) if (path / "config.yaml").exists() else None
        if summary is not None and summary["system"] == "hydrogen":
            runs.append((read_config(path)[0], summary))
    require(bool(runs), "table", folder, "a .csv file, or the directory of a sweep of hydrogen with finished runs")
    groups = alike(runs, ("rs", "box", "temperature"))
    require(
        len(groups) == 1, "table", folder, f"of runs alike but for rs and temperature; {' and '.join(groups)} differ"
    )
    rows = []
    for system, summary in runs:
        e, p, to_hartree = summary["E"], summary["observables"]["pressure"], 0.5 / system.n
        energy = to_hartree * e["value"], to_hartree * e["error"]
        rows.append((system.temperature, system.density_parameter, *energy, p["value"], p["error"]))
    return isotherms(np.array(rows), folder)


def table(points: list[ShockPoint]) -> str:
    """The points as text."""
    lines = ["T (K)      rs (a0)      rho/rho0     P (GPa)"]
    lines += [f"{p.temperature:<10g} {p.rs!s:12s} {p.compression!s:12s} {p.pressure}" for p in points]
    return "\n".join(lines)


def write_csv(points: list[ShockPoint], path: Path) -> None:
    """The points with their errors."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["T_K", "rs", "rs_error", "compression", "compression_error", "P_GPa", "P_error"])
        writer.writerows([p.temperature, *p.rs, *p.compression, *p.pressure] for p in points)


def figure(points: list[ShockPoint]) -> Figure:
    """Pressure against compression, beside published points."""
    found = Figure(figsize=(6, 5), layout="constrained")
    axes = found.subplots()
    for name, data in PUBLISHED.items():
        style = STYLES[name.split()[0].rstrip(",")[: len("Fernandez")]]
        axes.plot(*zip(*data), style, ms=5, lw=0.8, label=name)
    x, y = (np.array([getattr(p, name) for p in points]) for name in ("compression", "pressure"))
    axes.errorbar(x[:, 0], y[:, 0], y[:, 1], x[:, 1], "o-", color="k", ms=4, lw=1.2, label="massieu")
    for p in points:
        axes.annotate(f"{p.temperature:g} K", (p.compression.value, p.pressure.value), fontsize=7,
                      xytext=(5, -3), textcoords="offset points")  # fmt: skip
    axes.set(xlabel=r"$\rho/\rho_0$", ylabel="P (GPa)", yscale="log")
    top = max(200.0, 1.5 * float(np.max(y[:, 0])))
    axes.set_ylim(0.7 * min(15.0, float(np.min(y[:, 0]))), top if math.isfinite(top) else None)
    axes.legend(fontsize=7)
    return found
