"""Real fields on a lattice with an action: Z = int d^N phi exp(-S), F = -ln Z, no temperature beside it."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.densities.lattice import LatticeFlow
from massieu.exact.thermodynamics import Thermodynamics
from massieu.systems.base import ClassicalSystem, Path, derived

MOST_ANNEALED = 1024  # sites up to which the reference is annealed without being asked twice
CORRELATED = 8  # distances of the correlation function along an axis


class LatticeField(ClassicalSystem):
    """A field of shape `sides`; `energy` is the action, beta = 1."""

    action: ClassVar[bool] = True

    sides: tuple[int, ...] = derived()

    @property
    def beta(self) -> float:
        return 1.0

    @property
    def size(self) -> int:
        return int(np.prod(self.sides))

    @property
    def configuration(self) -> tuple[int, ...]:
        return self.sides

    def observables(self, x: Array) -> dict[str, Array]:
        """Moments of the field, and its correlations along the first axis."""
        m = jnp.mean(x)
        reach = min(CORRELATED, self.sides[0] // 2)
        along = jnp.stack([jnp.mean(x * jnp.roll(x, s, axis=0)) for s in range(reach + 1)])
        return {"phi2": jnp.mean(x**2), "abs_m": jnp.abs(m), "m2": m**2, "m4": m**4, "correlation": along}

    def training_defaults(self) -> dict[str, Any]:
        return {
            "gradient": "pathwise",
            "anneal": 0.0,
            "steps": 200,
            "batch": 256,
            "fisher_batch": 128,
            "learning_rate": 0.05,
            "precision": "float32",
        }

    @abstractmethod
    def start_width(self) -> float:
        """Standard deviation of the independent Gaussian sites that annealing starts from."""

    @abstractmethod
    def free_spectrum(self) -> np.ndarray:
        """Standard deviations of the modes (*sides) of a Gaussian field that is near enough to start from."""

    def default_density(self, seed: int) -> Any:
        return LatticeFlow(self.sides, spectrum=self.free_spectrum(), scale=2 * self.start_width())

    def path(self) -> Path:
        """(1 - t) sum x^2/(2 width^2) + t S."""
        width, axes = self.start_width(), tuple(range(len(self.sides)))
        batched = jax.vmap(self.energy, in_axes=-1)

        def action(x: Array, t: Array | float, _: Any) -> Array:
            return (1 - t) * jnp.sum(x**2, axes) / (2 * width**2) + t * batched(x)

        def sample(key: Array, count: int) -> Array:
            return width * jax.random.normal(key, (*self.sides, count))

        return Path(action, sample, 0.5 * self.size * float(np.log(2 * np.pi * width**2)), width)

    def annealed(self, seed: int, walkers: int = 1000) -> Thermodynamics | None:
        """ln Z and <S> by annealed importance sampling; None beyond MOST_ANNEALED sites."""
        if self.size > MOST_ANNEALED:
            return None
        return self.path().annealed(1.0, walkers, steps=500, seed=seed)
