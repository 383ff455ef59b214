"""What a report says of how its run was made: the system in words, options, machine, the command that repeats it."""

from __future__ import annotations

import inspect
import shlex
from pathlib import Path
from typing import Any, NamedTuple

from massieu.methods.method import method_of
from massieu.runs.directory import name_of, read_content
from massieu.systems.base import AbstractSystem
from massieu.systems.table import SYSTEMS, parameters


class About(NamedTuple):
    """The system in words; rows of name and value; the command, empty where a script made the run."""

    what: str
    rows: list[list[str]]
    command: str


def about(folder: Path, system: AbstractSystem | None) -> About:
    """Of a run directory and its system, where that is known."""
    content = read_content(folder)
    given, name = dict(content.get("config") or {}), str(content.get("system", ""))
    usual = _defaults(system)
    changed = {k: v for k, v in given.items() if v is not None and v != usual.get(k)}
    rows = [["options other than the defaults", ", ".join(f"{k} = {v}" for k, v in changed.items()) or "none"]]
    rows += [[k, str(v)] for k, v in (content.get("provenance") or {}).items()]
    words = "a system of your own" if system is None else system.summary or _first_line(type(system))
    own = {k: v for k, v in (content.get("start") or {}).items() if v is not None}
    known = name in SYSTEMS and system is not None and name_of(system) == name
    if not known or "density" in own or "optimiser" in own:
        return About(words, rows, "")
    usual = {k: field.default for k, field in parameters(system).items()}
    flags = {k: v for k, v in (content.get("parameters") or {}).items() if v is not None and v != usual.get(k)}
    return About(words, rows, " ".join(["massieu run", name, *_flags(flags), *_flags(changed)]))


def _defaults(system: AbstractSystem | None) -> dict[str, Any]:
    return {} if system is None else method_of(system).configure(system).as_dict()


def _flags(values: dict[str, Any]) -> list[str]:
    words = {True: "true", False: "false"}
    shown = {k: words[v] if isinstance(v, bool) else shlex.quote(str(v)) for k, v in values.items()}
    return [f"--{k.replace('_', '-')} {v}" for k, v in shown.items()]


def _first_line(kind: type) -> str:
    text = inspect.cleandoc(kind.__doc__ or kind.__name__)
    return text.splitlines()[0].rstrip(".")
