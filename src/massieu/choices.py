"""From a system and the user's options to a configuration, a density (matrix) and a training problem."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from massieu.config import CLASSICAL_ONLY, QUANTUM_ONLY, Config
from massieu.errors import InputError, did_you_mean
from massieu.systems import QuantumSystem, System
from massieu.systems.base import PairwiseSpins
from massieu.train import Problem, problem
from massieu.train_quantum import problem as quantum_problem


def configure(system: System, **options: Any) -> Config:
    """The configuration: general defaults, then the system's, then the user's options; InputError for unknown names."""
    known = [field.name for field in dataclasses.fields(Config)]
    for name in options:
        if name not in known:
            raise InputError(f"{name} = {options[name]}: no such option{did_you_mean(name, known)}")
    others = CLASSICAL_ONLY if isinstance(system, QuantumSystem) else QUANTUM_ONLY
    for name in others:
        if options.get(name, getattr(Config, name)) != getattr(Config, name):
            raise InputError(f"{name} = {options[name]}: must be left out, {system.name} has no use for it")
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
    n, width = system.size, config.width or 32
    makers: dict[str, Callable[[], Any]] = {
        "blanket": lambda: densities.BlanketMADE(system.couplings, system.field, width=width, seed=config.seed),
        "pixelcnn": lambda: densities.PixelCNN(lattice, key=key, **sizes),
        "rnn": lambda: densities.RNN(n, key=key, width=width),
        "made": lambda: densities.MADE(n, key=key, **sizes),
        "transformer": lambda: densities.CausalTransformer(n, key=key, **sizes),
    }
    density = makers["blanket" if kind == "auto" else kind]()
    return densities.Symmetrised(density, *densities.spin_flip(n)) if config.symmetrise else density


def start_problem(system: System, density: Any, beta: float, config: Config) -> Problem:
    """The training problem of a classical density or of a density matrix."""
    if isinstance(system, QuantumSystem):
        return quantum_problem(system, density, beta, config)
    return problem(system, density, beta, config)
