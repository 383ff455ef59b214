"""What can go wrong, in the user's words: one sentence naming the field, the value and what is allowed."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from typing import Any

LARGEST, SMALLEST = 1e30, 1e-30  # of parameters: the fourth power of their product is still a number


class InputError(ValueError):
    """The input is bad; nothing was computed and nothing was written (exit code 2)."""


class InUse(InputError):
    """Another process writes in the directory (exit code 2)."""


class RunError(RuntimeError):
    """The run failed after it began; the message says what is saved and how to resume (exit code 1)."""


class Interrupted(KeyboardInterrupt):
    """Somebody stopped the run; the message says what is saved and how to resume (exit code 130)."""

    exit_code, word = 130, "interrupted"  # the code is what shells expect of a command that the signal stopped


class Terminated(Interrupted):
    """SIGTERM, as a cluster sends it at the end of the time, stopped the run; the message says the same (143)."""

    exit_code, word = 143, "terminated"


def stopped(error: KeyboardInterrupt) -> type[Interrupted]:
    """The kind of interruption."""
    return type(error) if isinstance(error, Interrupted) else Interrupted


def require(condition: bool, name: str, value: Any, allowed: str) -> None:
    """Raise InputError('name = value: must be allowed') unless the condition holds."""
    if not condition:
        raise InputError(f"{name} = {value}: must be {allowed}")


def positive(name: str, value: float) -> None:
    """Raise InputError unless value is a finite number > 0 that can be computed with."""
    require(isinstance(value, (int, float)) and math.isfinite(value) and value > 0, name, value, "a finite number > 0")
    require(SMALLEST <= value <= LARGEST, name, value, f"between {SMALLEST:g} and {LARGEST:g}")


def finite(name: str, value: float) -> None:
    """Raise InputError unless value is a finite number that can be computed with."""
    require(isinstance(value, (int, float)) and math.isfinite(value), name, value, "a finite number")
    not_huge(name, value)


def not_huge(name: str, value: float) -> None:
    """Raise InputError for a number whose powers are none."""
    require(abs(value) <= LARGEST, name, value, f"between {-LARGEST:g} and {LARGEST:g}")


def at_least(name: str, value: int, smallest: int) -> None:
    """Raise InputError unless value is an integer >= smallest."""
    require(isinstance(value, int) and value >= smallest, name, value, f"an integer >= {smallest}")


def at_most(name: str, value: int, largest: int) -> None:
    """Raise InputError unless value is <= largest."""
    require(value <= largest, name, value, f"at most {largest}")


def one_of(name: str, value: str, allowed: Iterable[str]) -> None:
    """Raise InputError unless value is one of the allowed words, suggesting the nearest."""
    words = sorted(allowed)
    if value not in words:
        raise InputError(f"{name} = {value}: must be one of {', '.join(words)}{did_you_mean(value, words)}")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """' (did you mean ...?)' for the nearest known word, or nothing."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""
