"""What a quantum system is: a potential, a kinetic scale, a temperature, and a default density matrix."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

from jax import Array

from massieu.states import DensityMatrix
from massieu.systems.base import AbstractSystem


class QuantumSystem(AbstractSystem):
    """H = kinetic_scale * (-Laplacian) + potential(x); positions x (N, dim) in units of the box, or of the oscillator."""

    @property
    @abstractmethod
    def kinetic_scale(self) -> float:
        """Energy of -Laplacian in units of the box."""

    @property
    def imaginary_time(self) -> float:
        """Step of the flow's natural gradient: imaginary time per step, in inverse units of energy."""
        return 0.03 / self.kinetic_scale / (2 * math.pi) ** 2

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

    def finite_size(self, result: Any) -> dict[str, Any]:
        """Corrections to the infinite system as entries of the summary, for `--finite-size`."""
        return {}
