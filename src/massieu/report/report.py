"""report.html of a run, self-contained, and the tables that the terminal shows."""

from __future__ import annotations

import html
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from massieu.errors import InputError
from massieu.methods import figures
from massieu.methods.method import Shown, method_of
from massieu.principle import Estimate
from massieu.report.page import image, page, png, table
from massieu.runs.checkpoint import write_atomically
from massieu.runs.directory import read_config, read_metrics, read_summary
from massieu.statistics import z_score
from massieu.systems.base import AbstractSystem
from massieu.text import columns

FINITE_SIZE_KINDS = ("one_particle", "interaction")
FINITE_SIZE_HEAD = ["infinite system - box", "one particle", "interaction", "corrected, per electron"]
SHOWN_ABOVE = ("free_energy", "variance")


def write_report(folder: Path, system: AbstractSystem | None = None) -> Path:
    """figures/*.png and report.html from the files of a finished run; InputError if they are not there.

    system: that of the run, where it is at hand; else it is read from the directory, if the table of systems has it.
    """
    summary, rows = read_summary(folder), read_metrics(folder)
    if summary is None or summary.get("status") != "finished" or not rows:
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
    path = folder / "report.html"
    write_atomically(path, _page(summary, known, images).encode())
    return path


def _read_results(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """samples.npz and reference.json; InputError if they are missing or damaged."""
    name = "samples.npz"
    try:
        with np.load(folder / name) as file:
            samples = {key: file[key] for key in file.files}
        name = "reference.json"
        return samples, json.loads((folder / name).read_text()) or {}
    except (OSError, ValueError, zipfile.BadZipFile):
        raise InputError(f"{folder / name}: cannot be read; massieu evaluate {folder} makes it anew") from None


def _system_of(folder: Path) -> AbstractSystem | None:
    """The system, where the library can rebuild it (not for a Hamiltonian of the user's own)."""
    try:
        return read_config(folder)[0]
    except InputError:
        return None


# ---- tables


def results(summary: dict[str, Any]) -> list[list[str]]:
    """Rows (quantity, value, reference, z) of the main results: variational, then reweighted."""
    known = summary.get("reference") or {}
    rows = []
    for name in ("F", "E", "S", "C"):
        note = "upper bound" if name == "F" else "variational density"
        rows.append([f"{name} ({note})", *_against(summary[name], known.get(name))])
    importance = summary.get("importance") or {}
    for name in ("lnZ", "F", "E", "S"):
        if name in importance:
            rows.append([f"{name} (reweighted)", *_against(importance[name], known.get(name))])
    return rows


def _against(value: dict[str, float], reference: dict[str, Any] | None) -> list[str]:
    mine = Estimate(value["value"], value["error"])
    if reference is None:
        return [str(mine), "", ""]
    theirs = Estimate(reference["value"], reference["error"])
    z, error = z_score(mine, theirs), math.hypot(mine.error, theirs.error)
    known = error > 1e-9 * abs(theirs.value)  # else all samples were alike, and their spread says nothing
    return [str(mine), str(theirs), f"{z:+.1f}" if math.isfinite(z) and known else ""]


def quality(summary: dict[str, Any]) -> list[list[str]]:
    """Rows of the measures of how good the density is."""
    rows = [["Var(F_loc)", f"{summary['F_var']:.4g}"]]
    importance = summary.get("importance")
    if importance:
        rows.append(["effective sample size", f"{importance['ess']:.4f}"])
        gap = summary["F"]["value"] - importance["F"]["value"]
        error = math.hypot(summary["F"]["error"], importance["F"]["error"])
        rows.append(["gap F - F(reweighted)", str(Estimate(gap, error))])
    observables = summary["observables"]
    for name in (
        "fraction_not_bijective",
        "least_pivot",
        "energy_spread_within_states",
        "occupation_sets",
        "largest_error_of_log_prob",
        "acceptance",
        "autocorrelation_sweeps",
    ):
        if name in observables:
            rows.append([name.replace("_", " "), f"{observables[name]:.4g}"])
    mcmc = observables.get("mcmc")
    if mcmc:
        rows.append(["acceptance of neural proposals", f"{mcmc['acceptance']:.4f}"])
    return rows


def observable_rows(summary: dict[str, Any]) -> list[list[str]]:
    """Rows (name, unbiased by Metropolis, variational density) of every observable."""
    rows = []
    for name, entry in summary["observables"].items():
        if isinstance(entry, dict) and "value" in entry:
            if "model" in entry:
                rows.append([name, _text(entry), _text(entry["model"])])
            elif not isinstance(entry["value"], list):
                unit = summary["units"].get(name)
                rows.append([name.replace("_", " ") + (f" ({unit})" if unit else ""), _text(entry)])
    return rows


def range_rows(found: dict[str, Any]) -> list[list[str]]:
    """Heading and rows of a family over its range: value, F, ln Z, ESS, derivatives of ln Z both ways."""
    kinds = [name for name in ("conjugate", "S", "C") if name in found]
    slope = "E" if found["parameter"] == "beta" else f"dH/d{found['parameter']}"
    heads = [slope if kind == "conjugate" else kind for kind in kinds]
    rows = [[found["parameter"], "F", "ln Z", "ESS", *(f"{h}{how}" for h in heads for how in ("", " from ln Z"))]]
    for k, value in enumerate(found["values"]):
        both = (found[kind][how] for kind in kinds for how in ("direct", "differentiated"))
        cells = [found["F"], found["lnZ"], *both]
        shown = [str(Estimate(cell["value"][k], cell["error"][k])) for cell in cells]
        rows.append([f"{value:.5g}", *shown[:2], f"{found['ess'][k]:.3f}", *shown[2:]])
    return rows


def observable_head(summary: dict[str, Any]) -> list[str]:
    """What the columns of `observable_rows` are."""
    chains = "mcmc" in summary["observables"]
    return (
        ["observable", "unbiased (Metropolis, neural proposals)", "variational"] if chains else ["observable", "value"]
    )


def finite_size_rows(summary: dict[str, Any]) -> list[list[str]]:
    """Rows of the corrections from the box to the infinite system, and of the corrected results."""
    found = summary["observables"]["finite_size"]
    rows = []
    for name in found["interaction"]:
        shell, mutual = (f"{found[kind][name]:.6g}" if name in found[kind] else "" for kind in FINITE_SIZE_KINDS)
        rows.append([name, shell, mutual, _text(found["corrected"][name]) if name in found["corrected"] else ""])
    return rows


def _text(entry: dict[str, Any]) -> str:
    if not isinstance(entry["value"], list):
        return str(Estimate(entry["value"], entry["error"]))
    pairs = zip(np.ravel(entry["value"])[:8], np.ravel(entry["error"])[:8], strict=True)
    return ", ".join(str(Estimate(float(v), float(e))) for v, e in pairs)


def results_table(summary: dict[str, Any]) -> str:
    """The results as text for the terminal."""
    known = summary.get("reference") or {}
    method = f"reference: {known['F']['method']}" if "F" in known else "no reference"
    unit = summary["units"]["energy"]
    totals = "" if unit == "dimensionless" else f"totals ({unit}, k_B)"
    main = columns([[totals, "value", "reference", "z"], *results(summary)])
    observed = columns([observable_head(summary), *observable_rows(summary)])
    parts = [main, columns(quality(summary)), observed]
    if "finite_size" in summary["observables"]:
        parts.append(columns([FINITE_SIZE_HEAD, *finite_size_rows(summary)]))
    if "range" in summary["observables"]:
        parts.append(columns(range_rows(summary["observables"]["range"])))
    return "\n\n".join([*parts, method])


# ---- the page


def _page(summary: dict[str, Any], known: dict[str, Any], images: dict[str, bytes]) -> str:
    parameters = ", ".join(f"{k} = {v}" for k, v in summary["parameters"].items() if v is not None)
    approximations = [
        [name, _text(e["F"]) if e["F"] else "did not converge", e["kind"], e["note"]]
        for name, e in known.get("approximations", {}).items()
    ]
    parts = [
        f"<h1>{html.escape(summary['system'])}</h1><p>{html.escape(parameters)}</p>",
        table(["", "value", "reference", "z"], results(summary)),
        f"<p class=note>Totals, k_B = 1, energy unit: {html.escape(summary['units']['energy'])}. Errors are one "
        "standard error in the last digits; z is the difference in combined errors. F is an upper bound, "
        "so a positive z measures the remaining gap"
        + ("; the reweighted values are free of it.</p>" if summary.get("importance") else ".</p>"),
        table(["canonical ideal gas", ""], [[k, _text(e)] for k, e in known["ideal"].items()])
        if "ideal" in known
        else "",
        table(["simpler theories", "F", "", ""], approximations) if approximations else "",
        image("Free energy", images["free_energy"]),
        "<h2>How good is the density?</h2>" + table(["", ""], quality(summary)),
        image("", images["variance"]),
        "<h2>Observables</h2>" + table(observable_head(summary), observable_rows(summary)),
        _finite_size(summary),
        _range(summary["observables"].get("range")),
        *(image(name.replace("_", " ").capitalize(), data) for name, data in images.items() if name not in SHOWN_ABOVE),
        f"<p class=note>{summary['steps']} steps, {summary['seconds']:.0f} s, seed {summary['seed']}, "
        f"massieu {html.escape(summary['version'])}</p>",
    ]
    return page(summary["system"], parts)


def _range(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    head, *rows = range_rows(found)
    return f"<h2>Over the range of {html.escape(found['parameter'])}</h2>{table(head, rows)}"


def _finite_size(summary: dict[str, Any]) -> str:
    if "finite_size" not in summary["observables"]:
        return ""
    note = "Totals: shell effects of the ideal gas, and the random-phase approximation; not part of the results above."
    shown = table(FINITE_SIZE_HEAD, finite_size_rows(summary))
    return f"<h2>Finite-size corrections</h2>{shown}<p class=note>{note}</p>"
