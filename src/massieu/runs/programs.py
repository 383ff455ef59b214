"""Training steps kept between runs, beside the compiled programs: a run that was started before traces nothing anew.

jax keeps what XLA compiles; the way there, from Python to a program, takes as long for small systems.  A step is kept
as StableHLO under a digest of all that it depends on: the library's sources, jax, the system with everything that its
parameters gave, options and beta.  What the digest cannot see is traced as ever: classes and densities of one's own,
files of examples, functions that run on the host.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

import massieu
from massieu.methods.options import Options
from massieu.methods.training import Problem, Step, TrainState
from massieu.runs.checkpoint import write_atomically
from massieu.strict_json import to_json
from massieu.systems.base import AbstractSystem
from massieu.systems.table import PLACES, place_of

TRACED = ("jax", "jaxlib", "equinox", "optax", "flowjax", "diffrax", "paramax", "numpy")  # packages in a step
KEPT = 200  # programs, the newest
OUTSIDE = ("samples", "checkpoint_every", "reference", "target_error", "finite_size")  # options that no step sees


def kept(training: Problem, system: AbstractSystem, beta: float, options: Options) -> Problem:
    """The problem with its step from the cache, or put there; unchanged where there is no cache or no digest."""
    folder = jax.config.values["jax_compilation_cache_dir"]
    if not folder or place_of(type(system)) not in PLACES.values() or getattr(options, "data", None) is not None:
        return training
    if jax.config.values["jax_default_device"] is not None:  # programs are made for the backend's own
        return training
    leaves = _flat(training.start)
    path = Path(folder) / "steps" / f"{_digest(system, beta, options, leaves)}.bin"
    program = _read(path) or _written(path, training)
    return training if program is None else training._replace(step=_as_step(*program, training.start))


def _as_step(program: Any, names: list[str], start: TrainState) -> Step:
    run, structure, count = jax.jit(program.call), jax.tree.structure(_plain(start)), len(jax.tree.leaves(start))

    def step(state: TrainState) -> tuple[TrainState, dict[str, Any]]:
        found = run(_flat(state))
        new = jax.tree.unflatten(structure, found[:count])
        return new._replace(key=jax.random.wrap_key_data(new.key)), dict(zip(names, found[count:], strict=True))

    return step


def _written(path: Path, training: Problem) -> tuple[Any, list[str]] | None:
    """The step as a program; None where it cannot be one."""
    start = training.start
    names: list[str] = []

    def flat(leaves: list[Any]) -> list[Any]:
        state = jax.tree.unflatten(jax.tree.structure(_plain(start)), leaves)
        new, metrics = training.step(state._replace(key=jax.random.wrap_key_data(state.key)))
        names[:] = metrics
        kinds = (leaf.dtype for leaf in leaves)
        same = [leaf.astype(kind) for leaf, kind in zip(jax.tree.leaves(_plain(new)), kinds, strict=True)]
        return [*same, *metrics.values()]

    try:
        program = export.export(jax.jit(flat))(_flat(start))
        head = to_json(names).encode()
        content = len(head).to_bytes(4, "little") + head + bytes(program.serialize())
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
        for old in sorted(path.parent.glob("*.bin"), key=lambda file: file.stat().st_mtime)[:-KEPT]:
            old.unlink(missing_ok=True)
    except Exception:  # calls to the host, a cache that cannot be written, ..; what is wrong with a step it says itself
        return None
    return program, names


def _read(path: Path) -> tuple[Any, list[str]] | None:
    try:
        content = path.read_bytes()
        size = int.from_bytes(content[:4], "little")
        return export.deserialize(bytearray(content[4 + size :])), json.loads(content[4 : 4 + size])
    except Exception:  # missing, cut short, or of another version of the format
        return None


def _plain(state: TrainState) -> TrainState:
    return state._replace(key=jax.random.key_data(state.key))


def _flat(state: TrainState) -> list[Any]:
    """The arrays of a state; none of them of a weak type, which would be another program."""
    return [x if isinstance(x, jax.Array) and not x.weak_type else jnp.asarray(np.asarray(x))
            for x in jax.tree.leaves(_plain(state))]  # fmt: skip


# ---- the digest


def _digest(system: AbstractSystem, beta: float, options: Options, leaves: list[Any]) -> str:
    of_step = {name: value for name, value in options.as_dict().items() if name not in OUTSIDE}
    leaf_kinds = [(leaf.shape, str(leaf.dtype)) for leaf in leaves]
    around = (
        jax.__version__,
        jax.default_backend(),
        jax.config.values["jax_enable_x64"],
        os.environ.get("XLA_FLAGS", ""),
    )
    parts: Iterable[Any] = (
        _sources(), around, place_of(type(system)), beta, of_step, leaf_kinds,
        jax.tree.structure(system), *jax.tree.leaves(system),
    )  # fmt: skip
    digest = hashlib.sha256()
    for part in parts:
        is_array = isinstance(part, (np.ndarray, jax.Array))
        digest.update((_bytes(np.asarray(part)) if is_array else repr(part).encode()) + b";")
    return digest.hexdigest()[:32]


def _bytes(array: np.ndarray) -> bytes:
    return f"{array.dtype}{array.shape}".encode() + array.tobytes()


@cache
def _sources() -> str:
    """A digest of the library itself."""
    digest = hashlib.sha256()
    folder = Path(massieu.__file__).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()
