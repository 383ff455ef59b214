"""Learning from data: maximum likelihood, the other direction of the same relative entropy.

    loss = -E_data[ln p(x)]   (a diffusion is trained by denoising, and judged by its likelihood)

fit.yaml  metrics.csv  checkpoints/ (each with the best parameters so far)  summary.json  samples.npz  report.html
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import paramax
import yaml
from flowjax import bijections, distributions
from jax import Array

from massieu import checkpoint, densities, optimize, statistics
from massieu.config import option
from massieu.densities.vectors import coupling
from massieu.errors import InputError, RunError, at_least, one_of, positive, require
from massieu.principle import Estimate, trainable
from massieu.progress import Progress, Silent
from massieu.run_directory import append_metrics, read_metrics, write_metrics
from massieu.train import TrainState

SPINS = ("made", "transformer", "rnn")
REALS = ("spline", "realnvp", "continuous", "monge-ampere", "diffusion")
VALIDATED = 1000  # configurations of the validation set judged during training
EVALUATED = 5000  # at most, of each set, at the end
SAMPLES = 5000
SAVES = 20  # checkpoints, each with a validation, in a fit


@dataclasses.dataclass(frozen=True)
class FitConfig:
    """How to fit; the same fields in Python and on the command line."""

    density: str = option("auto", f"{', '.join(SPINS)} for spins; {', '.join(REALS)} for reals")
    steps: int = option(3000, "training steps of Adam")
    batch: int = option(256, "configurations a step")
    learning_rate: float = option(4e-3, "peak learning rate")
    width: int | None = option(None, "width of the layers (default: the density's own)")
    depth: int | None = option(None, "number of layers (default: the density's own)")
    validation: float = option(0.1, "fraction of the data held back")
    seed: int = option(0, "seed of everything random in the fit")

    def __post_init__(self) -> None:
        one_of("density", self.density, ("auto", *SPINS, *REALS))
        for name, smallest in (("steps", 1), ("batch", 1), ("seed", 0)):
            at_least(name, getattr(self, name), smallest)
        for name in ("width", "depth"):
            if getattr(self, name) is not None:
                at_least(name, getattr(self, name), 1)
        positive("learning_rate", self.learning_rate)
        require(0 < self.validation < 0.9, "validation", self.validation, "a fraction between 0 and 0.9")


class Fit(NamedTuple):
    """The density with the best validation, its -ln p per configuration on both sets, and that of a simple model.

    samples of the density and part of the validation set `data` (.., d).
    """

    density: Any
    train: Estimate
    validation: Estimate
    simple: Estimate
    simple_name: str
    samples: np.ndarray
    data: np.ndarray
    metrics: list[dict[str, float]]
    config: FitConfig

    def summary(self) -> dict[str, Any]:
        """What summary.json holds."""
        return {
            "schema": 1,
            "status": "finished",
            "negative_log_likelihood": {"train": self.train.as_dict(), "validation": self.validation.as_dict()},
            "simple_model": {"name": self.simple_name, "validation": self.simple.as_dict()},
            "steps": int(self.metrics[-1]["step"]),
            "config": dataclasses.asdict(self.config),
        }


class Data(NamedTuple):
    """Shuffled configurations, (M, d) each, and what they are: "spins" or "reals"."""

    train: np.ndarray
    validation: np.ndarray
    kind: str


def read(data: np.ndarray, config: FitConfig) -> Data:
    """Split into training and validation set; InputError for data or a density that do not fit."""
    data = np.asarray(data, float)
    require(data.ndim == 2 and len(data) >= 20, "data", f"of shape {data.shape}", "at least 20 configurations (M, d)")
    require(bool(np.all(np.isfinite(data))), "data", "with NaN or infinity", "of finite numbers")
    kind = "spins" if np.all(np.abs(data) == 1) else "reals"
    allowed = SPINS if kind == "spins" else REALS
    if config.density != "auto" and config.density not in allowed:
        raise InputError(f"density = {config.density}: must be auto or one of {', '.join(allowed)} for {kind}")
    if kind == "reals":
        require(bool(np.all(data.std(axis=0) > 0)), "data", "with a constant column", "free of constant columns")
    shuffled = data[np.random.default_rng(config.seed).permutation(len(data))]
    held = max(2, round(config.validation * len(data)))
    return Data(shuffled[held:], shuffled[:held], kind)


def make_density(data: Data, config: FitConfig) -> Any:
    """The density that the configuration names, around the mean and the width of the data for reals."""
    d, key = data.train.shape[1], jax.random.key(config.seed)
    sizes = {k: v for k in ("width", "depth") if (v := getattr(config, k)) is not None}
    if data.kind == "spins":
        makers = {"made": densities.MADE, "transformer": densities.CausalTransformer, "rnn": densities.RNN}
        return makers["made" if config.density == "auto" else config.density](d, key=key, **sizes)
    name = "spline" if config.density == "auto" else config.density
    if name in ("spline", "realnvp") and d < 2:
        raise InputError(f"density = {name}: must be another one for a single column, which couples to nothing")
    if "depth" in sizes and name == "monge-ampere":
        raise InputError(f"depth = {config.depth}: must be left out for monge-ampere, which has one layer")
    of_reals: dict[str, Callable[[], Any]] = {
        "spline": lambda: coupling("spline", d, key=key, **sizes),
        "realnvp": lambda: coupling("realnvp", d, key=key, **sizes),
        "continuous": lambda: densities.NeuralODE(d, key=key, **sizes),
        "monge-ampere": lambda: densities.MongeAmpereFlow(d, key=key, **sizes),
        "diffusion": lambda: densities.Diffusion(d, key=key, **sizes),
    }
    width = bijections.Affine(data.train.mean(axis=0), data.train.std(axis=0))
    return distributions.Transformed(of_reals[name](), paramax.non_trainable(width))


def fit(data: np.ndarray, *, out: str | Path | None = None, progress: Progress | None = None, **options: Any) -> Fit:
    """Fit a density to configurations (M, d), spins of +-1 or reals; `options` are fields of `FitConfig`.

    With `out` the fit is written there, and continues where it stopped if the directory holds an unfinished one of
    the same data and options.  InputError for anything that cannot work, RunError if the loss is not finite.
    """
    names = {field.name for field in dataclasses.fields(FitConfig)}
    for name in options:
        require(name in names, "option", name, f"one of {', '.join(sorted(names))}")
    config, progress = FitConfig(**options), progress or Silent()
    with jax.enable_x64(True):
        parts = read(data, config)
        density = make_density(parts, config)
        folder = None if out is None else _prepare(Path(out), parts, config)
        params, static = trainable(density)
        best, rows = _train(parts, params, static, config, folder, progress)
        progress.close()
        found = _evaluated(parts, eqx.combine(best, static), config, rows)
        if folder is not None:
            save(folder, found)
    return found


def _prepare(folder: Path, data: Data, config: FitConfig) -> Path:
    """A new directory with fit.yaml, or that of an unfinished fit of the same data and options."""
    shape = [len(data.train) + len(data.validation), data.train.shape[1]]
    mine = {"fit": dataclasses.asdict(config), "data": {"shape": shape, "sum": float(data.train.sum())}}
    path = folder / "fit.yaml"
    if path.exists():
        if yaml.safe_load(path.read_text()) != mine:
            raise InputError(f"out = {folder}: must be a new directory, or that of a fit of the same data and options")
        return folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"out = {folder}: must be a new or empty directory")
    try:
        (folder / "checkpoints").mkdir(parents=True)
        checkpoint.write_atomically(path, yaml.safe_dump(mine, sort_keys=False).encode())
    except OSError as error:
        raise InputError(f"out = {folder}: must be a writable directory ({error.strerror})") from None
    return folder


def loss_of(density: Any, x: Array, key: Array) -> Array:
    """The training loss of one configuration: -ln p, or the density's own."""
    own = density
    if isinstance(density, distributions.Transformed) and hasattr(density.base_dist, "loss"):
        own, x = density.base_dist, density.bijection.inverse(x)
    return own.loss(x, key) if hasattr(own, "loss") else -density._log_prob(x, None)


def _train(data: Data, params: Any, static: Any, config: FitConfig, folder: Path | None, progress: Progress):
    """Adam on the training set; the parameters with the best validation, and the metrics."""
    optimiser = optimize.adam(config.learning_rate, optimize.ramp_and_cosine(config.steps), 10.0)
    zero = jnp.zeros((), jnp.int32)
    start = TrainState(params, optimiser.init(params), jax.random.key(config.seed), zero, frame=params)
    train, size = jnp.asarray(data.train), min(config.batch, len(data.train))

    @jax.jit
    def step(state: TrainState) -> tuple[TrainState, Array]:
        choice, noise = jax.random.split(jax.random.fold_in(state.key, state.step))
        x = train[jax.random.randint(choice, (size,), 0, len(train))]

        def loss(params: Any) -> Array:
            density = paramax.unwrap(eqx.combine(params, static))
            return jnp.mean(jax.vmap(lambda x, key: loss_of(density, x, key))(x, jax.random.split(noise, size)))

        value, gradient = jax.value_and_grad(loss)(state.params)
        updates, opt_state = optimiser.update(gradient, state.opt_state, state.params)
        new = optax.apply_updates(state.params, updates)
        return state._replace(params=new, opt_state=opt_state, step=state.step + 1), value

    judged = jnp.asarray(data.validation[:VALIDATED])
    validation = jax.jit(lambda params: -jnp.mean(eqx.combine(params, static).log_prob(judged)))
    identity = {"fit": dataclasses.asdict(config)}
    state, rows, best = start, [], math.inf
    if folder is not None and list((folder / "checkpoints").glob("step-*.npz")):
        state, meta, _ = checkpoint.load_newest(folder / "checkpoints", start, identity)
        best, rows = meta["best"], [row for row in read_metrics(folder) if row["step"] <= int(state.step)]
        write_metrics(folder, rows)
        progress.say(f"continues from step {int(state.step)}")
    every, began, losses = max(1, config.steps // SAVES), time.monotonic(), []
    while (at := int(state.step)) < config.steps:
        state, loss = step(state)
        losses.append(float(loss))
        if not math.isfinite(losses[-1]):
            raise RunError(f"diverged at step {at}: the loss is {losses[-1]}; try a smaller learning_rate")
        if (at + 1) % every == 0 or at + 1 == config.steps:
            judged_now = float(validation(state.params))
            row = {"step": at + 1, "loss": float(np.mean(losses)), "validation": judged_now,
                   "seconds": time.monotonic() - began}  # fmt: skip
            if judged_now < best:
                best, state = judged_now, state._replace(frame=state.params)
            rows.append(row)
            losses = []
            progress.say("  ".join(f"{name} {value:.6g}" for name, value in row.items()))
            if folder is not None:
                append_metrics(folder, [row])
                checkpoint.save(folder / "checkpoints", state, {"identity": identity, "best": best})
    return state.frame, rows


def _evaluated(data: Data, density: Any, config: FitConfig, rows: list[dict[str, float]]) -> Fit:
    density = paramax.unwrap(density)

    def likelihood(x: np.ndarray) -> Estimate:
        return statistics.mean(-np.asarray(density.log_prob(jnp.asarray(x[:EVALUATED]))))

    samples = np.asarray(density.sample(jax.random.key(config.seed + 1), (SAMPLES,)))
    simple, name = _simple_model(data)
    train, validation = likelihood(data.train), likelihood(data.validation)
    held = data.validation[:SAMPLES]
    return Fit(density, train, validation, simple, name, samples, held, rows, config)


def _simple_model(data: Data) -> tuple[Estimate, str]:
    """-ln p of the validation set under independent spins, or under one Gaussian."""
    x = data.validation[:EVALUATED]
    if data.kind == "spins":
        m = np.clip(data.train.mean(axis=0), -1 + 1e-6, 1 - 1e-6)
        return statistics.mean(-np.sum(np.log(0.5 * (1 + x * m)), axis=1)), "independent spins"
    centred = x - data.train.mean(axis=0)
    covariance = np.atleast_2d(np.cov(data.train.T)) + 1e-12 * np.eye(x.shape[1])
    quadratic = np.sum(centred * np.linalg.solve(covariance, centred.T).T, axis=1)
    constant = 0.5 * (np.linalg.slogdet(covariance)[1] + x.shape[1] * math.log(2 * math.pi))
    return statistics.mean(0.5 * quadratic + constant), "one Gaussian"


def save(folder: Path, found: Fit) -> None:
    """samples.npz (with some of the validation data) and summary.json."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, samples=found.samples, data=found.data)
    checkpoint.write_atomically(folder / "samples.npz", buffer.getvalue())
    checkpoint.write_atomically(folder / "summary.json", json.dumps(found.summary(), indent=2).encode())
