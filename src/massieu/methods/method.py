"""What a kind of matter offers: one interface, and one table from the base class of its systems to its method.

A method is looked up once, by `method_of`; nothing else asks what kind a system is.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import os
import typing
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

from massieu.errors import InputError, did_you_mean, positive, require
from massieu.methods.evaluation import Evaluation, Observed
from massieu.methods.options import Options
from massieu.methods.training import Problem, TrainState

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METHODS = {  # base class of the systems: folder, its method and its options
    "massieu.systems.base.ClassicalSystem": ("classical", "Classical", "ClassicalOptions"),
    "massieu.systems.quantum.QuantumSystem": ("particles", "Particles", "ParticleOptions"),
    "massieu.systems.qubits.QubitSystem": ("qubits", "Qubits", "QubitOptions"),
    "massieu.systems.hydrogen.Hydrogen": ("atoms", "Atomic", "AtomOptions"),
}
COPIES = 20  # of numbers that a step or an evaluation holds at once, at least
EVALUATION_SEED = 2**20  # apart from the training's steps
Row = dict[str, Any]
O = TypeVar("O", bound=Options)


class Shown(NamedTuple):
    """What the figures of a run are drawn from: summary.json, metrics.csv, samples.npz and reference.json."""

    summary: dict[str, Any]
    rows: list[Row]
    samples: Mapping[str, Any]
    known: dict[str, Any]

    @property
    def observables(self) -> dict[str, Any]:
        """Of the final evaluation."""
        return self.summary["observables"]


class Method(ABC, Generic[O]):
    """How one kind of matter is trained, evaluated and drawn.  A subclass has the five methods that are abstract."""

    name: ClassVar[str]
    options: type[O]  # its dataclass of options
    example: ClassVar[str] = "--beta 0.5,1"  # of the grid of a sweep
    ansatz_class: ClassVar[type] = object  # of its densities, or density matrices
    baselines: ClassVar[str | None] = None  # what `massieu baseline` runs: "chains", "path integrals"

    # ---- options

    def configure(self, system: Any, **given: Any) -> O:
        """The general defaults, then the system's, then what is given; InputError for names that it has no use for."""
        known, others = option_names(self.options), other_options(self.options)
        for name, value in given.items():
            if name not in known and name not in others:
                raise InputError(f"{name} = {value}: no such option{did_you_mean(name, (*known, *others))}")
            if name not in known and value != others[name][0].default:
                raise InputError(f"{name} = {value}: must be left out, {system.name} has no use for it")
        own = {name: value for name, value in given.items() if name in known}
        options = self.options(**{**system.training_defaults(), **own})
        fit_memory(system, options)
        return options

    def check(self, system: Any, beta: float, options: O) -> None:
        """InputError for a temperature or options that the system cannot have; before anything is computed."""
        if beta != math.inf:
            positive("beta", beta)

    def implied(self, density: Any) -> dict[str, Any]:
        """Options that a density of the user's decides."""
        return {}

    # ---- training

    def check_named(self, system: Any, options: O) -> None:
        """InputError for an ansatz that is not for the system; without making it, where that can take long."""
        self.ansatz(system, options)

    @abstractmethod
    def ansatz(self, system: Any, options: O) -> Any:
        """The density, or density matrix, that the options name; InputError if it does not fit the system."""

    def checked_ansatz(self, system: Any, density: Any, beta: float, options: O) -> Any:
        """The user's density, or the one that the options name; InputError for what cannot work."""
        self.check(system, beta, options)
        if density is None:
            return self.ansatz(system, options)
        self.check_fits(system, density)
        return density

    def check_fits(self, system: Any, density: Any) -> None:
        """InputError for a density of the user's that is not one of this kind of matter, or of another size."""
        name = type(density).__name__
        require(
            isinstance(density, self.ansatz_class), "density", name, f"a {self.ansatz_class.__name__} for {system.name}"
        )

    @abstractmethod
    def problem(self, system: Any, density: Any, beta: float, options: O) -> Problem:
        """The training problem: a compiled step and where it starts."""

    def check_optimiser(self, system: Any, options: O, optimiser: Any) -> None:
        """InputError for a gradient transformation of optax that cannot be in the place of the options' own."""
        allowed = f"a name; {system.name} is trained by natural gradients of its own"
        raise InputError(f"optimiser = {type(optimiser).__name__}: must be {allowed}")

    def problem_with(self, system: Any, density: Any, beta: float, options: O, optimiser: Any) -> Problem:
        """`problem` with a gradient transformation of optax."""
        raise NotImplementedError

    def continued(self, options: O) -> O:
        """Without what makes a good start: parameters come from a checkpoint."""
        return options

    def steps_at_reference(self, options: O) -> bool:
        """Whether F of the training steps, once annealed, is that of the parameters of the reference."""
        return True

    def warm(self, system: Any, other: Any, given: dict[str, Any]) -> dict[str, Any]:
        """Options of a run that starts from the parameters of another system's."""
        return {}

    # ---- what comes out

    @abstractmethod
    def evaluate(
        self, system: Any, training: Problem, state: TrainState, beta: float, options: O, seed: int
    ) -> Evaluation:
        """Averages with frozen parameters."""

    def sample(self, system: Any, density: Any, beta: float, count: int, seed: int) -> tuple[Any, Any]:
        """Configurations and ln p of a density."""
        raise InputError(f"sample: must be asked of classical matter; samples of {system.name} are in result.samples")

    def log_prob(self, system: Any, density: Any, beta: float, x: Any) -> Any:
        """ln p of configurations."""
        raise InputError(f"log_prob: must be asked of classical matter, not of a density matrix of {system.name}")

    def observe(
        self, system: Any, density: Any, beta: float, functions: dict[str, Any], samples: int, seed: int
    ) -> dict[str, Observed]:
        """Averages of functions of one configuration."""
        raise InputError(f"observe: must be asked of classical matter, not of a density matrix of {system.name}")

    @abstractmethod
    def figures(self, system: Any, shown: Shown) -> dict[str, Figure]:
        """The figures of this kind by name, beside F and Var(F_loc), which every run has."""

    def files(self, system: Any, samples: Mapping[str, Any]) -> dict[str, str]:
        """Text files for other programs, by name, beside samples.npz."""
        return {}

    def consistency(self, runs: list[tuple[Any, dict[str, Any]]]) -> list[Row]:
        """Checks between the (system, summary) of finished runs of a sweep; the rows of consistency.csv."""
        return []


def method_of(system: Any) -> Method[Any]:
    """The method of a system, or of a class of systems: that of the nearest base class in the table."""
    kind = system if isinstance(system, type) else type(system)
    for base in kind.__mro__:
        place = METHODS.get(f"{base.__module__}.{base.__qualname__}")
        if place is not None:
            folder, name, _ = place
            return getattr(importlib.import_module(f"massieu.methods.{folder}.method"), name)()
    bases = ", ".join(name.rpartition(".")[2] for name in METHODS)
    raise InputError(f"system = {kind.__name__}: must be derived from one of {bases}")


def final_evaluation(
    system: Any, training: Problem, state: TrainState, beta: float, options: Options, again: int = 0
) -> Evaluation:
    """Averages with frozen parameters and random numbers of their own, and what follows from them.

    again: 1, 2, .. with other random numbers than the run's own evaluation.
    """
    seed = options.seed + (1 + again) * EVALUATION_SEED
    result = method_of(system).evaluate(system, training, state, beta, options, seed)
    return result._replace(observables=result.observables | system.derived_observables(result))


def fit_memory(system: Any, options: Options) -> None:
    """InputError for a batch or samples that cannot be in memory, whatever the density: a few copies of each."""
    memory, numbers = _memory(), system.size or 1
    for name, each in (("batch", COPIES * numbers), ("samples", COPIES)):
        most, value = memory // (8 * each), getattr(options, name)
        what = f"configurations of {numbers} numbers" if name == "batch" else "energies"
        require(value <= most, name, value, f"at most {most}, whose {what} fit in {memory / 2**30:.0f} GiB")


def _memory() -> int:
    """Bytes of the device, or of the machine where the device shares it."""
    import jax

    stats = jax.local_devices()[0].memory_stats() or {}
    own = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**40
    return stats.get("bytes_limit", own)


# ---- options by name


def option_names(kind: type[Options]) -> dict[str, dataclasses.Field]:
    """The fields of the options by name."""
    return {field.name: field for field in dataclasses.fields(kind)}


def other_options(kind: type[Options]) -> dict[str, tuple[dataclasses.Field, Any]]:
    """The fields, with their types, that other kinds of matter have and this one does not."""
    found: dict[str, tuple[dataclasses.Field, Any]] = {}
    for folder, _, name in METHODS.values():
        other = getattr(importlib.import_module(f"massieu.methods.{folder}.options"), name)
        hints = typing.get_type_hints(other)
        found = {name: (field, hints[name]) for name, field in option_names(other).items()} | found
    return {name: both for name, both in found.items() if name not in option_names(kind)}


def read_options(kind: type, content: dict[str, Any]) -> Options:
    """The options that config.yaml holds; those of other kinds of matter, which version 0.1.0 wrote too, are left out.

    TypeError for names that no kind has.
    """
    options = method_of(kind).options
    unused = other_options(options)
    return options(**{name: value for name, value in content.items() if name not in unused})
