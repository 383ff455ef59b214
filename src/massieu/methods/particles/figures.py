"""The figures of a density matrix of particles: those that all have, and those of a box or of a trap."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from massieu.methods.figures import energies
from massieu.methods.method import Shown
from massieu.methods.particles import figures_box, figures_trap
from massieu.systems.inheritance import by_class
from massieu.systems.periodic_electrons import PeriodicElectrons
from massieu.systems.quantum import QuantumSystem
from massieu.systems.trapped_electrons import TrappedElectrons

FIGURES: dict[Any, Any] = {PeriodicElectrons: figures_box.all_figures, TrappedElectrons: figures_trap.all_figures}
Row = dict[str, float]


def all_figures(system: QuantumSystem, shown: Shown) -> dict[str, Figure]:
    """By name."""
    found = {"energies": energies(shown.rows, shown.summary, shown.known), "health": health(shown.rows)}
    own = by_class(FIGURES, type(system))
    return found if own is None else found | own(system, shown)


def health(rows: list[Row]) -> Figure:
    """Acceptance of the chains, and the smallest pivot of the flow's Jacobian (> 0: a bijection)."""
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.add_subplot()
    steps = [row["step"] for row in rows]
    for name, label in (("acceptance", "acceptance (1: direct sampling)"), ("least_pivot", "least pivot")):
        values = np.array([row.get(name, np.nan) for row in rows])
        if np.all(np.isfinite(values)):
            axes.plot(steps, values, lw=0.8, label=label)
    axes.set(xlabel="step", ylim=(0, 1.1))
    axes.legend(fontsize=8)
    return figure
