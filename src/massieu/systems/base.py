"""What a system is: a Hamiltonian, a temperature, and what is known about it.

One module: the interface that every system has, and the two classical bases that complete it, are read together.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.errors import InputError, did_you_mean, not_huge, positive, require
from massieu.exact.thermodynamics import Thermodynamics
from massieu.principle import Estimate
from massieu.systems.inheritance import holds
from massieu.systems.table import parameters

if TYPE_CHECKING:
    from massieu.exact.annealed import Sites

INIT_FALSE = r"Using `field\(init=False\)` on `equinox"
UNITS = {"energy": "dimensionless", "length": "dimensionless"}


class Approximation(NamedTuple):
    """A free energy that is not the answer: its kind ("upper bound", "not a bound") and how it came about."""

    F: Estimate
    kind: str
    note: str = ""


class Path(NamedTuple):
    """From a solvable start (t = 0) to the system (t = 1): dimensionless action(x (*shape, W), t, None) -> (W,).

    sample(key, W) draws from exp(-action) at t = 0, whose integral is exp(log_base); width: a typical length of it.
    """

    action: Callable[[Array, Array | float, Any], Array]
    sample: Callable[[Array, int], Array]
    log_base: float
    width: float

    @classmethod
    def from_density(cls, action: Callable[[Array, Array | float, Any], Array], density: Any, width: float) -> Path:
        """A path whose start is a density: action(x, 0, None) = -ln p(x), walkers x (*shape, W)."""

        def sample(key: Array, count: int) -> Array:
            return jnp.moveaxis(jax.vmap(density._sample)(jax.random.split(key, count)), 0, -1)

        return cls(action, sample, 0.0, width)

    def annealed(self, beta: float, walkers: int, steps: int, seed: int) -> Thermodynamics:
        """ln Z and <H> = <action>/beta at t = 1 by annealed importance sampling."""
        from massieu.exact.annealed import annealed_importance_sampling

        found = annealed_importance_sampling(
            self.action, self.sample, self.log_base, None, observable=lambda x, t, p: self.action(x, 1.0, p) / beta,
            walkers=walkers, steps=steps, seed=seed, width=self.width,
        )  # fmt: skip
        method = f"annealed importance sampling (ESS {found.ess:.0f} of {walkers})"
        return Thermodynamics.from_estimates(found.lnZ, found.mean, beta, method)


class Coordinate(NamedTuple):
    """A reaction coordinate of walkers, of(x (*shape, W)) -> (W,), sampled between low and high; states part at split.

    place(x, values) moves walkers so that their coordinate takes the values (W,).
    """

    name: str
    of: Callable[[Array], Array]
    place: Callable[[Array, Array], Array]
    low: float
    high: float
    split: float


class Reference(NamedTuple):
    """Independent values for the same parameters: the best one, and what simpler theories say."""

    best: Thermodynamics | None
    approximations: dict[str, Approximation]
    ideal: Thermodynamics | None = None


def parameter(default: Any, text: str, flag: str | None = None) -> Any:
    """A parameter of a system: its default, its line of help, and its name for users if not the field's own."""
    return eqx.field(default=default, static=True, metadata={"help": text, "flag": flag})


def derived() -> Any:
    """A field that __post_init__ computes from the parameters; it is refused as an argument."""
    return eqx.field(default=None, repr=False, init=False, metadata={"derived": True})


def given(said: bool = False) -> Any:
    """An argument that is no parameter of the command line: an array of the user's own, or None.

    said: a parameter says the same, so that it is no part of what a run is known by.
    """
    return eqx.field(default=None, repr=False, kw_only=True, metadata={"said": said})


class AbstractSystem(eqx.Module):
    """What classical and quantum systems share: their names, units and parameters, and what is known about them."""

    name: ClassVar[str] = "user"
    summary: ClassVar[str] = ""
    source: ClassVar[str] = ""
    units: ClassVar[dict[str, str]] = UNITS
    action: ClassVar[bool] = False
    reference_beside: ClassVar[bool] = True  # whether the reference may be computed while training asks for energies

    def __new__(cls, *_: Any, **arguments: Any) -> Any:
        """InputError for an argument that `__post_init__` would overwrite."""
        names = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        for name in arguments:
            if name in names and names[name].metadata.get("derived"):
                accepted = [other for other, field in names.items() if field.init]
                raise InputError(
                    f"{name} = {type(arguments[name]).__name__}: must be left out, {cls.__name__} computes it from "
                    f"{', '.join(accepted)}{did_you_mean(name, accepted)}"
                )
        warnings.filterwarnings("ignore", INIT_FALSE)  # that no gradient goes through them; none is asked for
        return super().__new__(cls)

    def own_arrays(self) -> dict[str, np.ndarray]:
        """Arrays given as arguments, by name, that parameters do not say; a run directory keeps them."""
        return {}

    def __check_init__(self) -> None:
        for name, value in self.parameters().items():
            if isinstance(value, (int, float)) and abs(value) < math.inf:
                not_huge(name, value)

    def training_defaults(self) -> dict[str, Any]:
        """Fields of the training configuration that suit the system better than the general defaults."""
        return {}

    @property
    def size(self) -> int | None:
        """Number of spins or particles (None where the system does not say)."""
        return None

    @property
    def own_beta(self) -> float | None:
        """The inverse temperature where it follows from the parameters; None where it is chosen beside them."""
        return 1.0 if self.action else None

    def reference(self, seed: int = 0) -> Reference | None:
        """Exact or independent values for these parameters, or None.  Ask `known` for them."""
        return None

    def known(self, seed: int = 0) -> Reference | None:
        """`reference`, unless a subclass redefined the Hamiltonian that it speaks of."""
        return self.reference(seed) if holds(type(self), "reference", "exact") else None

    def notes(self) -> list[str]:
        """What the user should know about these parameters before the run."""
        return []

    def derived_observables(self, result: Any) -> dict[str, Any]:
        """What follows from the averages of the final evaluation."""
        return {}

    def parameters(self) -> dict[str, Any]:
        """The parameters by name, as configuration files show them."""
        return {name: getattr(self, field.name) for name, field in parameters(self).items()}


class ClassicalSystem(AbstractSystem):
    """A classical Hamiltonian.  One method is needed, `energy`; the others add what is known about the system.

    Energies are totals and k_B = 1.  Spins are +-1 of shape (n,), particles have positions of shape (n, dim), fields
    the shape of their lattice.  Where `action` is true the energy is an action: Z = int exp(-S), beta = 1.
    """

    linear: ClassVar[tuple[str, ...]] = ()  # parameters in which the energy is linear: ask `linear_parameters`

    @property
    def linear_parameters(self) -> tuple[str, ...]:
        """`linear`, unless a subclass redefined the energy that it speaks of."""
        return self.linear if holds(type(self), "linear") else ()

    @property
    def configuration(self) -> tuple[int, ...] | None:
        """The shape of one configuration (None where the system does not say)."""
        return None

    @abstractmethod
    def energy(self, x: Array) -> Array:
        """H of one configuration x, a scalar."""

    def observables(self, x: Array) -> dict[str, Array]:
        """Named numbers or arrays of one configuration, averaged in the final evaluation."""
        return {}

    def conjugate(self, name: str) -> Callable[[Array], Array]:
        """dH/d(parameter) of one configuration, for a parameter in which the energy is linear."""
        known = self.linear_parameters
        require(name in known, "parameter", name, f"one of {', '.join(known) or 'none'} for {self.name}")
        raised = dataclasses.replace(self, **{name: getattr(self, name) + 1.0})
        return lambda x: raised.energy(x) - self.energy(x)

    def path(self) -> Path:
        """A path for annealing, for systems of continuous variables."""
        raise InputError(f"system = {self.name}: must be one with a path from a solvable start")

    def coordinate(self) -> Coordinate:
        """The coordinate along which umbrella sampling divides the system."""
        raise InputError(f"method = umbrella: must be another one for {self.name}, which has no reaction coordinate")

    def default_density(self, seed: int) -> Any:
        """The density that suits the system."""
        raise InputError(f"density = None: must be given, {type(self).__name__} has no default density")


class PairwiseSpins(ClassicalSystem):
    """Spins with H = -sum_{i<j} J_ij s_i s_j - sum_i h_i s_i; a subclass sets `couplings` (n, n) and `field` (n,)."""

    couplings: eqx.AbstractVar[np.ndarray]
    field: eqx.AbstractVar[np.ndarray]
    if TYPE_CHECKING:  # a field here would be the first positional argument of every subclass
        beta: float

    @property
    def size(self) -> int:
        return len(self.couplings)

    @property
    def configuration(self) -> tuple[int, ...]:
        return (self.size,)

    def energy(self, x: Array) -> Array:
        # (J s) . s counts each pair twice
        return -0.5 * jnp.dot(jnp.asarray(self.couplings, x.dtype) @ x, x) - jnp.dot(
            jnp.asarray(self.field, x.dtype), x
        )

    def observables(self, x: Array) -> dict[str, Array]:
        m = jnp.mean(x)
        return {"m": m, "abs_m": jnp.abs(m), "m2": m**2}

    def sites(self) -> Sites:
        """The spins as sites for a heat bath."""
        from massieu.exact.annealed import spin_sites

        return spin_sites(self.couplings, self.field)

    def default_density(self, seed: int) -> Any:
        from massieu.densities.blanket import BlanketMADE

        return BlanketMADE(self.couplings, self.field, width=64 if self.size <= 64 else 32, seed=seed)

    def exact(self, seed: int) -> Thermodynamics:
        """Enumeration up to 24 spins, annealed importance sampling (with its error) beyond."""
        from massieu.exact.annealed import ais_spins
        from massieu.exact.enumeration import MAX_SPINS, enumerate_spins

        if self.size <= MAX_SPINS:
            return enumerate_spins(self.couplings, self.field, self.beta)
        return ais_spins(self.couplings, self.field, self.beta, seed=seed)

    def reference(self, seed: int = 0) -> Reference:
        from massieu.exact.bethe import belief_propagation
        from massieu.exact.mean_field import naive_mean_field

        mean_field = naive_mean_field(self.couplings, self.field, self.beta)
        bethe = belief_propagation(self.couplings, self.field, self.beta)
        converged = f"{bethe.converged} of {bethe.starts} starts converged"
        approximations = {
            "naive mean field": Approximation(Estimate(mean_field.F), "upper bound"),
            "Bethe": Approximation(Estimate(bethe.F), "not a bound", converged),
        }
        return Reference(self.exact(seed), approximations, self._ideal())

    def _ideal(self) -> Thermodynamics:
        """The spins without couplings."""
        x = self.beta * self.field
        lnZ = float(np.sum(np.logaddexp(x, -x)))
        energy = -float(np.sum(self.field * np.tanh(x)))
        variance = float(np.sum((self.field / np.cosh(x)) ** 2))
        return Thermodynamics.from_log_partition(lnZ, energy, variance, self.beta, "spins without couplings")


def temperature(beta: float) -> None:
    """InputError unless beta is a finite inverse temperature > 0."""
    positive("beta", beta)
