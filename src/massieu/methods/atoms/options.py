"""Options of atoms: walkers of the electrons, their determinants, how the protons' density starts."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from massieu.methods.options import option
from massieu.methods.particles.options import SampledOptions


@dataclasses.dataclass(frozen=True)
class AtomOptions(SampledOptions):
    """How to train a density of protons with electrons that follow them."""

    learning_rate: float | None = option(None, "factor of all learning rates (default: 1)")
    clip: float = option(10.0, "Adam: largest global norm of the gradient of F")
    sampler: str = option("direct", "chains of the electrons: mala or metropolis")
    states: str | None = option(
        None, "thermal electrons: correlated (Jastrow factor and backflow; default) or flow (orthonormal)"
    )
    walkers: int = option(8, "electron walkers of each proton configuration")
    determinants: int = option(1, "determinants of the electrons' state")
    tune: bool = option(True, "tune the protons' density on screened charges first")

    LEAST: ClassVar[dict[str, int]] = {**SampledOptions.LEAST, "walkers": 2, "determinants": 1}
