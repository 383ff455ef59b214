"""Figures of particles in a trap: densities, and the others as one electron sees them (the Wigner molecule)."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from massieu.methods.method import Shown
from massieu.systems.trapped_electrons import BINS, TrappedElectrons

PIXELS = 40


def all_figures(system: TrappedElectrons, shown: Shown) -> dict[str, Figure]:
    """By name."""
    found = {"densities": densities(system, shown.observables)}
    if system.n < 2 or system.dim < 2 or "x" not in shown.samples:
        return found
    return found | {"pair_density": pair_density(system, shown.samples["x"])}


def densities(system: TrappedElectrons, observables: dict[str, Any]) -> Figure:
    """Density by distance from the centre, and of pairs by their separation, per unit of volume."""
    figure = Figure(figsize=(8.5, 3.2), layout="constrained")
    panels = figure.subplots(1, 2)
    kinds = (("radial_counts", "r", "particles", 1.0), ("pair_counts", "r_{ij}", "pairs", 2.0))
    for axes, (name, symbol, what, factor) in zip(panels, kinds, strict=True):
        if name not in observables:
            axes.set_axis_off()
            continue
        edges = factor * np.linspace(0, system.reach(), BINS + 1)
        volume = np.diff({1: 2 * edges, 2: np.pi * edges**2, 3: 4 / 3 * np.pi * edges**3}[system.dim])
        counts, error = (np.array(observables[name][key]) for key in ("value", "error"))
        middle = 0.5 * (edges[1:] + edges[:-1])
        axes.errorbar(middle, counts / volume, error / volume, fmt=".-", ms=3, lw=0.8)
        axes.set(xlabel=f"${symbol}$", ylabel=f"{what} per unit volume", xlim=(0, edges[-1]), ylim=(0, None))
    return figure


def pair_density(system: TrappedElectrons, x: np.ndarray) -> Figure:
    """Positions x (S, N, dim) in the plane, and after a turn that brings the outermost electron onto the x axis."""
    plane = x[..., :2]
    reach = float(np.quantile(np.sqrt(np.sum(plane**2, axis=-1)), 0.999))
    figure = Figure(figsize=(8.5, 4.0), layout="constrained")
    panels = figure.subplots(1, 2)
    turned, marker = in_frame_of_one(plane)
    for axes, points, title in zip(panels, (plane.reshape(-1, 2), turned), ("density", "seen by one"), strict=True):
        edges = np.linspace(-reach, reach, PIXELS + 1)
        counts, *_ = np.histogram2d(points[:, 0], points[:, 1], bins=[edges, edges])
        axes.imshow(counts.T, origin="lower", extent=(-reach, reach, -reach, reach), cmap="viridis")
        axes.set(aspect="equal", xlabel="x", ylabel="y", title=title)
    panels[1].plot([marker], [0.0], "w+", ms=12, mew=2)
    return figure


def in_frame_of_one(plane: np.ndarray) -> tuple[np.ndarray, float]:
    """The other electrons (S (N - 1), 2) with the outermost one turned onto the x axis, and its mean distance."""
    r = np.sqrt(np.sum(plane**2, axis=-1))
    outer = np.argmax(r, axis=1)
    rows = np.arange(len(plane))
    angle = np.arctan2(plane[rows, outer, 1], plane[rows, outer, 0])
    c, s = np.cos(angle), np.sin(angle)
    turned = np.einsum("sab,sib->sia", np.stack([np.stack([c, s], -1), np.stack([-s, c], -1)], -2), plane)
    others = np.ones(plane.shape[:2], bool)
    others[rows, outer] = False
    return turned[others], float(r[rows, outer].mean())
