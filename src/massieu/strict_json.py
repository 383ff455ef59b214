"""JSON as its standard has it, in every file and on every output: a number that is none is null."""

from __future__ import annotations

import json
import math
from typing import Any


def to_json(content: Any, indent: int | None = None, sort_keys: bool = False) -> str:
    """The text; nan and inf, of errors that are withheld and chains that stand still, become null."""
    return json.dumps(_plain(content), indent=indent, sort_keys=sort_keys, allow_nan=False)


def from_json(text: str) -> Any:
    """What the text says; a null among the values and errors of an estimate is nan again, as its readers expect."""
    return json.loads(text, object_hook=_estimate)


def _plain(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _plain(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_plain(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _estimate(entry: dict[str, Any]) -> dict[str, Any]:
    if {"value", "error"} <= set(entry):
        return entry | {name: _numbers(entry[name]) for name in ("value", "error")}
    return entry


def _numbers(value: Any) -> Any:
    return [_numbers(v) for v in value] if isinstance(value, list) else math.nan if value is None else value
