"""The reference beside the training: both take long, neither needs the other."""

from __future__ import annotations

import threading

from massieu.precision import double_precision
from massieu.progress import Progress
from massieu.systems.base import AbstractSystem, Reference

NAME = "massieu-reference"  # of the thread
AT_ONCE = 0.5  # seconds after which a reference is no longer waited for


class ReferenceBeside:
    """The reference of a system, computed in a thread, which the end of a process waits for."""

    def __init__(self, system: AbstractSystem, seed: int, progress: Progress, shown: bool = True):
        """shown: beside F of every step, which it is to be compared with."""
        self._found: Reference | None = None
        self._error: Exception | None = None
        self._progress, self._shown = progress, shown
        self._thread = threading.Thread(target=self._compute, args=(system, seed), name=NAME)
        self._thread.start()
        self._thread.join(AT_ONCE if system.reference_beside else None)
        if self._thread.is_alive():
            progress.say("the reference is computed beside the training")

    def _compute(self, system: AbstractSystem, seed: int) -> None:
        try:
            with double_precision():  # which is each thread's own
                self._found = system.known(seed)
        except Exception as error:  # told where the result is asked for
            self._error = error
            return
        best = None if self._found is None else self._found.best
        if best is not None:
            self._progress.say(f"reference F {best.F}  ({best.method})")
            if self._shown and hasattr(self._progress, "reference"):
                self._progress.reference = best.F

    def result(self) -> Reference | None:
        """The reference, waited for; None, and said, where it failed: the run is worth keeping without it."""
        if self._thread.is_alive():
            self._progress.say("waiting for the reference")
        self._thread.join()
        if self._error is not None:
            self._progress.say(f"the reference failed: {self._error}")
        return self._found
