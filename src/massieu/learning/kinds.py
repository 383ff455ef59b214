"""What is fitted and how: configurations with a validation set held back, and the simple model to beat."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np
import scipy

from massieu import statistics
from massieu.errors import InputError, at_least, one_of, positive, require
from massieu.methods.options import option
from massieu.principle import Estimate

SPINS = ("made", "transformer", "rnn")
REALS = ("spline", "realnvp", "continuous", "monge-ampere", "diffusion")
ANGLES = ("circular-spline",)
EVALUATED = 5000  # at most, of each set, at the end


@dataclasses.dataclass(frozen=True)
class FitConfig:
    """How to fit; the same fields in Python and on the command line."""

    density: str = option(
        "auto", f"{', '.join(SPINS)} for spins; {', '.join(REALS)} for reals; {', '.join(ANGLES)} for radians"
    )
    steps: int = option(3000, "training steps of Adam")
    batch: int = option(256, "configurations a step")
    learning_rate: float = option(4e-3, "peak learning rate")
    width: int | None = option(None, "width of the layers (default: the density's own)")
    depth: int | None = option(None, "number of layers (default: the density's own)")
    validation: float = option(0.1, "fraction of the data held back")
    seed: int = option(0, "seed of everything random in the fit")

    def __post_init__(self) -> None:
        one_of("density", self.density, ("auto", *SPINS, *REALS, *ANGLES))
        for name, smallest in (("steps", 1), ("batch", 1), ("seed", 0)):
            at_least(name, getattr(self, name), smallest)
        for name in ("width", "depth"):
            if getattr(self, name) is not None:
                at_least(name, getattr(self, name), 1)
        positive("learning_rate", self.learning_rate)
        require(0 < self.validation < 0.9, "validation", self.validation, "a fraction between 0 and 0.9")


class Data(NamedTuple):
    """Shuffled configurations, (M, d) each, and what they are: "spins", "reals" or "angles"."""

    train: np.ndarray
    validation: np.ndarray
    kind: str


def read(data: np.ndarray, config: FitConfig) -> Data:
    """Split into training and validation set; InputError for data or a density that do not fit."""
    data = np.asarray(data, float)
    require(data.ndim == 2 and len(data) >= 20, "data", f"of shape {data.shape}", "at least 20 configurations (M, d)")
    require(bool(np.all(np.isfinite(data))), "data", "with NaN or infinity", "of finite numbers")
    kind = "angles" if config.density in ANGLES else "spins" if np.all(np.abs(data) == 1) else "reals"
    allowed = {"spins": SPINS, "reals": (*REALS, *ANGLES), "angles": ANGLES}[kind]
    if config.density != "auto" and config.density not in allowed:
        raise InputError(f"density = {config.density}: must be auto or one of {', '.join(allowed)} for {kind}")
    if kind == "angles":
        data = np.mod(data + np.pi, 2 * np.pi) - np.pi
    if kind != "spins":
        require(bool(np.all(data.std(axis=0) > 0)), "data", "with a constant column", "free of constant columns")
    shuffled = data[np.random.default_rng(config.seed).permutation(len(data))]
    held = max(2, round(config.validation * len(data)))
    return Data(shuffled[held:], shuffled[:held], kind)


def simple_model(data: Data) -> tuple[Estimate, str]:
    """-ln p of the validation set under independent spins, independent angles, or one Gaussian."""
    x = data.validation[:EVALUATED]
    if data.kind == "angles":
        laws = [scipy.stats.vonmises(*scipy.stats.vonmises.fit(column, fscale=1)) for column in data.train.T]
        each = sum(law.logpdf(column) for law, column in zip(laws, x.T, strict=True))
        return statistics.mean(-each), "independent angles (von Mises)"
    if data.kind == "spins":
        m = np.clip(data.train.mean(axis=0), -1 + 1e-6, 1 - 1e-6)
        return statistics.mean(-np.sum(np.log(0.5 * (1 + x * m)), axis=1)), "independent spins"
    centred = x - data.train.mean(axis=0)
    covariance = np.atleast_2d(np.cov(data.train.T)) + 1e-12 * np.eye(x.shape[1])
    quadratic = np.sum(centred * np.linalg.solve(covariance, centred.T).T, axis=1)
    constant = 0.5 * (np.linalg.slogdet(covariance)[1] + x.shape[1] * math.log(2 * math.pi))
    return statistics.mean(0.5 * quadratic + constant), "one Gaussian"
