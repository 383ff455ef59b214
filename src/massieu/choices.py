"""What a system and the user's options choose: configuration, density (matrix), training problem and evaluation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax

from massieu import estimators, families
from massieu.config import Config
from massieu.errors import InputError, did_you_mean
from massieu.evaluation import CHUNK, Evaluation, evaluate
from massieu.evaluation_family import NODES, evaluate_range
from massieu.evaluation_quantum import evaluate_quantum
from massieu.systems import QuantumSystem, System
from massieu.systems.base import PairwiseSpins
from massieu.train import Problem, TrainState, problem
from massieu.train_quantum import problem as quantum_problem

EVALUATION_SEED = 2**20  # apart from the training's steps


def configure(system: System, **options: Any) -> Config:
    """The configuration: general defaults, then the system's, then the user's options; InputError for unknown names."""
    fields = {field.name: field for field in dataclasses.fields(Config)}
    kind = "quantum" if isinstance(system, QuantumSystem) else "classical"
    for name, value in options.items():
        if name not in fields:
            raise InputError(f"{name} = {value}: no such option{did_you_mean(name, fields)}")
        if fields[name].metadata["only"] not in (None, kind) and value != fields[name].default:
            raise InputError(f"{name} = {value}: must be left out, {system.name} has no use for it")
    return Config(**{**system.training_defaults(), **options})


def make_density(system: System, config: Config) -> Any:
    """The density (matrix) that the configuration names, with its sizes where given."""
    if isinstance(system, QuantumSystem):
        return system.default_ansatz(config)
    from massieu import densities

    kind, key = config.density, jax.random.key(config.seed)
    sizes = {k: v for k in ("width", "depth") if (v := getattr(config, k)) is not None}
    if kind == "auto" and not sizes and not config.symmetrise:
        return system.default_density(config.seed)
    if not isinstance(system, PairwiseSpins):
        raise InputError(f"density = {kind}: must be auto, without width, depth or symmetrise, for {system.name}")
    lattice: Any = getattr(system, "sides", None)
    if kind == "pixelcnn" and lattice is None:
        raise InputError(f"density = pixelcnn: must be another density for {system.name}, which is not a lattice")
    if "depth" in sizes and kind in ("auto", "blanket", "rnn"):
        raise InputError(f"depth = {config.depth}: must be left out for the density {kind}, which has one layer")
    if kind == "product" and sizes:
        raise InputError(f"density = product: must be without {' and '.join(sizes)}, it has no network")
    n, width = system.size, config.width or 32
    makers: dict[str, Callable[[], Any]] = {
        "blanket": lambda: densities.BlanketMADE(system.couplings, system.field, width=width, seed=config.seed),
        "pixelcnn": lambda: densities.PixelCNN(lattice, key=key, **sizes),
        "rnn": lambda: densities.RNN(n, key=key, width=width),
        "made": lambda: densities.MADE(n, key=key, **sizes),
        "product": lambda: densities.ProductSpins(n, key=key),
        "transformer": lambda: densities.CausalTransformer(n, key=key, **sizes),
    }
    density = makers["blanket" if kind == "auto" else kind]()
    return densities.Symmetrised(density, *densities.spin_flip(n)) if config.symmetrise else density


def checked_density(system: System, density: Any, config: Config) -> Any:
    """The user's density, or the one that the configuration names; InputError if its gradient is not for it."""
    density = make_density(system, config) if density is None else density
    if not isinstance(system, QuantumSystem):
        estimators.check(config.gradient, density)
    return density


def start_problem(system: System, density: Any, beta: float, config: Config) -> Problem:
    """The training problem of a classical density or of a density matrix."""
    if isinstance(system, QuantumSystem):
        return quantum_problem(system, density, beta, config)
    return problem(system, density, beta, config)


def final_evaluation(system: System, training: Problem, state: TrainState, beta: float, config: Config) -> Evaluation:
    """Averages with frozen parameters and random numbers of their own."""
    seed, density = config.seed + EVALUATION_SEED, training.density(state)
    more: dict[str, Any] = {}
    if isinstance(system, QuantumSystem):
        result = evaluate_quantum(system, density, beta, config.samples, seed)
        more = system.finite_size(result) if config.finite_size else {}
    else:
        result = evaluate(system, density, beta, config.samples, seed)
        if config.range is not None:
            family, each = families.parse(config.range, system, beta), max(CHUNK, config.samples // NODES)
            of_value = partial(training.density, state)
            more = {"range": evaluate_range(system, family, of_value, beta, each, seed + 1)}
    return result._replace(observables=result.observables | system.derived_observables(result) | more)
