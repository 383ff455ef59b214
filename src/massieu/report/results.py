"""The results of a run as rows of text, for the terminal and for the page."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from massieu.principle import Estimate
from massieu.report.names import in_words
from massieu.statistics import z_score
from massieu.text import columns

OF_SAMPLING = "Errors of S and C are those of sampling the variational density, not of its distance from the exact one."
FINITE_SIZE_KINDS = ("one_particle", "interaction")
FINITE_SIZE_HEAD = ["infinite system - box", "one particle", "interaction", "corrected, per electron"]


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
            known_error = math.isfinite(importance[name]["error"])
            how = "reweighted" if known_error else "reweighted, not to be trusted"
            rows.append([f"{name} ({how})", *_against(importance[name], known.get(name))])
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
    rows = [["Var(F_loc)", number(summary["F_var"])]]
    if summary.get("entropy_scale") and summary["S"]["value"] > 0:
        rows.append(["what S may be off by, beta sqrt(Var F_loc)", f"{summary['entropy_scale']:.2g}"])
    importance = summary.get("importance")
    if importance:
        rows.append(["effective sample size", f"{importance['ess']:.4f}"])
        gap = summary["F"]["value"] - importance["F"]["value"]
        error = math.hypot(summary["F"]["error"], importance["F"]["error"])
        if math.isfinite(error):
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
        "r_hat",
        "burn_in",
        "entropy_loss",
        "entropy_step",
        "ess_of_jastrow",
    ):
        if name in observables:
            value = observables[name]
            shown = str(Estimate(**value)) if isinstance(value, dict) else number(value)
            rows.append([in_words(name, summary["units"]), shown])
    mcmc = observables.get("mcmc")
    if mcmc:
        rows.append(["acceptance of neural proposals", f"{mcmc['acceptance']:.4f}"])
    return rows


def number(value: float | None) -> str:
    """Four digits; None, which a file has where a number is none, in words."""
    return "not known" if value is None else f"{value:.4g}"


def observable_rows(summary: dict[str, Any]) -> list[list[str]]:
    """Rows (name, unbiased by Metropolis, variational density) of every observable."""
    rows = []
    for name, entry in summary["observables"].items():
        if isinstance(entry, dict) and "value" in entry:
            if "model" in entry:
                rows.append([in_words(name, summary["units"]), text_of(entry), text_of(entry["model"])])
            elif not isinstance(entry["value"], list):
                rows.append([in_words(name, summary["units"]), text_of(entry)])
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
    if not chains:
        return ["observable", "value"]
    mixed = not summary["observables"]["mcmc"].get("doubt")
    how = "unbiased (Metropolis, neural proposals)" if mixed else "Metropolis, neural proposals: not to be trusted"
    return ["observable", how, "variational"]


def finite_size_rows(summary: dict[str, Any]) -> list[list[str]]:
    """Rows of the corrections from the box to the infinite system, and of the corrected results."""
    found = summary["observables"]["finite_size"]
    rows = []
    for name in found["interaction"]:
        shell, mutual = (f"{found[kind][name]:.6g}" if name in found[kind] else "" for kind in FINITE_SIZE_KINDS)
        rows.append([name, shell, mutual, text_of(found["corrected"][name]) if name in found["corrected"] else ""])
    return rows


def text_of(entry: dict[str, Any]) -> str:
    """value(error) of a number, or of the first of an array."""
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
    warnings = [f"warning: {text}" for text in summary.get("warnings", [])]
    return "\n\n".join([*parts, OF_SAMPLING, *(["\n".join(warnings)] if warnings else []), method])
