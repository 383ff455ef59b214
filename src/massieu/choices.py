"""What a system and the user's options choose: configuration, density (matrix), training problem and evaluation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax

from massieu import densities, estimators, families, mixed
from massieu.config import OF_FIELDS, OF_SPINS, Config
from massieu.errors import InputError, did_you_mean, require
from massieu.evaluation import CHUNK, Evaluation, evaluate
from massieu.evaluation_family import NODES, evaluate_range
from massieu.evaluation_hydrogen import evaluate_hydrogen
from massieu.evaluation_quantum import evaluate_quantum
from massieu.evaluation_qubits import evaluate_qubits
from massieu.systems import ClassicalSystem, Hydrogen, QuantumSystem, QubitSystem, System, group_of
from massieu.systems.base import PairwiseSpins
from massieu.systems.lattice_field import LatticeField
from massieu.train import Problem, TrainState, problem
from massieu.train_hydrogen import problem as hydrogen_problem
from massieu.train_quantum import problem as quantum_problem
from massieu.train_qubits import problem as qubit_problem

EVALUATION_SEED = 2**20  # apart from the training's steps


def configure(system: System, **options: Any) -> Config:
    """The configuration: general defaults, then the system's, then the user's options; InputError for unknown names."""
    fields = {field.name: field for field in dataclasses.fields(Config)}
    group = group_of(type(system))
    for name, value in options.items():
        if name not in fields:
            raise InputError(f"{name} = {value}: no such option{did_you_mean(name, fields)}")
        if group not in fields[name].metadata["only"] and value != fields[name].default:
            raise InputError(f"{name} = {value}: must be left out, {system.name} has no use for it")
    if options.get("data") is not None:
        require(Path(options["data"]).is_file(), "data", options["data"], "a .npy file of configurations")
        options["data"] = str(Path(options["data"]).resolve())  # a run is resumed from anywhere
    return Config(**{**system.training_defaults(), **options})


def make_density(system: System, config: Config) -> Any:
    """The density (matrix) that the configuration names, with its sizes where given; InputError if it does not fit."""
    if isinstance(system, (QuantumSystem, QubitSystem, Hydrogen)):
        return system.default_ansatz(config)
    kind = config.density
    sizes = {k: v for k in ("width", "depth") if (v := getattr(config, k)) is not None}
    if kind == "auto" and not sizes and not config.symmetrise:
        return system.default_density(config.seed)
    of = {PairwiseSpins: OF_SPINS, LatticeField: OF_FIELDS}
    allowed = next((names for group, names in of.items() if isinstance(system, group)), ())
    if kind not in ("auto", *allowed):
        raise InputError(f"density = {kind}: must be one of {', '.join(('auto', *allowed))} for {system.name}")
    if isinstance(system, PairwiseSpins):
        return _spin_density(system, kind, config, sizes)
    if kind == "auto" or config.symmetrise:
        raise InputError(f"density = {kind}: must be auto, without width, depth or symmetrise, for {system.name}")
    assert isinstance(system, LatticeField)  # the only other systems with densities by name
    return _field_density(system, kind, jax.random.key(config.seed), sizes)


def _spin_density(system: PairwiseSpins, kind: str, config: Config, sizes: dict[str, int]) -> Any:
    lattice: Any = getattr(system, "sides", None)
    if kind == "pixelcnn" and lattice is None:
        raise InputError(f"density = pixelcnn: must be another density for {system.name}, which is not a lattice")
    if "depth" in sizes and kind in ("auto", "blanket", "rnn"):
        raise InputError(f"depth = {config.depth}: must be left out for the density {kind}, which has one layer")
    if kind == "product" and sizes:
        raise InputError(f"density = product: must be without {' and '.join(sizes)}, it has no network")
    n, width, key = system.size, config.width or 32, jax.random.key(config.seed)
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


def _field_density(system: LatticeField, kind: str, key: Any, sizes: dict[str, Any]) -> Any:
    """One of OF_FIELDS, from about the width of the field."""
    if "depth" in sizes and kind == "monge-ampere":
        raise InputError(f"depth = {sizes['depth']}: must be left out for monge-ampere, which has one layer")
    lattice, n, width = system.sides, system.size, system.start_width()
    if kind in ("realnvp", "spline"):
        require(n > 1, "density", kind, "another one for a single site, which couples to nothing")
        return densities.coupled_field(kind, lattice, width, key, **sizes)
    if kind == "neural-rg":
        return densities.NeuralRG(lattice, spectrum=system.free_spectrum(), key=key, **sizes)
    if kind == "diffusion":
        force = jax.grad(lambda x: -system.energy(x))
        return densities.DiffusionSampler(lattice, width, force=force, key=key, **sizes)
    if kind == "continuous":
        return densities.OnLattice(densities.NeuralODE(n, key=key, **sizes), lattice, width)
    group = densities.torus_symmetries(lattice)
    flow = densities.MongeAmpereFlow(n, permutations=group, even=True, key=key, **sizes)
    return densities.OnLattice(flow, lattice, width)


def checked_density(system: System, density: Any, beta: float, config: Config) -> Any:
    """The user's density, or the one that the configuration names; InputError for a gradient or range not for it."""
    if config.range is not None and isinstance(system, ClassicalSystem):
        families.parse(config.range, system, beta)
    density = make_density(system, config) if density is None else density
    if isinstance(system, ClassicalSystem):
        estimators.check(config.gradient, density)
        _check_augmented(config, density)
        mixed.examples(config, density)
    return density


def _check_augmented(config: Config, density: Any) -> None:
    """A density whose ln p is that of a path has the pathwise gradient, and no Fisher matrix."""
    if not getattr(density, "augmented", False):
        return
    kind = type(density).__name__
    only = {name for _, name in estimators.parse(config.gradient)} <= {"pathwise", "pathwise-total"}
    require(only, "gradient", config.gradient, f"pathwise for {kind}, which has no ln p(x)")
    require(config.optimiser != "natural", "optimiser", config.optimiser, f"adam for {kind}, which has no ln p(x)")
    require(config.data is None, "data", config.data, f"left out for {kind}, which has no ln p(x)")


def start_problem(system: System, density: Any, beta: float, config: Config) -> Problem:
    """The training problem of a classical density or of a density matrix."""
    if isinstance(system, QuantumSystem):
        return quantum_problem(system, density, beta, config)
    if isinstance(system, Hydrogen):
        return hydrogen_problem(system, density, beta, config)
    if isinstance(system, QubitSystem):
        return qubit_problem(system, density, beta, config)
    return problem(system, density, beta, config)


def final_evaluation(system: System, training: Problem, state: TrainState, beta: float, config: Config) -> Evaluation:
    """Averages with frozen parameters and random numbers of their own."""
    seed, density = config.seed + EVALUATION_SEED, training.density(state)
    more: dict[str, Any] = {}
    if isinstance(system, QuantumSystem):
        result = evaluate_quantum(system, density, beta, config.samples, seed)
        more = system.finite_size(result) if config.finite_size else {}
    elif isinstance(system, Hydrogen):
        chains = (config.sampler, config.moves)
        result = evaluate_hydrogen(system, density, state.walkers, beta, config.samples, seed, *chains)
    elif isinstance(system, QubitSystem):
        result = evaluate_qubits(system, density, beta, config.samples, seed)
    else:
        result = evaluate(system, density, beta, config.samples, seed)
        if config.range is not None:
            family, each = families.parse(config.range, system, beta), max(CHUNK, config.samples // NODES)
            of_value = partial(training.density, state)
            more = {"range": evaluate_range(system, family, of_value, beta, each, seed + 1)}
    return result._replace(observables=result.observables | system.derived_observables(result) | more)
