"""Options of classical matter: which density, which gradient, how it is annealed."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from massieu.errors import require
from massieu.methods.options import Options, option

OF_SPINS = ("blanket", "made", "transformer", "pixelcnn", "rnn", "product")
OF_STATES = ("blanket", "made")
OF_ANGLES = ("blanket", "circular-spline")
OF_OWN = ("made", "transformer", "rnn", "product", "realnvp", "spline", "neural-ode", "monge-ampere", "circular-spline")
CONTINUOUS = tuple(name for name in OF_OWN if name not in OF_SPINS)
OF_FIELDS = ("neural-rg", "realnvp", "spline", "continuous", "monge-ampere", "diffusion")


@dataclasses.dataclass(frozen=True)
class ClassicalOptions(Options):
    """How to train a density of configurations."""

    density: str = option(
        "auto",
        f"auto; of spins {', '.join(OF_SPINS)}; of q states {', '.join(OF_STATES)}; of fields {', '.join(OF_FIELDS)}; "
        f"of angles {', '.join(OF_ANGLES)}; of systems of your own {', '.join(OF_OWN)}",
    )
    symmetrise: bool = option(False, "average the density over all spin reversal (Z2) exactly")
    gradient: str = option(
        "score",
        "score, pathwise (path derivative only), pathwise-total, measure, or a combination such as score+pathwise"
        " (of densities of reals by name, or of flowjax: pathwise)",
    )
    learning_rate: float | None = option(None, "peak learning rate (default: 0.05 natural, 0.003 adam)")
    trust: float = option(0.3, "largest step of the natural gradient in the Fisher metric")
    fisher_batch: int | None = option(
        None, "samples a step for the Fisher matrix (default: the batch, memory permitting)"
    )
    clip_force: float = option(8.0, "pathwise: shorten the pull on a sample to this many times the median")
    anneal: float = option(0.5, "fraction of the steps over which beta rises to its value; 0: no annealing")
    beta_start: float | None = option(None, "beta at the first step when annealing (default: a tenth of beta)")
    range: str | None = option(None, "one density for a range of a parameter, NAME:LOW:HIGH, e.g. beta:0.2:0.6")
    data: str | None = option(None, "train by example too: .npy file of configurations (M, *shape) of the system")
    data_weight: float = option(0.5, "share of the data's -ln p in the loss, the rest is beta F")
    precision: str = option("float64", "precision of the training, float64 or float32; evaluation is float64")

    LEAST: ClassVar[dict[str, int]] = {"fisher_batch": 1}
    POSITIVE: ClassVar[tuple[str, ...]] = ("beta_start", "trust", "clip_force")
    FRACTIONS: ClassVar[tuple[str, ...]] = ("anneal", "data_weight")
    SCHEDULED: ClassVar[tuple[str, ...]] = ("anneal",)
    WORDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "density": tuple(dict.fromkeys(("auto", *OF_SPINS, *OF_FIELDS, *OF_OWN))),
        "precision": ("float32", "float64"),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        from massieu import estimators  # needs jax, which other kinds of matter may not have loaded when they look here

        terms = estimators.parse(self.gradient)
        if len(terms) > 1 and terms[0][0] is None:
            smallest = 8 * estimators.PARTS
            allowed = f"a multiple of {smallest} for gradient = {self.gradient} without weights"
            require(self.batch % smallest == 0, "batch", self.batch, allowed)
