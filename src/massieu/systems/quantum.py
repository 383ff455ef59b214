"""What a quantum system is: a potential, a kinetic scale, a temperature, and a default density matrix."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from typing import Any, ClassVar

import equinox as eqx
from jax import Array

from massieu.states import DensityMatrix
from massieu.systems.base import UNITS, Reference


class QuantumSystem(eqx.Module):
    """H = kinetic_scale * (-Laplacian) + potential(x); positions x (N, dim) in units of the box."""

    name: ClassVar[str] = "user"
    summary: ClassVar[str] = ""
    source: ClassVar[str] = ""
    units: ClassVar[dict[str, str]] = UNITS

    @property
    @abstractmethod
    def kinetic_scale(self) -> float:
        """Energy of -Laplacian in units of the box."""

    @property
    @abstractmethod
    def beta(self) -> float:
        """Inverse temperature; infinite for the ground state."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of particles."""

    @abstractmethod
    def potential(self, x: Array) -> Array:
        """Potential energy of one configuration (N, dim)."""

    @abstractmethod
    def default_ansatz(self, config: Any) -> DensityMatrix:
        """The density matrix that training starts from."""

    def observables(self, label: Array, x: Array) -> dict[str, Array]:
        """Named numbers or arrays of one labelled configuration, averaged in the final evaluation."""
        return {}

    def training_defaults(self) -> dict[str, Any]:
        """Fields of the training configuration that suit the system better than the general defaults."""
        return {}

    def reference(self, seed: int = 0) -> Reference | None:
        """Exact or independent values for these parameters, or None."""
        return None

    def notes(self) -> list[str]:
        """What the user should know about these parameters before the run."""
        return []

    def parameters(self) -> dict[str, Any]:
        """The parameters by name, as configuration files show them."""
        shown = (f for f in dataclasses.fields(self) if "help" in f.metadata)
        return {f.metadata["flag"] or f.name: getattr(self, f.name) for f in shown}

    def derived_observables(self, result: Any) -> dict[str, Any]:
        """Named entries of the summary that follow from the final evaluation as a whole (an `Evaluation`)."""
        return {}
