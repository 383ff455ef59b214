"""What a run shows while it works: a live line in a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import sys
import time
from typing import Any, Protocol

from massieu.principle import Estimate

PLAIN_INTERVAL = 5.0  # seconds between plain lines


class Progress(Protocol):
    """Told of every step, and of the stages before and after."""

    def say(self, text: str) -> None:
        """One line of text."""

    def step(self, step: int, steps: int, row: dict[str, float]) -> None:
        """The metrics of a finished step (1 .. steps)."""

    def close(self) -> None:
        """No more steps."""


def _apart(beta: float, other: float) -> bool:
    """Whether these are two temperatures; rounding does not count."""
    return not math.isnan(other) and not math.isclose(beta, other, rel_tol=1e-9)


class Silent:
    """Shows nothing."""

    def say(self, text: str) -> None: ...

    def step(self, step: int, steps: int, row: dict[str, float]) -> None: ...

    def close(self) -> None: ...


class Lines:
    """step, F +- error, reference, ESS, rate and time left: every few seconds, or redrawn live in a terminal."""

    def __init__(self, reference: Estimate | None = None, stream: Any = None, interval: float = PLAIN_INTERVAL):
        self.stream = sys.stdout if stream is None else stream
        self.interval = interval  # seconds between lines; 0: a line for every step, in a terminal too
        self.reference, self.at_beta = reference, math.nan  # not nan: only there does the reference apply
        self.began = self.shown = time.monotonic()
        self.first: int | None = None
        self.bar: Any = None

    def say(self, text: str) -> None:
        print(text, file=self.stream, flush=True)

    def step(self, step: int, steps: int, row: dict[str, float]) -> None:
        now = time.monotonic()
        if self.first is None:  # the first step compiles: it does not count for the rate
            self.first, self.began = step, now
        text = self._line(step, row, now, steps)
        if self.stream.isatty() and self.interval:
            self._live(step, steps, text)
        elif now - self.shown >= self.interval or step == steps or step == self.first:
            self.shown = now
            self.say(f"step {step}/{steps}  {text}")

    def _line(self, step: int, row: dict[str, float], now: float, steps: int) -> str:
        rate = (step - (self.first or 0)) / max(now - self.began, 1e-9)
        left = f"{(steps - step) / rate:.0f} s left" if rate > 0 else "compiling"
        F, annealing = Estimate(row["F"], row["F_error"]), _apart(row["beta"], self.at_beta)
        reference = f"  reference {self.reference.value:.6g}" if self.reference and not annealing else ""
        beta = f"annealing to beta {self.at_beta:.4g}, at " * annealing + f"beta {row['beta']:.4g}"
        measure = (
            f"ESS {row['ess']:.3f}" if "ess" in row else f"Var {row['F_var']:.3g}  acceptance {row['acceptance']:.2f}"
        )
        return f"{beta}  F {F}{reference}  {measure}  {rate:.2f} steps/s  {left}"

    def _live(self, step: int, steps: int, text: str) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar

        if self.bar is None:
            self.bar = Bar(
                BarColumn(bar_width=20), MofNCompleteColumn(), TextColumn("{task.description}"), transient=True
            )
            self.bar.start()
            self.task = self.bar.add_task("", total=steps)
        self.bar.update(self.task, completed=step, description=text)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
