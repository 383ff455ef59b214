"""The plain files of a run directory: config.yaml, metrics.csv and summary.json, written whole or not at all."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import math
import platform
from pathlib import Path
from typing import Any

import jax
import numpy as np
import yaml

from massieu.errors import InputError, RunError
from massieu.exact.thermodynamics import Thermodynamics
from massieu.methods.method import method_of, read_options
from massieu.methods.options import Options
from massieu.runs import checkpoint
from massieu.systems.base import AbstractSystem, Reference
from massieu.systems.table import SYSTEMS, place_of
from massieu.version import __version__

Row = dict[str, float]


def identity(system: AbstractSystem, beta: float) -> dict[str, Any]:
    """What a checkpoint must agree on to be continued: name, parameters, class, and a hash of all that was given."""
    return described(system, beta) | {"class": place_of(type(system)), "parameters_hash": fingerprint(system, beta)}


def described(system: AbstractSystem, beta: float) -> dict[str, Any]:
    """Name and parameters, as people read them."""
    own = {"beta": beta} if system.own_beta is None else {}
    return {"system": name_of(system), "parameters": system.parameters() | own}


def name_of(system: AbstractSystem) -> str:
    """The name in the table of systems; of a class that is not in it its own name, which no other system has."""
    kind = type(system)
    return SYSTEMS.name_of(kind) or (kind.__name__ if system.name in SYSTEMS else system.name)


def fingerprint(system: AbstractSystem, beta: float) -> str:
    """SHA-256, in part, of all that was given: numbers, words, arrays with every digit, and beta where it is chosen."""
    digest = hashlib.sha256()
    given = {f.name: getattr(system, f.name) for f in dataclasses.fields(system) if not f.metadata.get("derived")}
    given |= {"beta": beta} if system.own_beta is None else {}
    for name, value in sorted(given.items()):
        digest.update(name.encode() + b"=" + _shown(value) + b";")
    return digest.hexdigest()[:16]


def _shown(value: Any) -> bytes:
    """The same in every process: a function by its name, a tuple as the list that YAML makes of it."""
    if isinstance(value, (np.ndarray, jax.Array)):
        array = np.asarray(value)
        return f"{array.dtype}{array.shape}".encode() + array.tobytes()
    if callable(value):
        return getattr(value, "__qualname__", type(value).__qualname__).encode()
    return repr(list(value) if isinstance(value, tuple) else value).encode()


def prepare(folder: Path, system: AbstractSystem, beta: float, options: Options) -> Path:
    """Make a new run directory with config.yaml; InputError if it is there and not empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"out = {folder}: must be a new or empty directory (massieu resume continues a run)")
    provenance = {"python": platform.python_version(), "jax": jax.__version__, "machine": platform.machine()}
    content = {**identity(system, beta), "config": options.as_dict(), "version": __version__, "provenance": provenance}
    try:
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        checkpoint.write_atomically(folder / "config.yaml", yaml.safe_dump(content, sort_keys=False).encode())
    except OSError as error:
        raise InputError(f"out = {folder}: must be a writable directory ({error.strerror})") from None
    return folder


def read_config(folder: Path) -> tuple[AbstractSystem, float, Options]:
    """System, beta and options of a run directory; InputError if it is none, or of another class than the table's."""
    try:
        content = yaml.safe_load((folder / "config.yaml").read_text())
        parameters, name = dict(content["parameters"]), content["system"]
        kind = _class_of(folder, name, content.get("class"))
        chosen = parameters["beta"] if "beta" in _public_names(kind) else parameters.pop("beta", None)
        system = make_system(kind, parameters)
        own = system.own_beta
        beta = float(chosen) if own is None else own
        _check_fingerprint(folder, fingerprint(system, beta), content.get("parameters_hash"))
        return system, beta, read_options(kind, content["config"])
    except OSError:
        raise InputError(f"{folder}: must be a run directory (it has no readable config.yaml)") from None
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError, yaml.YAMLError):
        raise InputError(f"{folder}/config.yaml: must be the configuration of a run, unchanged") from None


def _class_of(folder: Path, name: str, place: str | None) -> type[AbstractSystem]:
    """The class in the table; InputError where the run is of another one (version 0.1.0 did not record it)."""
    kind = SYSTEMS.get(name)
    if kind is None or place not in (None, place_of(kind)):
        other = "" if place is None else f" (class {place})"
        raise InputError(f"{folder}: a run of {name}{other}, which only the script that made it can continue")
    return kind


def _check_fingerprint(folder: Path, found: str, recorded: str | None) -> None:
    if recorded not in (None, found):
        raise InputError(f"{folder}/config.yaml: must be the configuration of a run, unchanged: its parameters differ")


def make_system(kind: type[AbstractSystem], parameters: dict[str, Any]) -> AbstractSystem:
    """A system from its parameters under their public names."""
    names = _public_names(kind)
    return kind(**{names[name]: value for name, value in parameters.items()})


def _public_names(kind: type[AbstractSystem]) -> dict[str, str]:
    """The field of each parameter, by the name that users see."""
    return {(f.metadata["flag"] or f.name): f.name for f in dataclasses.fields(kind) if "help" in f.metadata}


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
    texts = method_of(run.system).files(run.system, run.result.samples)
    try:
        for name, text in texts.items():
            checkpoint.write_atomically(folder / name, text.encode())
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
