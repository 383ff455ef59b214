"""Options of quantum particles: sampler, natural gradients, mixing of determinants."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from massieu.methods.options import Options, option


@dataclasses.dataclass(frozen=True)
class SampledOptions(Options):
    """What all share whose local energies are regressed on scores: natural gradient, sampler, clipping."""

    method: str = option("auto", "natural gradient: sr, minsr, spring or auto")
    sampler: str = option("direct", "positions: direct (independent), mala or metropolis chains")
    moves: int = option(10, "mala, metropolis: steps of every chain between updates")
    clip_energy: float = option(5.0, "energies further from the median are moved to this many deviations")

    LEAST: ClassVar[dict[str, int]] = {"moves": 1}
    POSITIVE: ClassVar[tuple[str, ...]] = ("clip_energy",)
    WORDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "method": ("auto", "sr", "minsr", "spring"),
        "sampler": ("direct", "mala", "metropolis"),
    }


@dataclasses.dataclass(frozen=True)
class ParticleOptions(SampledOptions):
    """How to train a density matrix of electrons, or of other particles."""

    states: str = option(
        "flow",
        "electrons in a box: correlated (Jastrow factor; default where its F is lower) or flow (orthonormal)",
    )
    backflow: bool | None = option(
        None, "correlated states: backflow (default: for more than six electrons, unless hot: a flow of depth 2)"
    )
    walkers: int = option(8, "correlated states: Markov chains for each set K")
    learning_rate: float | None = option(None, "factor of the natural gradients' rates (default: 1), or Adam's rate")
    attention: int = option(0, "attention layers of p(K) on top of shells and pairs")
    accumulate: int = option(1, "batches drawn for one update")
    remix: int = option(
        50, "step at which determinants are mixed anew, again at doublings up to half the steps; 0: never"
    )
    finite_size: bool = option(False, "electron gas: state finite-size corrections beside the results")

    LEAST: ClassVar[dict[str, int]] = {**SampledOptions.LEAST, "accumulate": 1, "attention": 0, "remix": 0,
                                       "walkers": 2}  # fmt: skip
    WORDS: ClassVar[dict[str, tuple[str, ...]]] = {**SampledOptions.WORDS, "states": ("flow", "correlated")}
