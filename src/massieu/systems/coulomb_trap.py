"""Charges in a harmonic trap: H = sum_i kappa x_i^2 + sum_{i<j} 1/|x_i - x_j|, labelled, without momenta."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flowjax.distributions import AbstractDistribution
from jax import Array

from massieu.densities.ensembles import Gaussian, Ginibre, Hermite, squared_distances
from massieu.densities.equivariant import EquivariantFlow
from massieu.errors import at_least, positive, require
from massieu.exact.thermodynamics import Thermodynamics
from massieu.systems.base import ClassicalSystem, Path, Reference, parameter, temperature
from massieu.systems.inheritance import holds

LIQUID = 10.0  # beta kappa^(1/3) up to which the charges still exchange places freely
MAX_QUENCHED = 12  # particles up to which samples are quenched to their minima in the evaluation


class CoulombTrap(ClassicalSystem):
    """n labelled charges in d dimensions; Z = int d^{dn}x exp(-beta H) with no 1/n!, so S may be negative."""

    name: ClassVar[str] = "coulomb-trap"
    summary: ClassVar[str] = "charges in a harmonic trap, H = sum kappa x_i^2 + sum_{i<j} 1/|x_i - x_j|"
    linear: ClassVar[tuple[str, ...]] = ("kappa",)
    source: ClassVar[str] = (
        "independent: quadrature (n <= 2), thermodynamic integration and annealed importance sampling"
    )

    n: int = parameter(6, "number of charges")
    dim: int = parameter(2, "dimensions of space, 1 to 3")
    beta: float = parameter(10.0, "inverse temperature")
    kappa: float = parameter(1.0, "strength of the trap")

    def __post_init__(self) -> None:
        at_least("n", self.n, 1)
        require(self.n <= 128, "n", self.n, "at most 128")
        require(self.dim in (1, 2, 3), "dim", self.dim, "1, 2 or 3")
        temperature(self.beta)
        positive("kappa", self.kappa)

    @property
    def minima(self) -> np.ndarray:
        """Energies of the lowest local minima."""
        return np.array([energy for energy, _ in _lowest_minima(self.n, self.dim, self.kappa)])

    @property
    def minimum(self) -> np.ndarray:
        """Positions (n, dim) of the lowest minimum."""
        return _lowest_minima(self.n, self.dim, self.kappa)[0][1]

    @property
    def configuration(self) -> tuple[int, ...]:
        return (self.n, self.dim)

    @property
    def size(self) -> int:
        return self.n

    def energy(self, x: Array) -> Array:
        return self.kappa * jnp.sum(x**2) + jnp.sum(jax.lax.rsqrt(squared_distances(x)))

    def observables(self, x: Array) -> dict[str, Array]:
        """Parts of the energy and, for few charges, the minimum (by rising energy) that x relaxes to.

        None of it for a subclass with an energy of its own.
        """
        if not holds(type(self), "minima"):
            return {}
        trap = self.kappa * jnp.sum(x**2)
        found = {"trap_energy": trap, "coulomb_energy": self.energy(x) - trap}
        if 2 < self.n <= MAX_QUENCHED and len(self.minima) > 1 and self.dim > 1:
            distance = jnp.abs(self._relaxed_energy(x) - jnp.asarray(self.minima))
            basin = jnp.zeros(len(self.minima)).at[jnp.argmin(distance)].set(1.0)
            found["minimum_fractions"] = jnp.where(jnp.min(distance) < self._resolution(), basin, 0.0)
        return found

    def _resolution(self) -> float:
        return 0.4 * float(np.min(np.diff(self.minima)))

    def _relaxed_energy(self, x: Array, steps: int = 300) -> Array:
        """Energy after steepest descent with momentum, displacements limited to a fraction of the spacing."""
        spacing = (1 / (2 * self.kappa)) ** (1 / 3)

        def step(state: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
            x, velocity = state
            velocity = 0.9 * velocity - 0.02 / self.kappa * jax.grad(self.energy)(x)
            length = jnp.sqrt(jnp.sum(velocity**2, axis=-1, keepdims=True) + 1e-30)
            velocity = velocity * jnp.minimum(1.0, 0.1 * spacing / length)
            return (x + velocity, velocity), None

        (x, _), _ = jax.lax.scan(step, (x, jnp.zeros_like(x)), None, length=steps)
        return self.energy(x)

    def path(self) -> Path:
        """From particles without repulsion, which is switched on as t^3."""
        from massieu.exact.trap import ideal_log_partition, trap_action

        width = 1 / math.sqrt(2 * self.beta * self.kappa)

        def action(x: Array, t: Array | float, _: Any) -> Array:
            return trap_action(x, t, (self.beta, self.kappa))

        def sample(key: Array, count: int) -> Array:
            return width * jax.random.normal(key, (self.n, self.dim, count))

        return Path(action, sample, ideal_log_partition(self.n, self.dim, self.beta, self.kappa), width)

    def default_density(self, seed: int) -> EquivariantFlow:
        base, scale, radius = self._base()
        spacing = 2 * radius / self.n ** (1 / self.dim) if self.n > 1 else radius
        return EquivariantFlow(base, scale=scale, radius=radius, spacing=spacing, key=jax.random.key(seed))

    def training_defaults(self) -> dict[str, Any]:
        n = self.n
        liquid = LIQUID / self.kappa ** (1 / 3)  # below this temperature the minima separate: come from above
        batch = 256 if n <= 8 else max(64, 4 * int(64 * (8 / n) ** 1.2))
        return {
            "steps": 250,
            "batch": batch,
            "gradient": "pathwise",
            "learning_rate": 0.05,
            "precision": "float32",
            "anneal": 0.5 if self.beta > liquid else 0.0,
            "beta_start": liquid,
            "samples": 10000,
        }

    def _base(self) -> tuple[AbstractDistribution, float, float]:
        """The solvable base with the lowest free energy at its best scale, that scale, and the cloud's radius."""
        trials = [(*self._scaled_free_energy(base), base) for base in self._candidates()]
        _, scale, radius, base = min(trials, key=lambda trial: trial[0])
        return base, scale, radius

    def _candidates(self) -> list[AbstractDistribution]:
        if self.n == 1 or self.dim == 3:
            return [Gaussian(self.n, self.dim)]
        if self.dim == 2:
            return [Gaussian(self.n, 2), Ginibre(self.n)]
        return [Hermite(self.n, 2.0**k) for k in range(8)]  # on a line <1/r> diverges for independent charges

    def _scaled_free_energy(self, base: AbstractDistribution) -> tuple[float, float, float]:
        """(F, scale, radius) of the base at the scale that minimises F = a s^2 + b/s - (dn ln s)/beta + const."""
        z, log_prob = base.sample_and_log_prob(jax.random.key(5), (2000,))
        r2 = float(jnp.mean(jnp.sum(z**2, axis=(1, 2))))
        inverse = float(jnp.mean(jnp.sum(jax.lax.rsqrt(jax.vmap(squared_distances)(z)), axis=1))) if self.n > 1 else 0.0
        s = np.exp(np.linspace(math.log(1e-3), math.log(1e3), 20000))
        F = self.kappa * r2 * s**2 + inverse / s - (z[0].size * np.log(s) - float(jnp.mean(log_prob))) / self.beta
        best = int(np.argmin(F))
        return float(F[best]), float(s[best]), float(s[best]) * math.sqrt(r2 / self.n)

    def reference(self, seed: int = 0) -> Reference:
        from massieu.exact.trap import ideal_log_partition, trap_reference

        best = trap_reference(self.n, self.dim, self.beta, self.kappa, seed=seed)
        lnZ = ideal_log_partition(self.n, self.dim, self.beta, self.kappa)
        E = 0.5 * self.n * self.dim / self.beta  # equipartition
        ideal = Thermodynamics.from_log_partition(lnZ, E, E / self.beta, self.beta, "charges without repulsion")
        return Reference(best, {}, ideal)


@cache
def _lowest_minima(n: int, dim: int, kappa: float) -> list[tuple[float, np.ndarray]]:
    """Looked for when first asked for: the evaluation and the figures need them, training does not."""
    from massieu.exact.trap import trap_minima

    return trap_minima(n, dim, kappa, starts=200 if n <= MAX_QUENCHED else 20)[:4]
