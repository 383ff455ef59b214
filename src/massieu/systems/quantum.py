"""What a quantum system is: a potential, a kinetic scale, a temperature, and a default density matrix."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

import jax.numpy as jnp
from jax import Array

from massieu.states import DensityMatrix
from massieu.systems.base import AbstractSystem
from massieu.systems.inheritance import holds


class QuantumSystem(AbstractSystem):
    """H = kinetic_scale * (-Laplacian) + potential(x); x (N, dim) in units of the box or of the oscillator."""

    states: ClassVar[tuple[str, ...]] = ("flow",)  # the families of states that it has, for `--states`

    samples_of_few: ClassVar[int] = 200_000  # of an evaluation, where correlated states are diagonalised

    @property
    def default_states(self) -> str:
        """The family in use where none is asked for."""
        return "flow"

    @property
    def few(self) -> bool:
        """Whether correlated states are few enough to be diagonalised."""
        return False

    @property
    @abstractmethod
    def kinetic_scale(self) -> float:
        """Energy of -Laplacian in units of the box."""

    @property
    def imaginary_time(self) -> float:
        """Step of the flow's natural gradient: imaginary time per step, in inverse units of energy."""
        return 0.03 / self.kinetic_scale / (2 * math.pi) ** 2

    @property
    def energy_scale(self) -> float:
        """What energies of states of a few orbitals differ by."""
        return 1.0

    @property
    @abstractmethod
    def beta(self) -> float:
        """Inverse temperature; infinite for the ground state."""

    @property
    def own_beta(self) -> float:
        return self.beta

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of particles."""

    @property
    def couples(self) -> bool:
        """Whether the potential couples the particles."""
        return True

    @abstractmethod
    def potential(self, x: Array) -> Array:
        """Potential energy of one configuration (N, dim)."""

    @abstractmethod
    def default_ansatz(self, options: Any) -> DensityMatrix:
        """The density matrix that training starts from."""

    def observables(self, label: Array, x: Array) -> dict[str, Array]:
        """Named numbers or arrays of one labelled configuration, averaged in the final evaluation."""
        return {}

    def checks(self, x: Array, kinetic: Array, gradient: Array) -> dict[str, Array]:
        """What must agree in equilibrium: <|grad ln Psi|^2>, by parts <-lap>, is the kinetic energy once more.

        kinetic: local kinetic energy; gradient (N, dim) of ln Psi.  Walkers out of equilibrium show here.
        """
        return {"kinetic_energy_from_gradient": self.kinetic_scale * jnp.sum(jnp.abs(gradient) ** 2)}

    @property
    def has_finite_size_corrections(self) -> bool:
        """Whether `finite_size` knows any for this Hamiltonian."""
        return type(self).finite_size is not QuantumSystem.finite_size and holds(type(self), "finite_size")

    def finite_size(self, result: Any) -> dict[str, Any]:
        """Corrections to the infinite system as entries of the summary, for `--finite-size`."""
        return {}
