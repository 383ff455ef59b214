"""report.html of a run, self-contained, and the tables that the terminal shows."""

from __future__ import annotations

import html
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from massieu.errors import InputError
from massieu.methods import figures
from massieu.methods.method import Shown, method_of
from massieu.report import results
from massieu.report.about import About, about
from massieu.report.page import image, page, png, svg, table
from massieu.runs.checkpoint import write_atomically
from massieu.runs.directory import read_config, read_finished, read_metrics
from massieu.strict_json import from_json
from massieu.systems.base import AbstractSystem

SHOWN_ABOVE = ("free_energy", "variance")
DATA = ("config.yaml", "metrics.csv", "summary.json", "reference.json", "samples.npz")


def write_report(folder: Path, system: AbstractSystem | None = None) -> Path:
    """figures/*.png and *.svg, and report.html from the files of a finished run; InputError if they are not there.

    system: that of the run, where it is at hand; else it is read from the directory, if the table of systems has it.
    """
    summary, rows = read_finished(folder), read_metrics(folder)
    if summary is None or not rows:
        raise InputError(f"{folder}: must be the directory of a finished run (massieu resume finishes one)")
    samples, known = _read_results(folder)
    system = system or _system_of(folder)
    drawn = {"free_energy": figures.free_energy(rows, summary, known), "variance": figures.spread(rows, summary)}
    if system is not None:
        drawn |= method_of(system).figures(system, Shown(summary, rows, samples, known))
    if "range" in summary["observables"]:
        drawn["range"] = figures.over_range(summary["observables"]["range"], summary["units"]["energy"])
    images = {name: png(figure) for name, figure in drawn.items()}
    (folder / "figures").mkdir(exist_ok=True)
    for name, data in images.items():
        write_atomically(folder / "figures" / f"{name}.png", data)
        write_atomically(folder / "figures" / f"{name}.svg", svg(drawn[name]))
    path = folder / "report.html"
    write_atomically(path, _page(summary, known, images, about(folder, system)).encode())
    return path


def _read_results(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """samples.npz and reference.json; InputError if they are missing or damaged."""
    name = "samples.npz"
    try:
        with np.load(folder / name) as file:
            samples = {key: file[key] for key in file.files}
        name = "reference.json"
        return samples, from_json((folder / name).read_text()) or {}
    except (OSError, ValueError, zipfile.BadZipFile):
        raise InputError(f"{folder / name}: cannot be read; massieu evaluate {folder} makes it anew") from None


def _system_of(folder: Path) -> AbstractSystem | None:
    """The system, where the library can rebuild it (not for a Hamiltonian of the user's own)."""
    try:
        return read_config(folder)[0]
    except InputError:
        return None


# ---- the page


def _page(summary: dict[str, Any], known: dict[str, Any], images: dict[str, bytes], made: About) -> str:
    parameters = ", ".join(f"{k} = {v}" for k, v in summary["parameters"].items() if v is not None)
    approximations = [
        [name, results.text_of(e["F"]) if e["F"] else "did not converge", e["kind"], e["note"]]
        for name, e in known.get("approximations", {}).items()
    ]
    parts = [
        f"<h1>{html.escape(summary['system'])}</h1>",
        f"<p>The free energy of {html.escape(made.what)}, at {html.escape(parameters)}.</p>",
        *(f"<p class=warning>{html.escape(text)}</p>" for text in summary.get("warnings", [])),
        table(["", "value", "reference", "z"], results.results(summary)),
        "<p>F is an upper bound: a positive z is what is left to gain, in units of the combined error"
        + (", and the reweighted values are free of it" if summary.get("importance") and summary.get("trusted") else "")
        + f". {results.OF_SAMPLING}</p><p class=note>Totals, k_B = 1, energy unit: "
        f"{html.escape(summary['units']['energy'])}. Errors are one standard error in the last digits.</p>",
        table([known["ideal"]["F"]["method"], ""], [[k, results.text_of(e)] for k, e in known["ideal"].items()])
        if "ideal" in known
        else "",
        table(["simpler theories", "F", "", ""], approximations) if approximations else "",
        image("Free energy", images["free_energy"], "F of the training steps, its final value and the reference"),
        "<h2>How good is the density?</h2>" + table(["", ""], results.quality(summary)),
        image("", images["variance"], "Variance of the local free energy of the training steps, logarithmic"),
        "<h2>Observables</h2>" + table(results.observable_head(summary), results.observable_rows(summary)),
        _finite_size(summary),
        _range(summary["observables"].get("range")),
        *(image(name.replace("_", " ").capitalize(), data) for name, data in images.items() if name not in SHOWN_ABOVE),
        "<h2>How it was made</h2>",
        table(["", ""], [*_density(summary), *made.rows]),
        f"<pre>{html.escape(made.command)}</pre>" if made.command else "",
        "<p>Data: " + ", ".join(f'<a href="{name}">{name}</a>' for name in DATA) + ", figures/*.png, figures/*.svg</p>",
        f"<p class=note>{summary['steps']} steps, {summary['seconds']:.0f} s, seed {summary['seed']}, "
        f"massieu {html.escape(summary['version'])}</p>",
    ]
    return page(summary["system"], parts)


def _density(summary: dict[str, Any]) -> list[list[str]]:
    found = summary.get("density")
    return [["density", f"{found['name']}, {found['parameters']} parameters"]] if found else []


def _range(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    head, *rows = results.range_rows(found)
    return f"<h2>Over the range of {html.escape(found['parameter'])}</h2>{table(head, rows)}"


def _finite_size(summary: dict[str, Any]) -> str:
    if "finite_size" not in summary["observables"]:
        return ""
    note = "Totals: shell effects of the ideal gas, and the random-phase approximation; not part of the results above."
    shown = table(results.FINITE_SIZE_HEAD, results.finite_size_rows(summary))
    return f"<h2>Finite-size corrections</h2>{shown}<p class=note>{note}</p>"
