"""The results of a run, written to its directory and read from it."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from massieu.errors import InputError, RunError
from massieu.exact.thermodynamics import Thermodynamics
from massieu.methods.evaluation import Evaluation
from massieu.methods.method import method_of
from massieu.principle import Estimate
from massieu.runs import checkpoint
from massieu.runs.directory import where_to_resume
from massieu.strict_json import from_json, to_json
from massieu.systems.base import AbstractSystem, Approximation, Reference


def read_evaluation(folder: Path, summary: dict[str, Any]) -> Evaluation:
    """The final evaluation from summary.json and samples.npz."""
    F, E, S, C = (Estimate(**_numbers(summary[name])) for name in ("F", "E", "S", "C"))
    try:
        with np.load(folder / "samples.npz", allow_pickle=False) as file:
            samples = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        raise InputError(f"{folder / 'samples.npz'}: must be the samples of a run, unchanged") from None
    importance = summary["importance"] or {}
    return Evaluation(F, E, S, C, summary["F_var"], summary["observables"], importance, samples, summary["samples"])


def read_reference(folder: Path) -> Reference | None:
    """What reference.json knows."""
    try:
        found = from_json((folder / "reference.json").read_text())
    except (OSError, ValueError):
        return None
    if found is None:
        return None
    others = {
        name: Approximation(Estimate(**_numbers(a["F"])) if a["F"] else Estimate(math.nan), a["kind"], a["note"])
        for name, a in found["approximations"].items()
    }
    return Reference(_thermodynamics(found), others, _thermodynamics(found.get("ideal") or {}))


def _thermodynamics(found: dict[str, Any]) -> Thermodynamics | None:
    if "F" not in found:
        return None
    known = {name: Estimate(**_numbers(found[name])) for name in ("F", "E", "S", "C", "lnZ") if name in found}
    lnZ = known.pop("lnZ", Estimate(math.nan))
    return Thermodynamics(known["F"], known.get("E"), known.get("S"), known.get("C"), lnZ, found["F"]["method"])


def _numbers(entry: dict[str, Any]) -> dict[str, float]:
    """value and error; what JSON cannot say is not a number."""
    return {name: math.nan if entry[name] is None else entry[name] for name in ("value", "error")}


def reference_dict(system: AbstractSystem, reference: Reference | None) -> dict[str, Any] | None:
    """The form of `massieu reference --json`: totals, each with value, error and method."""
    if reference is None:
        return None
    out: dict[str, Any] = {}
    if reference.best is not None:
        out |= known_values(reference.best)
    if reference.ideal is not None:
        out["ideal"] = known_values(reference.ideal)
    out["approximations"] = {
        name: {"F": a.F.as_dict() if math.isfinite(a.F.value) else None, "kind": a.kind, "note": a.note}
        for name, a in reference.approximations.items()
    }
    return out | {"units": system.units}


def known_values(values: Thermodynamics) -> dict[str, Any]:
    found = {name: getattr(values, name) for name in ("F", "E", "S", "C", "lnZ")}
    return {
        name: e.as_dict() | {"method": values.method}
        for name, e in found.items()
        if e is not None and math.isfinite(e.value)
    }


def save_results(folder: Path, run: Any) -> None:
    """summary.json, samples.npz and reference.json of a `Run`, each atomically; RunError if they cannot be written."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **run.result.samples)  # type: ignore[arg-type]
    texts = method_of(run.system).files(run.system, run.result.samples)
    try:
        for name, text in texts.items():
            checkpoint.write_atomically(folder / name, text.encode())
        checkpoint.write_atomically(folder / "samples.npz", buffer.getvalue())
        checkpoint.write_atomically(
            folder / "reference.json", to_json(reference_dict(run.system, run.reference)).encode()
        )
        checkpoint.write_atomically(folder / "summary.json", to_json(run.summary(), indent=2).encode())
    except OSError as error:
        raise RunError(where_to_resume(folder, f"cannot write to {folder} ({error.strerror})")) from None
