"""What a system is: a Hamiltonian, a temperature, and what is known about it."""

from __future__ import annotations

import dataclasses
import inspect
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.errors import InputError, finite, require
from massieu.exact.thermodynamics import Thermodynamics
from massieu.principle import Estimate

T = TypeVar("T")
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


DEFINING = ("energy", "potential", "kinetic_scale", "hamiltonian", "terms", "couplings", "field")


def by_class(table: Mapping[Any, T], kind: type) -> T | None:
    """The entry of the nearest base class of `kind`, or None."""
    return next((table[base] for base in kind.__mro__ if base in table), None)


def holds(kind: type, *methods: str) -> bool:
    """Whether what these methods know of the Hamiltonian holds for `kind`.

    It does unless a class below the one that defines them redefines the Hamiltonian: `energy`, `potential` or another
    of DEFINING, or the `__post_init__` of a complete system, which computes couplings.
    """
    mro = kind.__mro__
    owner = next(place for place, base in enumerate(mro) if any(name in vars(base) for name in methods))
    known = {name for base in mro[owner:] for name, v in vars(base).items() if not _is_abstract(v)} & set(DEFINING)
    redefined = any(name in vars(base) for base in mro[:owner] for name in known)
    return not redefined and not any(_recomputes(base) for base in mro[:owner])


def _is_abstract(member: Any) -> bool:
    return getattr(member, "__isabstractmethod__", False)


def _recomputes(kind: type) -> bool:
    """Whether a class changes what a complete system computes from its parameters."""
    parent = kind.__mro__[1]
    return "__post_init__" in vars(kind) and hasattr(parent, "__post_init__") and not inspect.isabstract(parent)


def parameter(default: Any, text: str, flag: str | None = None) -> Any:
    """A parameter of a system: its default, its line of help, and its name for users if not the field's own."""
    return eqx.field(default=default, static=True, metadata={"help": text, "flag": flag})


def derived() -> Any:
    """A field that __post_init__ computes from the parameters; not an argument to give."""
    return eqx.field(default=None, repr=False, kw_only=True, metadata={"derived": True})


class AbstractSystem(eqx.Module):
    """What classical and quantum systems share: their names, units and parameters, and what is known about them."""

    name: ClassVar[str] = "user"
    summary: ClassVar[str] = ""
    source: ClassVar[str] = ""
    units: ClassVar[dict[str, str]] = UNITS
    action: ClassVar[bool] = False
    reference_beside: ClassVar[bool] = True  # whether the reference may be computed while training asks for energies

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
        shown = (f for f in dataclasses.fields(self) if "help" in f.metadata)
        return {f.metadata["flag"] or f.name: getattr(self, f.name) for f in shown}


class ClassicalSystem(AbstractSystem):
    """A classical Hamiltonian.  One method is needed, `energy`; the others add what is known about the system.

    Energies are totals and k_B = 1.  Spins are +-1 of shape (n,), particles have positions of shape (n, dim), fields
    the shape of their lattice.  Where `action` is true the energy is an action: Z = int exp(-S), beta = 1.
    """

    linear: ClassVar[tuple[str, ...]] = ()  # parameters in which the energy is linear

    @abstractmethod
    def energy(self, x: Array) -> Array:
        """H of one configuration x, a scalar."""

    def observables(self, x: Array) -> dict[str, Array]:
        """Named numbers or arrays of one configuration, averaged in the final evaluation."""
        return {}

    def conjugate(self, name: str) -> Callable[[Array], Array]:
        """dH/d(parameter) of one configuration, for a parameter in which the energy is linear."""
        require(name in self.linear, "parameter", name, f"one of {', '.join(self.linear) or 'none'} for {self.name}")
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
    beta: eqx.AbstractVar[float]

    @property
    def size(self) -> int:
        return len(self.couplings)

    def energy(self, x: Array) -> Array:
        # (J s) . s counts each pair twice
        return -0.5 * jnp.dot(jnp.asarray(self.couplings, x.dtype) @ x, x) - jnp.dot(
            jnp.asarray(self.field, x.dtype), x
        )

    def observables(self, x: Array) -> dict[str, Array]:
        m = jnp.mean(x)
        return {"m": m, "abs_m": jnp.abs(m), "m2": m**2}

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


def read_array(name: str, path: str) -> np.ndarray:
    """A finite float array from a .npy file; InputError (with the reason) if it cannot be had."""
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or "not a NumPy array file"
        raise InputError(f"{name} = {path}: must be a readable .npy file ({reason})") from None
    require(isinstance(array, np.ndarray) and array.dtype.kind in "fiu", name, path, "an array of real numbers")
    require(bool(np.all(np.isfinite(array))), name, path, "free of NaN and infinity")
    return np.asarray(array, float)


def read_couplings(name: str, path: str, n: int | None) -> np.ndarray:
    """A symmetric (n, n) matrix with zero diagonal from a .npy file; InputError otherwise."""
    J = read_array(name, path)
    require(J.ndim == 2 and J.shape[0] == J.shape[1], name, path, f"a square matrix, not of shape {J.shape}")
    size = J.shape[0]
    require(n is None or size == n, name, path, f"of shape ({n}, {n}) as n = {n} says, not ({size}, {size})")
    require(size > 0 and bool(np.allclose(J, J.T, rtol=1e-12, atol=1e-12)), name, path, "a symmetric matrix")
    require(not np.any(np.diag(J)), name, path, "a matrix with zero diagonal")
    return J


def temperature(beta: float) -> None:
    """InputError unless beta is a finite inverse temperature > 0."""
    finite("beta", beta)
    require(beta > 0, "beta", beta, "a finite number > 0")
