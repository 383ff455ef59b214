"""Pictures of a fit: likelihoods, samples beside data, and the way from noise to data and back."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flowjax.distributions import Transformed
from matplotlib.figure import Figure

from massieu.densities import ContinuousFlow, Diffusion
from massieu.learning.fit import Fit
from massieu.precision import double_precision

TIMES = (0.0, 0.25, 0.5, 0.75, 1.0)
SHOWN = 1500  # points
LINES = 12  # single trajectories


def likelihood(found: Fit) -> Figure:
    """Loss and -ln p of the validation set against the step."""
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.add_subplot()
    steps = [row["step"] for row in found.metrics]
    axes.plot(steps, [row["loss"] for row in found.metrics], "o-", ms=3, lw=0.8, label="training loss")
    axes.plot(steps, [row["validation"] for row in found.metrics], "o-", ms=3, lw=0.8, label="validation, -ln p")
    axes.axhline(found.simple.value, color="k", lw=0.8, ls=":", label=found.simple_name)
    axes.set(xlabel="step")
    axes.legend(fontsize=8)
    return figure


def samples(found: Fit) -> Figure:
    """Data and samples side by side: the first two columns, a histogram of a single one, or rows of spins."""
    figure = Figure(figsize=(8, 3.8), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, (title, x) in zip(panels, (("data", found.data), ("samples", found.samples)), strict=True):
        if np.all(np.abs(found.data) == 1):
            axes.imshow(x[:60], cmap="gray", vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
        elif x.shape[1] == 1:
            axes.hist(x[:, 0], bins=60, range=(found.data.min(), found.data.max()), density=True)
        else:
            axes.plot(*x[:SHOWN, :2].T, ".", ms=2, alpha=0.6)
            _same_box(axes, found.data)
        axes.set_title(title, fontsize=9)
    return figure


def trajectories(found: Fit) -> Figure | None:
    """Forward, data to noise, and reverse, noise to samples, for continuous flows of two and more columns."""
    density: Any = found.density
    flow = density.base_dist if isinstance(density, Transformed) else density
    if not isinstance(flow, ContinuousFlow) or found.data.shape[1] < 2:
        return None
    with double_precision():
        data = jnp.asarray(found.data[:SHOWN])
        inner = jax.vmap(density.bijection.inverse)(data) if isinstance(density, Transformed) else data
        noise = jax.vmap(flow.base._sample)(jax.random.split(jax.random.key(0), SHOWN))
        reverse = np.asarray(jax.vmap(flow.trajectory, out_axes=1)(noise))
        forward = _forward(flow, inner)
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    panels = figure.subplots(2, len(TIMES))
    for k, t in enumerate(TIMES):
        at = round(t * (len(reverse) - 1))
        panels[0, k].plot(*forward[len(TIMES) - 1 - k][:, :2].T, ".", ms=1.5, alpha=0.6)
        panels[1, k].plot(*reverse[at][:, :2].T, ".", ms=1.5, alpha=0.6, color="C1")
        panels[1, k].plot(*np.moveaxis(reverse[: at + 1, :LINES, :2], -1, 0), lw=0.7, color="k", alpha=0.6)
        panels[0, k].set_title(f"data to noise, t = {1 - t:g}", fontsize=8)
        panels[1, k].set_title(f"noise to data, t = {t:g}", fontsize=8)
    for axes in panels.flat:
        axes.set(xlim=(-3.2, 3.2), ylim=(-3.2, 3.2), xticks=[], yticks=[], aspect="equal")
    return figure


def _forward(flow: ContinuousFlow, x: Any) -> list[np.ndarray]:
    """The data at the flow's times TIMES: by the noising process of a diffusion, else by the flow backwards."""
    if isinstance(flow, Diffusion):
        return [np.asarray(flow.noised(x, (1 - t) ** 2, jax.random.key(k))) for k, t in enumerate(TIMES)]
    start = jax.vmap(lambda x: flow.backwards(x)[0])(x)
    path = np.asarray(jax.vmap(flow.trajectory, out_axes=1)(start))
    return [path[round(t * (len(path) - 1))] for t in TIMES]


def _same_box(axes: Any, data: np.ndarray) -> None:
    low, high = data[:, :2].min(axis=0), data[:, :2].max(axis=0)
    margin = 0.1 * (high - low)
    axes.set(xlim=(low[0] - margin[0], high[0] + margin[0]), ylim=(low[1] - margin[1], high[1] + margin[1]))
