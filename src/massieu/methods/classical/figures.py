"""Configurations drawn from a classical density, as matplotlib figures."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from massieu.systems.base import ClassicalSystem, PairwiseSpins
from massieu.systems.inheritance import by_class, holds
from massieu.systems.lattice_field import LatticeField


def samples(system: ClassicalSystem, x: np.ndarray) -> Figure:
    """Configurations drawn from the density: lattices as pictures, other spins as rows, particles as points."""
    kinds: dict[Any, Any] = {PairwiseSpins: _spins, LatticeField: _fields}
    return (by_class(kinds, type(system)) or _particles)(system, x)


def _spins(system: PairwiseSpins, x: np.ndarray) -> Figure:
    sides = getattr(system, "sides", None)
    figure = _lattices(x, sides, 1.0, "gray") if sides and min(sides) > 1 else _rows(x)
    keys = [Patch(facecolor=c, edgecolor="k", label=f"s = {s}") for c, s in (("black", "-1"), ("white", "+1"))]
    figure.legend(handles=keys, fontsize=8, loc="outside lower center", ncols=2)
    return figure


def _fields(system: LatticeField, x: np.ndarray) -> Figure:
    reach = float(np.quantile(np.abs(x), 0.999))
    figure = _lattices(x, system.sides, reach, "RdBu_r") if len(system.sides) > 1 else _rows(x, reach)
    figure.colorbar(figure.axes[0].images[0], ax=figure.axes, label="phi", shrink=0.6)
    return figure


def _lattices(x: np.ndarray, sides: tuple[int, ...], reach: float, colours: str) -> Figure:
    """Eight configurations; of more than two dimensions the first plane."""
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    panels = figure.subplots(2, 4)
    for axes, s in zip(panels.flat, x, strict=False):
        axes.imshow(s.reshape(-1, *sides[-2:])[0], cmap=colours, vmin=-reach, vmax=reach)
        axes.set(xticks=[], yticks=[])
    figure.suptitle("samples of the density" + (", a plane of each" if len(sides) > 2 else ""), fontsize=9)
    return figure


def _rows(x: np.ndarray, reach: float = 1.0) -> Figure:
    """Sixty configurations, a row each."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(x[:60], cmap="gray", vmin=-reach, vmax=reach, aspect="auto", interpolation="nearest")
    axes.set(xlabel="site", ylabel="sample")
    return figure


def _particles(system: ClassicalSystem, x: np.ndarray) -> Figure:
    """All positions as a cloud, and single samples with the classical minimum turned to fit them best."""
    flat = x.reshape(len(x), x.shape[1], -1)
    planar = np.concatenate([flat, np.zeros((*flat.shape[:2], 1))], axis=-1)[..., :2]
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    panels = figure.subplots(1, 4)
    reach = 1.05 * float(np.quantile(np.abs(planar), 0.9995))
    cloud = panels[0].hist2d(*planar.reshape(-1, 2).T, bins=80, range=[[-reach, reach]] * 2, cmap="viridis")
    figure.colorbar(cloud[3], ax=panels[0], label="particles a cell", location="bottom", shrink=0.8)
    panels[0].set_title(f"positions of {len(x)} samples", fontsize=8)
    minimum = getattr(system, "minimum", None)
    if minimum is not None and not holds(type(system), "minimum"):
        minimum = None
    for axes, one in zip(panels[1:], planar, strict=False):
        if minimum is not None and minimum.shape[1] == 2:
            axes.scatter(*_turned(minimum, one).T, s=60, facecolors="none", edgecolors="C3", label="classical minimum")
        axes.scatter(*one.T, s=14, color="k", label="sample")
    handles, labels = panels[1].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, loc="outside lower right", ncols=2)  # outside: it hides no particle
    for axes in panels:
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel="x")
        axes.tick_params(labelsize=7)
    panels[0].set_ylabel("y")
    return figure


def _turned(minimum: np.ndarray, one: np.ndarray) -> np.ndarray:
    """The minimum rotated about the centre to lie nearest to a sample."""
    angles = np.linspace(0, 2 * np.pi, 360, endpoint=False)
    c, s = np.cos(angles), np.sin(angles)
    turns = np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)  # (360, 2, 2)
    images = minimum @ turns.swapaxes(1, 2)
    gaps = np.linalg.norm(images[:, :, None] - one[None, None], axis=-1).min(axis=2)
    return images[np.argmin((gaps**2).sum(axis=1))]
