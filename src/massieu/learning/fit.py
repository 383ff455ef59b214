"""Learning from data: maximum likelihood, the other direction of the same relative entropy.

    loss = -E_data[ln p(x)]   (a diffusion is trained by denoising, and judged by its likelihood)

fit.yaml  data.npy  metrics.csv  checkpoints/ (with the best parameters so far)  summary.json  samples.npz  report.html
"""

from __future__ import annotations

import dataclasses
import io
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

from massieu import optimize, statistics
from massieu.densities.named import named
from massieu.errors import InputError, RunError, require
from massieu.learning.kinds import EVALUATED, Data, FitConfig, read, simple_model
from massieu.methods.training import TrainState
from massieu.precision import double_precision
from massieu.principle import Estimate, trainable
from massieu.progress import Progress, Silent
from massieu.runs import checkpoint
from massieu.runs.directory import read_metrics, write_metrics
from massieu.runs.lock import held
from massieu.runs.stopping import told
from massieu.strict_json import to_json
from massieu.text import named_numbers

VALIDATED = 1000  # configurations of the validation set judged during training
SAMPLES = 5000
SAVES = 20  # checkpoints, each with a validation, in a fit


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


def make_density(data: Data, config: FitConfig) -> Any:
    """The density that the configuration names, around the mean and the width of the data for reals."""
    d, key = data.train.shape[1], jax.random.key(config.seed)
    sizes = {k: v for k in ("width", "depth") if (v := getattr(config, k)) is not None}
    if data.kind != "reals":
        usual = "made" if data.kind == "spins" else "circular-spline"
        return named(usual if config.density == "auto" else config.density, d, key, **sizes)
    name = "spline" if config.density == "auto" else config.density
    if name in ("spline", "realnvp") and d < 2:
        raise InputError(f"density = {name}: must be another one for a single column, which couples to nothing")
    if "depth" in sizes and name == "monge-ampere":
        raise InputError(f"depth = {config.depth}: must be left out for monge-ampere, which has one layer")
    width = bijections.Affine(data.train.mean(axis=0), data.train.std(axis=0))
    return distributions.Transformed(named(name, d, key, **sizes), paramax.non_trainable(width))


def fit(data: np.ndarray, *, out: str | Path | None = None, progress: Progress | None = None, **options: Any) -> Fit:
    """Fit a density to configurations (M, d), spins of +-1, reals or radians; `options` are fields of `FitConfig`.

    With `out` the fit is written there, and continues where it stopped if the directory holds an unfinished one of
    the same data and options.  InputError for anything that cannot work, RunError if the loss is not finite.
    """
    names = {field.name for field in dataclasses.fields(FitConfig)}
    for name in options:
        require(name in names, "option", name, f"one of {', '.join(sorted(names))}")
    config, progress = FitConfig(**options), progress or Silent()
    progress.say("making the density")
    with double_precision():
        parts = read(data, config)
        density = make_density(parts, config)
        folder = None if out is None else _prepare(Path(out), parts, config, data)
        params, static = trainable(density)
        with held(folder, progress.say), told(folder):
            best, rows = _train(parts, params, static, config, folder, progress)
            progress.close()
            progress.say(f"evaluating -ln p of both sets, and {SAMPLES} samples")
            found = _evaluated(parts, eqx.combine(best, static), config, rows)
            if folder is not None:
                save(folder, found)
    return found


def resume(folder: Path, progress: Progress) -> Fit:
    """Continue the fit in a directory from its newest checkpoint; a finished one is evaluated again."""
    try:
        options, data = yaml.safe_load((folder / "fit.yaml").read_text())["fit"], np.load(folder / "data.npy")
    except (OSError, ValueError, KeyError, TypeError, EOFError, yaml.YAMLError):
        raise InputError(f"dir = {folder}: must be the directory of a fit, with fit.yaml and data.npy") from None
    return fit(data, out=folder, progress=progress, **options)


def _prepare(folder: Path, data: Data, config: FitConfig, whole: np.ndarray) -> Path:
    """A new directory with fit.yaml and the data, or that of an unfinished fit of the same data and options."""
    shape = [len(data.train) + len(data.validation), data.train.shape[1]]
    options = dataclasses.asdict(config)
    if config.values is None:  # an option that version 0.1.0 did not have
        del options["values"]
    mine = {"fit": options, "data": {"shape": shape, "sum": float(data.train.sum())}}
    path = folder / "fit.yaml"
    if path.exists():
        if _yaml(path) != mine:
            raise InputError(f"out = {folder}: must be a new directory, or that of a fit of the same data and options")
        return folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"out = {folder}: must be a new or empty directory")
    try:
        (folder / "checkpoints").mkdir(parents=True)
        checkpoint.write_atomically(folder / "data.npy", _bytes_of(np.save, np.asarray(whole, float)))
        checkpoint.write_atomically(path, yaml.safe_dump(mine, sort_keys=False).encode())
    except OSError as error:
        raise InputError(f"out = {folder}: must be a writable directory ({error.strerror})") from None
    return folder


def _yaml(path: Path) -> Any:
    """The content of a YAML file, None where it is damaged."""
    try:
        return yaml.safe_load(path.read_text())
    except (UnicodeDecodeError, yaml.YAMLError):
        return None


def loss_of(density: Any, x: Array, key: Array) -> Array:
    """The training loss of one configuration: -ln p, or the density's own."""
    own = density
    if isinstance(density, distributions.Transformed) and hasattr(density.base_dist, "loss"):
        own, x = density.base_dist, density.bijection.inverse(x)
    return own.loss(x, key) if hasattr(own, "loss") else -density._log_prob(x, None)


def _train(data: Data, params: Any, static: Any, config: FitConfig, folder: Path | None, progress: Progress):
    """Adam on the training set; the parameters with the best validation, and the metrics."""
    optimiser = optimize.adam(config.learning_rate, optimize.ramp_and_cosine(config.steps), 10.0)
    key, zero = jax.random.key(config.seed), jnp.zeros((), jnp.int32)
    start = TrainState(params, optimiser.init(params), key, zero, frame=params)
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
    state, rows, best, losses = start, [], math.inf, []
    if folder is not None and checkpoint.steps_saved(folder / "checkpoints") is not None:
        state, meta, _ = checkpoint.load_newest(folder / "checkpoints", start, identity)
        losses = meta.get("losses", [])
        best = math.inf if meta["best"] is None else meta["best"]
        rows = [row for row in read_metrics(folder) if row["step"] <= int(state.step)]
        write_metrics(folder, rows)
        progress.say(f"continues from step {int(state.step)}")
    every, began = max(1, config.steps // SAVES), time.monotonic()
    progress.say("compiling the first step" if int(state.step) < config.steps else "nothing is left to train")

    def save_all() -> None:
        if folder is not None:
            write_metrics(folder, rows)
            checkpoint.save(folder / "checkpoints", state, {"identity": identity, "best": best, "losses": losses})

    try:
        while (at := int(state.step)) < config.steps:
            new, loss = step(state)
            if not math.isfinite(loss):
                raise RunError(f"diverged at step {at}: the loss is {loss}; try a smaller learning_rate")
            since = [*losses, float(loss)]
            if (at + 1) % every != 0 and at + 1 != config.steps:
                losses, state = since, new
                continue
            now, seconds = float(validation(new.params)), time.monotonic() - began
            row = {"step": at + 1, "loss": float(np.mean(since)), "validation": now, "seconds": seconds}
            if now < best:
                new = new._replace(frame=new.params)
            rows, losses, best, state = [*rows, row], [], min(best, now), new  # at once, for who interrupts
            save_all()
            progress.say(named_numbers(row))
    except KeyboardInterrupt:
        save_all()
        raise
    return state.frame, rows


def _evaluated(data: Data, density: Any, config: FitConfig, rows: list[dict[str, float]]) -> Fit:
    density = paramax.unwrap(density)

    def likelihood(x: np.ndarray) -> Estimate:
        return statistics.mean(-np.asarray(density.log_prob(jnp.asarray(x[:EVALUATED]))))

    samples = np.asarray(density.sample(jax.random.key(config.seed + 1), (SAMPLES,)))
    simple, name = simple_model(data)
    train, validation = likelihood(data.train), likelihood(data.validation)
    held = data.validation[:SAMPLES]
    return Fit(density, train, validation, simple, name, samples, held, rows, config)


def save(folder: Path, found: Fit) -> None:
    """samples.npz (with some of the validation data) and summary.json."""
    both = _bytes_of(np.savez_compressed, samples=found.samples, data=found.data)
    checkpoint.write_atomically(folder / "samples.npz", both)
    checkpoint.write_atomically(folder / "summary.json", to_json(found.summary(), indent=2).encode())


def _bytes_of(save_to: Callable[..., None], *arrays: np.ndarray, **named: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    save_to(buffer, *arrays, **named)
    return buffer.getvalue()
