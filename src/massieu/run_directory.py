"""The plain files of a run directory: config.yaml, metrics.csv and summary.json, written whole or not at all."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import platform
from pathlib import Path
from typing import Any

import jax
import numpy as np
import yaml

from massieu import checkpoint
from massieu.config import Config
from massieu.errors import InputError, RunError
from massieu.exact.thermodynamics import Thermodynamics
from massieu.systems import SYSTEMS, Hydrogen, QuantumSystem, System
from massieu.systems.base import Reference
from massieu.version import __version__

Row = dict[str, float]


def identity(system: System, beta: float) -> dict[str, Any]:
    """What a checkpoint must agree on to be continued."""
    own = {"beta": beta} if _given_beta(system) is None else {}
    return {"system": system.name, "parameters": system.parameters() | own}


def _given_beta(system: System) -> float | None:
    """beta where it follows from the parameters, None where it is the user's to choose beside them."""
    if isinstance(system, (QuantumSystem, Hydrogen)):
        return system.beta
    return 1.0 if system.action else None


def prepare(folder: Path, system: System, beta: float, config: Config) -> Path:
    """Make a new run directory with config.yaml; InputError if it is there and not empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"out = {folder}: must be a new or empty directory (massieu resume continues a run)")
    provenance = {"python": platform.python_version(), "jax": jax.__version__, "machine": platform.machine()}
    content = {**identity(system, beta), "config": config.as_dict(), "version": __version__, "provenance": provenance}
    try:
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        checkpoint.write_atomically(folder / "config.yaml", yaml.safe_dump(content, sort_keys=False).encode())
    except OSError as error:
        raise InputError(f"out = {folder}: must be a writable directory ({error.strerror})") from None
    return folder


def read_config(folder: Path) -> tuple[System, float, Config]:
    """System, beta and configuration of a run directory; InputError if it is none."""
    try:
        content = yaml.safe_load((folder / "config.yaml").read_text())
        parameters = dict(content["parameters"])
        kind = SYSTEMS.get(content["system"])
        if kind is None:
            raise InputError(f"{folder}: a run of {content['system']}, which only the script that made it can continue")
        chosen = parameters["beta"] if "beta" in _public_names(kind) else parameters.pop("beta", None)
        system = make_system(kind, parameters)
        given = _given_beta(system)
        return system, float(chosen) if given is None else given, Config(**content["config"])
    except OSError:
        raise InputError(f"{folder}: must be a run directory (it has no readable config.yaml)") from None
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError, yaml.YAMLError):
        raise InputError(f"{folder}/config.yaml: must be the configuration of a run, unchanged") from None


def make_system(kind: type[System], parameters: dict[str, Any]) -> System:
    """A system from its parameters under their public names."""
    names = _public_names(kind)
    return kind(**{names[name]: value for name, value in parameters.items()})


def _public_names(kind: type[System]) -> dict[str, str]:
    """The field of each parameter, by the name that users see."""
    return {(f.metadata["flag"] or f.name): f.name for f in dataclasses.fields(kind) if "help" in f.metadata}


def reference_dict(system: System, reference: Reference | None) -> dict[str, Any] | None:
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


def read_summary(folder: Path) -> dict[str, Any] | None:
    """summary.json of a run directory, or None if there is none yet."""
    try:
        found = json.loads((folder / "summary.json").read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def where_to_resume(folder: Path | None, text: str) -> str:
    """A failure in words, with what is saved and the command that continues."""
    if folder is None:
        return text
    saved = sorted((folder / "checkpoints").glob("step-*.npz"))
    if not saved:
        return f"{text}; no checkpoint was saved yet"
    return f"{text}; saved up to {saved[-1].name}, continue with: massieu resume {folder}"


def save_results(folder: Path, run: Any) -> None:
    """summary.json, samples.npz and reference.json of a `Run`, each atomically; RunError if they cannot be written."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **run.result.samples)  # type: ignore[arg-type]
    frames = run.system.frames(run.result.samples) if isinstance(run.system, Hydrogen) else ""
    try:
        if frames:
            checkpoint.write_atomically(folder / "samples.extxyz", frames.encode())
        checkpoint.write_atomically(folder / "samples.npz", buffer.getvalue())
        checkpoint.write_atomically(
            folder / "reference.json", json.dumps(reference_dict(run.system, run.reference)).encode()
        )
        checkpoint.write_atomically(folder / "summary.json", json.dumps(run.summary(), indent=2).encode())
    except OSError as error:
        raise RunError(where_to_resume(folder, f"cannot write to {folder} ({error.strerror})")) from None


def read_metrics(folder: Path) -> list[Row]:
    """The complete rows of metrics.csv; a last line cut short by a crash is dropped."""
    try:
        with open(folder / "metrics.csv", newline="") as file:
            table = list(csv.DictReader(file))
    except OSError:
        return []
    rows = []
    for line in table:
        try:
            rows.append({k: float(v) for k, v in line.items()})
        except (TypeError, ValueError):
            break
    return rows


def append_metrics(folder: Path, rows: list[Row]) -> None:
    path = folder / "metrics.csv"
    new = not path.exists()
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        if new:
            writer.writeheader()
        writer.writerows(_as_text(row) for row in rows)


def write_metrics(folder: Path, rows: list[Row]) -> None:
    """The whole table anew, atomically (after a resume the rows past the checkpoint go)."""
    buffer = io.StringIO(newline="")
    if rows:
        writer = csv.DictWriter(buffer, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(_as_text(row) for row in rows)
        checkpoint.write_atomically(folder / "metrics.csv", buffer.getvalue().encode())
    else:
        (folder / "metrics.csv").unlink(missing_ok=True)


def _as_text(row: Row) -> dict[str, str]:
    return {k: str(int(v)) if k == "step" else f"{v:.3f}" if k == "seconds" else repr(float(v)) for k, v in row.items()}
