"""Figures of quantum spins: the levels of the ensemble beside the exact ones, and correlation functions."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from massieu.systems.qubits import QubitSystem


def all_figures(system: QubitSystem, summary: dict[str, Any]) -> dict[str, Figure]:
    """By name."""
    return {"levels": levels(summary), "correlations": correlations(system, summary)}


def levels(summary: dict[str, Any]) -> Figure:
    """The lowest <x|U^+ H U|x>, exact levels as lines where they are known."""
    found = summary["observables"]
    figure = Figure(figsize=(7, 3.4), layout="constrained")
    axes = figure.add_subplot()
    mine = found["levels"]["value"]
    if "exact_levels" in found:
        exact = found["exact_levels"]["value"][: len(mine)]
        axes.hlines(exact, np.arange(len(exact)) - 0.4, np.arange(len(exact)) + 0.4, color="k", lw=1, label="exact")
    axes.plot(mine, "o", ms=4, color="C0", label="ensemble")
    axes.set(xlabel="level", ylabel="E")
    axes.legend(fontsize=8)
    return figure


def correlations(system: QubitSystem, summary: dict[str, Any]) -> Figure:
    """<Z_0 Z_i>, <X_0 X_i> and the mean <X_i>, <Z_i> of every qubit."""
    found = summary["observables"]
    figure = Figure(figsize=(8.5, 3.2), layout="constrained")
    for axes, names in zip(figure.subplots(1, 2), (("zz", "xx"), ("z", "x")), strict=True):
        for k, name in enumerate(names):
            value, error = (np.array(found[name][key]) for key in ("value", "error"))
            axes.errorbar(np.arange(system.size), value, error, fmt="o", ms=4, capsize=2, color=f"C{k}", label=name)
            if f"exact_{name}" in found:
                axes.plot(found[f"exact_{name}"]["value"], "_", ms=14, color=f"C{k}")
        axes.set(xlabel="qubit i", ylabel="with qubit 0" if len(names[0]) == 2 else "mean")
        axes.legend(fontsize=8, title="bars: exact" if f"exact_{names[0]}" in found else None)
    return figure
