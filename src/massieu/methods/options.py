"""The options that every kind of matter shares: a frozen dataclass, checked before anything is computed.

The options of one kind are a subclass in its folder; command line, config.yaml and messages follow from the fields.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar, Self

from massieu.errors import at_least, at_most, one_of, positive, require


def option(default: Any, text: str) -> Any:
    """A field of the options with its line of help."""
    return dataclasses.field(default=default, metadata={"help": text})


@dataclasses.dataclass(frozen=True)
class Options:
    """How to train and evaluate; the same fields in Python, on the command line and in config.yaml."""

    steps: int = option(400, "training steps")
    batch: int = option(1024, "samples a step")
    seed: int = option(0, "seed of everything random in the run")
    width: int | None = option(None, "width of the network's layers (default: its own)")
    depth: int | None = option(None, "number of layers (default: the network's own)")
    optimiser: str = option("auto", "auto, natural or adam")
    learning_rate: float | None = option(None, "peak learning rate (default: the optimiser's own)")
    clip: float = option(10.0, "Adam: largest global norm of the gradient of beta F")
    target_error: float = option(0.0, "stop training once beta Var(F_loc) / 2 < target_error |F|; 0: never")
    checkpoint_every: int = option(25, "steps between checkpoints")
    samples: int = option(20000, "samples of the final evaluation")
    reference: bool = option(True, "compute the exact or independent values to compare with")

    LEAST: ClassVar[dict[str, int]] = {"steps": 1, "batch": 8, "seed": 0, "checkpoint_every": 1, "samples": 100,
                                       "width": 1, "depth": 1}  # fmt: skip
    MOST: ClassVar[dict[str, int]] = {
        "steps": 2**31 - 1,
        "batch": 2**24,
        "samples": 2**40,
        "width": 2**16,
        "depth": 2**12,
    }
    POSITIVE: ClassVar[tuple[str, ...]] = ("learning_rate", "clip")
    FRACTIONS: ClassVar[tuple[str, ...]] = ()
    SCHEDULED: ClassVar[tuple[str, ...]] = ()  # fractions of the steps
    WORDS: ClassVar[dict[str, tuple[str, ...]]] = {"optimiser": ("auto", "natural", "adam")}

    def __post_init__(self) -> None:
        for name, smallest in self._of_all("LEAST").items():
            if getattr(self, name) is not None:
                at_least(name, getattr(self, name), smallest)
        for name, largest in self._of_all("MOST").items():
            if getattr(self, name) is not None:
                at_most(name, getattr(self, name), largest)
        require(self.seed < 2**62, "seed", self.seed, "less than 2^62")
        require(self.batch % 4 == 0, "batch", self.batch, "a multiple of 4")
        for name, words in self._of_all("WORDS").items():
            one_of(name, getattr(self, name), words)
        for name in (*Options.POSITIVE, *self.POSITIVE):
            if getattr(self, name) is not None:
                positive(name, getattr(self, name))
        for name in self.FRACTIONS:
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "between 0 and 1")
        ok = math.isfinite(self.target_error) and self.target_error >= 0
        require(ok, "target_error", self.target_error, "a finite number >= 0")

    def _of_all(self, table: str) -> dict[str, Any]:
        """The common entries of a table of checks, and those of this kind of matter."""
        return {**getattr(Options, table), **getattr(type(self), table)}

    def further(self, steps: int) -> Self:
        """Trained up to `steps` in the place of its own: what is scheduled over a fraction of them is not longer."""
        shrunk = {name: getattr(self, name) * min(1.0, self.steps / steps) for name in self.SCHEDULED}
        return dataclasses.replace(self, steps=steps, **shrunk)

    def as_dict(self) -> dict[str, Any]:
        """Plain values by name."""
        return dataclasses.asdict(self)
