"""report.html of a fit, and the rows that the terminal shows."""

from __future__ import annotations

import dataclasses
import html
from pathlib import Path

from massieu.learning.figures import likelihood, samples, trajectories
from massieu.learning.fit import Fit
from massieu.report.page import image, page, png, table
from massieu.runs.checkpoint import write_atomically


def write_report(folder: Path, found: Fit) -> Path:
    """figures/*.png and report.html."""
    drawn = {"likelihood": likelihood(found), "samples": samples(found)}
    moving = trajectories(found)
    if moving is not None:
        drawn["trajectories"] = moving
    images = {name: png(figure) for name, figure in drawn.items()}
    (folder / "figures").mkdir(exist_ok=True)
    for name, data in images.items():
        write_atomically(folder / "figures" / f"{name}.png", data)
    options = ", ".join(f"{k} = {v}" for k, v in dataclasses.asdict(found.config).items() if v is not None)
    parts = ["<h1>Fit</h1>", f"<p>{html.escape(options)}</p>", table(["-ln p per configuration", ""], rows(found))]
    parts += [image(name.capitalize(), data) for name, data in images.items()]
    write_atomically(folder / "report.html", page("fit", parts).encode())
    return folder / "report.html"


def rows(found: Fit) -> list[list[str]]:
    """Rows (set, -ln p)."""
    return [
        ["training set", str(found.train)],
        ["validation set", str(found.validation)],
        [f"validation set, {found.simple_name}", str(found.simple)],
    ]
