"""The typed configuration of a run: one frozen dataclass, validated before anything is computed."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from massieu import estimators
from massieu.errors import at_least, one_of, positive, require

OF_SPINS = ("blanket", "made", "transformer", "pixelcnn", "rnn", "product")
OF_FIELDS = ("neural-rg", "realnvp", "spline", "continuous", "monge-ampere", "diffusion")
CIRCUITS = ("auto", "spin", "number", "real", "general", "hardware-efficient", "qaoa")
DENSITIES = ("auto", "table", *OF_SPINS, *OF_FIELDS)


def option(default: Any, text: str, only: str = "classical particles qubits atoms") -> Any:
    """A field of the configuration with its line of help; only: the kinds of systems that have a use for it."""
    return dataclasses.field(default=default, metadata={"help": text, "only": only.split()})


@dataclasses.dataclass(frozen=True)
class Config:
    """How to train and evaluate; the same fields in Python, on the command line and in config.yaml."""

    steps: int = option(400, "training steps")
    batch: int = option(1024, "samples a step")
    seed: int = option(0, "seed of everything random in the run")
    density: str = option(
        "auto",
        f"auto; of spins {', '.join(OF_SPINS)}; of fields {', '.join(OF_FIELDS)}; of qubits table (the best of all), "
        "made, transformer, rnn, product",
        only="classical qubits",
    )
    circuit: str = option(
        "auto",
        "gates of qubits: general, real, number or spin (by what they keep; auto: as H does), hardware-efficient, qaoa",
        only="qubits",
    )
    width: int | None = option(None, "width of the network's layers (default: its own)")
    depth: int | None = option(None, "number of layers (default: the network's own)")
    symmetrise: bool = option(False, "average the density over all spin reversal (Z2) exactly", only="classical")
    gradient: str = option(
        "score",
        "score, pathwise (path derivative only), pathwise-total, measure, or a combination such as score+pathwise",
        only="classical",
    )
    optimiser: str = option("auto", "auto, natural or adam")
    learning_rate: float | None = option(
        None, "peak learning rate (default: 0.05 natural, 0.003 adam; quantum natural, and hydrogen: factor, 1)"
    )
    trust: float = option(0.3, "largest step of the natural gradient in the Fisher metric", only="classical")
    fisher_batch: int | None = option(
        None, "samples a step for the Fisher matrix (default: the batch, memory permitting)", only="classical"
    )
    clip_force: float = option(
        8.0, "pathwise: shorten the pull on a sample to this many times the median", only="classical"
    )
    clip: float = option(10.0, "Adam: largest global norm of the gradient of beta F (hydrogen: of F)")
    anneal: float = option(
        0.5,
        "fraction of the steps over which beta rises to its value (qubits: at beta_start); 0: no annealing",
        only="classical qubits",
    )
    beta_start: float | None = option(
        None, "beta at the first step when annealing (default: a tenth of beta; qubits: half)", only="classical qubits"
    )
    range: str | None = option(
        None, "one density for a range of a parameter, NAME:LOW:HIGH, e.g. beta:0.2:0.6", only="classical"
    )
    data: str | None = option(
        None, "train by example too: .npy file of configurations (M, *shape) of the system", only="classical"
    )
    data_weight: float = option(0.5, "share of the data's -ln p in the loss, the rest is beta F", only="classical")
    target_error: float = option(0.0, "stop training once beta Var(F_loc) / 2 < target_error |F|; 0: never")
    precision: str = option(
        "float64", "precision of the training, float64 or float32; evaluation is float64", only="classical"
    )
    attention: int = option(0, "quantum: attention layers of p(K) on top of shells and pairs", only="particles")
    method: str = option("auto", "quantum natural gradient: sr, minsr, spring or auto", only="particles atoms")
    sampler: str = option(
        "direct",
        "positions of quantum particles: direct (independent), mala or metropolis chains",
        only="particles atoms",
    )
    moves: int = option(10, "mala, metropolis: steps of every chain between updates", only="particles atoms")
    walkers: int = option(8, "hydrogen: electron walkers of each proton configuration", only="atoms")
    determinants: int = option(1, "hydrogen: determinants of the electrons' state", only="atoms")
    tune: bool = option(True, "hydrogen: tune the protons' density on screened charges first", only="atoms")
    clip_energy: float = option(
        5.0, "quantum: energies further from the median are moved to this many deviations", only="particles atoms"
    )
    accumulate: int = option(1, "quantum: batches drawn for one update", only="particles")
    remix: int = option(
        50,
        "quantum: step at which determinants are mixed anew, again at doublings up to half the steps; 0: never",
        only="particles",
    )
    checkpoint_every: int = option(25, "steps between checkpoints")
    samples: int = option(20000, "samples of the final evaluation")
    finite_size: bool = option(
        False, "electron gas: state finite-size corrections beside the results", only="particles"
    )
    reference: bool = option(True, "compute the exact or independent values to compare with")

    def __post_init__(self) -> None:
        for name, smallest in (("steps", 1), ("batch", 8), ("seed", 0), ("checkpoint_every", 1), ("samples", 100)):
            at_least(name, getattr(self, name), smallest)
        require(self.seed < 2**62, "seed", self.seed, "less than 2^62")
        require(self.batch % 4 == 0, "batch", self.batch, "a multiple of 4")
        one_of("density", self.density, DENSITIES)
        one_of("circuit", self.circuit, CIRCUITS)
        terms = estimators.parse(self.gradient)
        if len(terms) > 1 and terms[0][0] is None:
            smallest = 8 * estimators.PARTS
            allowed = f"a multiple of {smallest} for gradient = {self.gradient} without weights"
            require(self.batch % smallest == 0, "batch", self.batch, allowed)
        one_of("optimiser", self.optimiser, ("auto", "natural", "adam"))
        one_of("method", self.method, ("auto", "sr", "minsr", "spring"))
        one_of("sampler", self.sampler, ("direct", "mala", "metropolis"))
        at_least("accumulate", self.accumulate, 1)
        at_least("moves", self.moves, 1)
        at_least("walkers", self.walkers, 2)
        at_least("determinants", self.determinants, 1)
        at_least("attention", self.attention, 0)
        at_least("remix", self.remix, 0)
        one_of("precision", self.precision, ("float32", "float64"))
        for name in ("width", "depth", "fisher_batch"):
            if getattr(self, name) is not None:
                at_least(name, getattr(self, name), 1)
        for name in ("learning_rate", "beta_start"):
            if getattr(self, name) is not None:
                positive(name, getattr(self, name))
        for name in ("trust", "clip", "clip_force", "clip_energy"):
            positive(name, getattr(self, name))
        for name in ("anneal", "data_weight"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "between 0 and 1")
        ok = math.isfinite(self.target_error) and self.target_error >= 0
        require(ok, "target_error", self.target_error, "a finite number >= 0")

    def as_dict(self) -> dict[str, Any]:
        """Plain values by name."""
        return dataclasses.asdict(self)
