"""Files that survive a crash: atomic writes, and checkpoints that are the whole training state and nothing else."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from massieu.errors import RunError
from massieu.methods.training import TrainState
from massieu.strict_json import to_json

KEPT = 2
SINCE_0_2 = ("class", "parameters_hash")  # of the identity: checkpoints of 0.1.0 do not have them


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file in full or not at all: a temporary file in the same folder, flushed to disk, then renamed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:  # an interruption too
        temporary.unlink(missing_ok=True)
        raise


def save(folder: Path, state: TrainState, meta: dict[str, Any], name: str | None = None) -> None:
    """Save a state as step-NNNNNNNN.npz (or `name`), keeping the newest two of the numbered ones."""
    arrays = {path: np.asarray(leaf) for path, leaf in _leaves(state)}
    buffer = io.BytesIO()
    np.savez(buffer, **(arrays | {"meta": np.array(to_json(meta, sort_keys=True))}))  # type: ignore[arg-type]
    write_atomically(folder / (name or f"step-{int(state.step):08d}.npz"), buffer.getvalue())
    if name is None:
        for old in sorted(folder.glob("step-*.npz"))[:-KEPT]:
            old.unlink()


def steps_saved(folder: Path) -> int | None:
    """The steps of the newest checkpoint by its name, None where there is none."""
    names = sorted(path.stem for path in folder.glob("step-*.npz"))
    return int(names[-1].removeprefix("step-")) if names else None


def load_newest(
    folder: Path, like: TrainState, identity: dict[str, Any]
) -> tuple[TrainState, dict[str, Any], list[str]]:
    """The newest readable checkpoint, its meta data, and the names of newer ones that could not be read.

    RunError if there is none, or if it belongs to another system, other parameters or another density.
    """
    damaged: list[str] = []
    for path in sorted(folder.glob("step-*.npz"), reverse=True):
        found = _read(path)
        if found is None:
            damaged.append(path.name)
            continue
        arrays, meta = found
        theirs = meta.get("identity") or {}
        mine = {k: v for k, v in identity.items() if k in theirs or k not in SINCE_0_2}
        if "parameters" in theirs:  # others that a later version has do not count unless they are given
            given = {k: v for k, v in mine["parameters"].items() if k in theirs["parameters"] or v is not None}
            mine["parameters"] = given
        if theirs != mine:
            raise RunError(f"{path}: this checkpoint is of {theirs}, not of {mine}; nothing was changed")
        return _restore(path, arrays, like), meta, damaged
    detail = f"{', '.join(damaged)} cannot be read (truncated?)" if damaged else "there is no checkpoint"
    raise RunError(f"{folder}: cannot resume, {detail}; nothing was changed")


def with_parameters_of(folder: Path, like: TrainState, carried: tuple[str, ...] = (".params",)) -> TrainState | None:
    """`like` with the leaves whose names start so, and nothing else, of the newest readable checkpoint.

    None if there is none, or if these have other names or shapes there.
    """
    readable = (found for path in sorted(folder.glob("step-*.npz"), reverse=True) if (found := _read(path)))
    arrays = next(((arrays for arrays, _ in readable)), {})
    wanted = {name: leaf.shape for name, leaf in _leaves(like) if name.startswith(carried)}
    held = {name: array for name, array in arrays.items() if name.startswith(carried)}
    if not held or wanted != {name: array.shape for name, array in held.items()}:
        return None
    leaves = [jnp.asarray(held.get(name, leaf), leaf.dtype) for name, leaf in _leaves(like)]
    plain = like._replace(key=jax.random.key_data(like.key))
    return jax.tree.unflatten(jax.tree.structure(plain), leaves)._replace(key=like.key)


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """Arrays and meta data of a checkpoint, or None if it cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return arrays, json.loads(str(arrays.pop("meta")))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, json.JSONDecodeError):
        return None


def _leaves(state: TrainState) -> list[tuple[str, Any]]:
    """(path, array) of every leaf; the random key as its raw data."""
    plain = state._replace(key=jax.random.key_data(state.key))
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(plain)]


def _restore(path: Path, arrays: dict[str, np.ndarray], like: TrainState) -> TrainState:
    plain = like._replace(key=jax.random.key_data(like.key))
    wanted = _leaves(like)
    if {name: leaf.shape for name, leaf in wanted} != {name: array.shape for name, array in arrays.items()}:
        raise RunError(f"{path}: this checkpoint holds other arrays than the density of this run; nothing was changed")
    leaves = [jnp.asarray(arrays[name], leaf.dtype) for name, leaf in wanted]
    state = jax.tree.unflatten(jax.tree.structure(plain), leaves)
    return state._replace(key=jax.random.wrap_key_data(state.key))
