"""What is fitted and how: configurations with a validation set held back, and the simple model to beat."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
import scipy

from massieu import statistics
from massieu.errors import InputError, at_least, one_of, positive, require
from massieu.methods.options import option
from massieu.principle import Estimate

SPINS = ("made", "transformer", "rnn")
REALS = ("spline", "realnvp", "continuous", "monge-ampere", "diffusion")
ANGLES = ("circular-spline",)
REAL = "reals"
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
    values: str | None = option(
        None,
        "the two values of a spin where they are not -1,1: 0,1; or reals, for integers that are no spins",
    )
    seed: int = option(0, "seed of everything random in the fit")

    def __post_init__(self) -> None:
        one_of("density", self.density, ("auto", *SPINS, *REALS, *ANGLES))
        for name, smallest in (("steps", 1), ("batch", 1), ("seed", 0)):
            at_least(name, getattr(self, name), smallest)
        for name in ("width", "depth"):
            if getattr(self, name) is not None:
                at_least(name, getattr(self, name), 1)
        positive("learning_rate", self.learning_rate)
        if self.values is not None:
            object.__setattr__(self, "values", as_text(self.values))
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
    if config.values not in (None, REAL):
        require(config.density not in ANGLES, "values", config.values, f"left out for {config.density}")
        data = as_spins(data, config.values)
    spins = config.values != REAL and bool(np.all(np.abs(data) == 1))
    kind = "angles" if config.density in ANGLES else "spins" if spins else "reals"
    if kind == "reals" and config.values is None:
        _check_reals(data)
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


def as_text(values: Any) -> str:
    """ "0,1" of the two values of a spin, down and up, as text or as numbers, or "reals"; InputError otherwise."""
    words = values.split(",") if isinstance(values, str) else list(np.ravel(values))
    if words == [REAL]:
        return REAL
    try:
        down, up = (float(word) for word in words)
    except ValueError:
        down = up = 0.0
    require(down != up and np.isfinite(down + up), "values", values, f"two numbers such as 0,1 or {REAL}")
    return f"{down:g},{up:g}"


def as_spins(data: np.ndarray, values: str | None) -> np.ndarray:
    """Spins of +-1 from data of the two values, down and up; without values the data as they are."""
    if values is None:
        return data
    down, up = (float(word) for word in as_text(values).split(","))
    others = data[(data != down) & (data != up)]
    if len(others):
        raise InputError(f"values = {values}: must be all values of the data, which have {others[0]:g} too")
    return np.where(data == up, 1.0, -1.0)


def _check_reals(data: np.ndarray) -> None:
    """InputError for integers and for two values, whose density as reals is no density at all."""
    if pair := two_values(data):
        raise InputError(f"data = of the values {pair}: must be spins of +-1; --values {pair} converts them")
    if np.all(data == np.round(data)):
        whole = f"integers from {data.min():g} to {data.max():g}"
        raise InputError(f"data = {whole}: must be spins of +-1 or reals; --values {REAL} takes them as reals")


def two_values(data: np.ndarray) -> str:
    """ "0,1" for data of these two values; empty for others."""
    found = np.unique(data)
    return ",".join(f"{value:g}" for value in found) if len(found) == 2 else ""


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
