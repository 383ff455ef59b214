"""Options of atoms: walkers of the electrons, their determinants, how the protons' density starts."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from massieu.methods.options import Options, option
from massieu.methods.particles.options import METHODS, SAMPLERS


@dataclasses.dataclass(frozen=True)
class AtomOptions(Options):
    """How to train a density of protons with electrons that follow them."""

    learning_rate: float | None = option(None, "factor of all learning rates (default: 1)")
    clip: float = option(10.0, "Adam: largest global norm of the gradient of F")
    method: str = option("auto", "natural gradient of the electrons: sr, minsr, spring or auto")
    sampler: str = option("direct", "chains of the electrons: mala or metropolis")
    moves: int = option(10, "steps of every chain between updates")
    walkers: int = option(8, "electron walkers of each proton configuration")
    determinants: int = option(1, "determinants of the electrons' state")
    tune: bool = option(True, "tune the protons' density on screened charges first")
    clip_energy: float = option(5.0, "energies further from the median are moved to this many deviations")

    LEAST: ClassVar[dict[str, int]] = {"moves": 1, "walkers": 2, "determinants": 1}
    POSITIVE: ClassVar[tuple[str, ...]] = ("clip_energy",)
    WORDS: ClassVar[dict[str, tuple[str, ...]]] = {"method": METHODS, "sampler": SAMPLERS}
