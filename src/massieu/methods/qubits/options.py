"""Options of qubits: gates of the circuit, density of the bits, annealing."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from massieu.methods.options import Options, option

CIRCUITS = ("auto", "spin", "number", "real", "general", "hardware-efficient", "qaoa")
DENSITIES = ("auto", "table", "made", "transformer", "rnn", "product")


@dataclasses.dataclass(frozen=True)
class QubitOptions(Options):
    """How to train an ensemble of circuit states."""

    density: str = option("auto", f"p of the bits: {', '.join(DENSITIES)} (table: the best of all)")
    circuit: str = option(
        "auto", "gates: general, real, number or spin (by what they keep; auto: as H does), hardware-efficient, qaoa"
    )
    anneal: float = option(0.5, "fraction of the steps at beta_start; 0: no annealing")
    beta_start: float | None = option(None, "beta of the first steps when annealing (default: half)")

    POSITIVE: ClassVar[tuple[str, ...]] = ("beta_start",)
    FRACTIONS: ClassVar[tuple[str, ...]] = ("anneal",)
    SCHEDULED: ClassVar[tuple[str, ...]] = ("anneal",)
    WORDS: ClassVar[dict[str, tuple[str, ...]]] = {"density": DENSITIES, "circuit": CIRCUITS}
