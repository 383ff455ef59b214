"""Figures of a hydrogen run: pair correlations, pressure and energies during training, a snapshot."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from massieu.systems.hydrogen import BINS, Hydrogen

Row = dict[str, float]
NAMES = {"g_pp": "proton - proton", "g_pe": "proton - electron", "g_ee": "electron - electron"}


def all_figures(system: Hydrogen, observables: dict[str, Any], rows: list[Row]) -> dict[str, Figure]:
    """Figures by name."""
    found = {"pair_correlations": pair_correlations(system, observables)}
    return found | ({"pressure": pressure(observables, rows)} if "pressure" in observables else {})


def pair_correlations(system: Hydrogen, observables: dict[str, Any]) -> Figure:
    """g(r) of all pairs up to half the box."""
    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = figure.subplots()
    r = (np.arange(BINS) + 0.5) / BINS * 0.5 * system.length
    for name, label in NAMES.items():
        if name in observables and not (system.clamped and name == "g_pp"):
            g = observables[name]
            axes.errorbar(r, g["value"], g["error"], fmt=".-", lw=0.8, ms=3, label=label)
    axes.axhline(1, color="0.7", lw=0.8)
    axes.set(xlabel="r (a0)", ylabel="g(r)", ylim=(0, min(6.0, axes.get_ylim()[1])))
    axes.legend(fontsize=8)
    return figure


def pressure(observables: dict[str, Any], rows: list[Row]) -> Figure:
    """Virial pressure and acceptance against the step."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    steps = [row["step"] for row in rows]
    left.plot(steps, [row["P"] for row in rows], lw=0.6)
    p = observables["pressure"]
    left.axhline(p["value"], color="C2", lw=1.2, label="final evaluation")
    spread = np.array([row["P"] for row in rows[len(rows) // 5 :]])
    left.set(xlabel="step", ylabel="P (GPa)", ylim=np.percentile(spread, (1, 99)) + np.array([-20, 20]))
    left.legend(fontsize=8)
    right.plot(steps, [row["acceptance"] for row in rows], lw=0.6, label="acceptance of electrons")
    right.set(xlabel="step", ylim=(0, 1))
    right.legend(fontsize=8)
    return figure
