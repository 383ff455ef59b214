"""The figure that every density matrix of particles has."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

Row = dict[str, float]


def health(rows: list[Row]) -> Figure:
    """Acceptance of the chains, and the smallest pivot of the flow's Jacobian (> 0: a bijection)."""
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.add_subplot()
    steps = [row["step"] for row in rows]
    for name, label in (("acceptance", "acceptance (1: direct sampling)"), ("least_pivot", "least pivot")):
        values = np.array([row[name] for row in rows])
        if np.all(np.isfinite(values)):
            axes.plot(steps, values, lw=0.8, label=label)
    axes.set(xlabel="step", ylim=(0, 1.1))
    axes.legend(fontsize=8)
    return figure
