"""The plain files of a run directory: config.yaml, metrics.csv and summary.json, written whole or not at all."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import platform
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import jax
import numpy as np
import yaml

from massieu.errors import InputError, require
from massieu.methods.method import read_options
from massieu.methods.options import Options
from massieu.runs import checkpoint, lock
from massieu.strict_json import from_json
from massieu.systems.base import AbstractSystem
from massieu.systems.table import SYSTEMS, place_of
from massieu.systems.table import parameters as fields_of
from massieu.version import __version__

Row = dict[str, float]
GIVEN = "given.npz"  # couplings and fields of the user's own


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
    given = {
        f.name: getattr(system, f.name)
        for f in dataclasses.fields(system)
        if not (f.metadata.get("derived") or f.metadata.get("said"))
    }
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


def prepare(
    folder: Path, system: AbstractSystem, beta: float, options: Options, start: dict[str, Any] | None = None
) -> Path:
    """Make a new run directory with config.yaml; InputError if it is there and not empty.

    start: what the options do not say, the class of a density of one's own and the run that parameters came from.
    """
    claim(folder)
    provenance = {"date": datetime.now().isoformat(" ", "seconds"), "python": platform.python_version(),
                  "jax": jax.__version__, "machine": platform.machine()}  # fmt: skip
    config = {"config": options.as_dict(), "start": {k: v for k, v in (start or {}).items() if v is not None}}
    content = {**identity(system, beta), **config, "version": __version__, "provenance": provenance}
    try:
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        if arrays := system.own_arrays():
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
            checkpoint.write_atomically(folder / GIVEN, buffer.getvalue())
        checkpoint.write_atomically(folder / "config.yaml", yaml.safe_dump(content, sort_keys=False).encode())
    except OSError as error:
        raise InputError(f"out = {folder}: must be a writable directory ({error.strerror})") from None
    return folder


def claim(folder: Path) -> Path:
    """Make a new directory; InputError if it is there and holds more than a lock."""
    if folder.exists() and (not folder.is_dir() or any(path.name != lock.NAME for path in folder.iterdir())):
        raise InputError(f"out = {folder}: must be a new or empty directory (massieu resume continues a run)")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"out = {folder}: must be a writable directory ({error.strerror})") from None
    return folder


def existing(folder: Path) -> Path:
    """The folder; InputError if it is no run directory."""
    if not (folder / "config.yaml").is_file():
        raise InputError(f"{folder}: must be a run directory (it has no readable config.yaml)")
    return folder


def read_config(folder: Path) -> tuple[AbstractSystem, float, Options]:
    """System, beta and options of a run directory; InputError if it is none, or of another class than the table's."""
    try:
        content = yaml.safe_load((folder / "config.yaml").read_text())
        parameters, name = dict(content["parameters"]), content["system"]
        kind = class_named(folder, name, content.get("class"))
        chosen = parameters["beta"] if "beta" in fields_of(kind) else parameters.pop("beta", None)
        system = make_system(kind, parameters, _given_arrays(folder))
        own = system.own_beta
        beta = float(chosen) if own is None else own
        _check_fingerprint(folder, fingerprint(system, beta), content.get("parameters_hash"))
        return system, beta, read_options(kind, content["config"])
    except OSError:
        raise InputError(f"{folder}: must be a run directory (it has no readable config.yaml)") from None
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError, yaml.YAMLError):
        raise InputError(f"{folder}/config.yaml: must be the configuration of a run, unchanged") from None


def options_of(folder: Path, system: AbstractSystem, beta: float | None) -> tuple[Options, float]:
    """Options and beta of a run of this very system (at this beta, where given); InputError if it is of another one."""
    try:
        content = yaml.safe_load((folder / "config.yaml").read_text())
        chosen = system.own_beta if beta is None else beta
        chosen = float(content["parameters"]["beta"]) if chosen is None else chosen
        class_, recorded = content.get("class"), content.get("parameters_hash")  # version 0.1.0 did not record them
        same = class_ in (None, place_of(type(system))) and recorded in (None, fingerprint(system, chosen))
        if not same:
            raise InputError(f"{folder}: a run of {content['system']} {content['parameters']}, not of {system}")
        return read_options(type(system), content["config"]), chosen
    except (OSError, KeyError, TypeError, AttributeError, UnicodeDecodeError, yaml.YAMLError):
        raise InputError(f"{folder}/config.yaml: must be the configuration of a run, unchanged") from None


def rewrite_options(folder: Path, options: Options) -> None:
    """config.yaml with the options of a run that is trained further, beside the steps that it was made for."""
    content = yaml.safe_load((folder / "config.yaml").read_text())
    earlier = content["config"]["steps"]
    if options.steps == earlier:
        return
    content["config"] = options.as_dict()
    content["continued"] = [*content.get("continued", []), earlier]
    checkpoint.write_atomically(folder / "config.yaml", yaml.safe_dump(content, sort_keys=False).encode())


def read_content(folder: Path) -> dict[str, Any]:
    """config.yaml as it stands, for what is only shown; empty if it cannot be read."""
    try:
        return dict(yaml.safe_load((folder / "config.yaml").read_text()))
    except (OSError, TypeError, ValueError, yaml.YAMLError):
        return {}


def read_start(folder: Path) -> dict[str, Any]:
    """What `prepare` was told of the start."""
    return dict(yaml.safe_load((folder / "config.yaml").read_text()).get("start") or {})


def class_named(folder: Path, name: str, place: str | None) -> type[AbstractSystem]:
    """The class in the table; InputError where the run is of another one (version 0.1.0 did not record it)."""
    kind = SYSTEMS.get(name)
    if kind is None or place not in (None, place_of(kind)):
        other = "" if place is None else f" (class {place})"
        raise InputError(f"{folder}: a run of {name}{other}, which only the script that made it can continue")
    return kind


def _check_fingerprint(folder: Path, found: str, recorded: str | None) -> None:
    if recorded not in (None, found):
        raise InputError(f"{folder}/config.yaml: must be the configuration of a run, unchanged: its parameters differ")


def _given_arrays(folder: Path) -> dict[str, np.ndarray]:
    """Arrays that the system was given beside its parameters."""
    try:
        with np.load(folder / GIVEN, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        raise InputError(f"{folder / GIVEN}: must be the arrays that the run was given, unchanged") from None


def make_system(
    kind: type[AbstractSystem], parameters: dict[str, Any], arrays: dict[str, np.ndarray] | None = None
) -> AbstractSystem:
    """A system from its parameters under their public names, and from arrays given as arguments."""
    fields = fields_of(kind)
    return kind(**{fields[name].name: value for name, value in parameters.items()}, **(arrays or {}))


def read_summary(folder: Path) -> dict[str, Any] | None:
    """summary.json of a run directory, or None if there is none yet."""
    try:
        found = from_json((folder / "summary.json").read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def read_finished(folder: Path) -> dict[str, Any] | None:
    """`read_summary` of a finished run, None of any other."""
    summary = read_summary(folder)
    return summary if summary is not None and summary.get("status") == "finished" else None


def finished(folder: Path) -> dict[str, Any]:
    """`read_finished`; InputError if there is none."""
    summary = read_finished(existing(folder))
    if summary is None:
        raise InputError(f"{folder}: must be a finished run (massieu resume {folder})")
    return summary


def where_to_resume(folder: Path | None, text: str) -> str:
    """A failure in words, with what is saved and the command that continues."""
    if folder is None:
        return text
    steps = checkpoint.steps_saved(folder / "checkpoints")
    if steps is None:
        return f"{text}; no step was saved yet, start anew with: massieu resume {folder}"
    return f"{text}; saved up to step {steps}, continue with: massieu resume {folder}"


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
    return rows if rows and "step" in rows[0] else []


def rows_up_to(folder: Path, steps: int) -> list[Row]:
    """The rows of metrics.csv that a checkpoint of so many steps knows; InputError unless they are all there."""
    rows = [row for row in read_metrics(folder) if row["step"] < steps]
    allowed = f"the complete table of the {steps} steps of the newest checkpoint, with step, F, beta and seconds"
    whole = len(rows) == steps and {"step", "F", "F_var", "beta", "seconds"} <= set(rows[0] if rows else ())
    require(whole, f"{folder}/metrics.csv", f"{len(rows)} steps", allowed)
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
