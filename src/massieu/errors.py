"""What can go wrong, in the user's words: one sentence naming the field, the value and what is allowed."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from typing import Any


class InputError(ValueError):
    """The input is bad; nothing was computed and nothing was written (exit code 2)."""


class RunError(RuntimeError):
    """The run failed after it began; the message says what is saved and how to resume (exit code 1)."""


def require(condition: bool, name: str, value: Any, allowed: str) -> None:
    """Raise InputError('name = value: must be allowed') unless the condition holds."""
    if not condition:
        raise InputError(f"{name} = {value}: must be {allowed}")


def positive(name: str, value: float) -> None:
    """Raise InputError unless value is a finite number > 0."""
    require(isinstance(value, (int, float)) and math.isfinite(value) and value > 0, name, value, "a finite number > 0")


def finite(name: str, value: float) -> None:
    """Raise InputError unless value is a finite number."""
    require(isinstance(value, (int, float)) and math.isfinite(value), name, value, "a finite number")


def at_least(name: str, value: int, smallest: int) -> None:
    """Raise InputError unless value is an integer >= smallest."""
    require(isinstance(value, int) and value >= smallest, name, value, f"an integer >= {smallest}")


def one_of(name: str, value: str, allowed: Iterable[str]) -> None:
    """Raise InputError unless value is one of the allowed words, suggesting the nearest."""
    words = sorted(allowed)
    if value not in words:
        raise InputError(f"{name} = {value}: must be one of {', '.join(words)}{did_you_mean(value, words)}")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """' (did you mean ...?)' for the nearest known word, or nothing."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""
