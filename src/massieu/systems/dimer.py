"""A bistable dimer in a repulsive solvent, in a box of two dimensions: two states, many kT of barrier between them."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.densities.boxed import BoxedDimer, bond_length
from massieu.densities.central import CentralFlow
from massieu.errors import at_least, finite, positive, require
from massieu.physics.overlap import tamed
from massieu.systems.base import ClassicalSystem, Coordinate, Path, Reference, parameter, temperature

MIDDLE, QUADRATIC, QUARTIC = 1.5, 25.0, 10.0  # of the bond, in y = 2 (d - MIDDLE)
BONDS = (0.6, 2.5)  # lengths between which umbrella sampling takes place
CENTRING, WALL = 20.0, 200.0  # spring of the dimer's place, and of the walls
OVERLAP = 20.0  # kT of one pair, beyond which its repulsion is tamed
SOFT = 1.0  # square of the length that softens the repulsion at the start of annealing


class Dimer(ClassicalSystem):
    """Two bonded particles (the first two) and `solvent` others; labelled, Z = int d^{2n}x exp(-beta H).

    H = slope y - 25 y^2 + 10 y^4, y = 2 (d - 1.5), d the bond, + 20 (x_1 + x_2)^2 + 20 (y_1^2 + y_2^2)
        + 200 sum (|x| - box)^2 beyond the walls + sum (sigma/r)^12 over all pairs but the bond
    (Noe, Olsson, Kohler and Wu, Science 365, eaaw1147 (2019), with 36 particles of solvent).
    """

    name: ClassVar[str] = "dimer"
    summary: ClassVar[str] = "bistable dimer in a repulsive solvent: free energy between its closed and its open state"
    source: ClassVar[str] = "annealed importance sampling; umbrella sampling (massieu baseline dimer --method umbrella)"
    linear: ClassVar[tuple[str, ...]] = ("slope",)

    solvent: int = parameter(2, "particles of solvent")
    beta: float = parameter(1.0, "inverse temperature")
    slope: float = parameter(-0.5, "slope of the bond's potential: below 0 it favours the open state")
    box: float = parameter(2.0, "half the side of the box")
    sigma: float = parameter(1.1, "diameter of the particles")

    def __post_init__(self) -> None:
        at_least("solvent", self.solvent, 0)
        require(self.solvent <= 64, "solvent", self.solvent, "at most 64")
        temperature(self.beta)
        finite("slope", self.slope)
        for name in ("box", "sigma"):
            positive(name, getattr(self, name))

    @property
    def configuration(self) -> tuple[int, ...]:
        return (self.size, 2)

    @property
    def size(self) -> int:
        return 2 + self.solvent

    def energy(self, x: Array) -> Array:
        return self._bonded(x) + self._walls(x) + self._repulsion(x, 0.0)

    def _bonded(self, x: Array) -> Array:
        """Energy of the dimer alone, x (n, 2, ..)."""
        y = 2 * (bond_length(x) - MIDDLE)
        place = (x[0, 0] + x[1, 0]) ** 2 + x[0, 1] ** 2 + x[1, 1] ** 2
        return self.slope * y - QUADRATIC * y**2 + QUARTIC * y**4 + CENTRING * place

    def _walls(self, x: Array) -> Array:
        return WALL * jnp.sum(jnp.maximum(jnp.abs(x) - self.box, 0.0) ** 2, axis=(0, 1))

    def _repulsion(self, x: Array, soft: Array | float) -> Array:
        """sum (sigma^2/(r^2 + soft))^6 over all pairs but the bond, growing as a logarithm beyond OVERLAP."""
        first, second = (index[1:] for index in np.triu_indices(self.size, 1))
        r2 = jnp.sum((x[first] - x[second]) ** 2, axis=1)
        return jnp.sum(tamed((self.sigma**2 / (r2 + soft)) ** 6, OVERLAP / self.beta), axis=0)

    def observables(self, x: Array) -> dict[str, Array]:
        """Bond length, whether the dimer is open (d > 1.5), and the parts of the energy."""
        d = bond_length(x)
        return {"bond": d, "open": jnp.where(d > MIDDLE, 1.0, 0.0), "repulsion": self._repulsion(x, 0.0)}

    def derived_observables(self, result: Any) -> dict[str, Any]:
        """F(open) - F(closed) = -kT ln(p/(1 - p)) from the reweighted samples."""
        share = result.observables["open"]["reweighted"]
        p, error = share["value"], share["error"]
        if not 0 < p < 1:
            return {}
        return {"delta_F": {"value": -math.log(p / (1 - p)) / self.beta, "error": error / (p * (1 - p)) / self.beta}}

    def path(self) -> Path:
        """(1 - t) (-ln p_0) + t beta H from independent particles, with a repulsion that is soft until t = 1."""
        base = self.base()
        each = jax.vmap(base._log_prob, in_axes=-1)

        def action(x: Array, t: Array | float, _: Any) -> Array:
            full = self._bonded(x) + self._walls(x) + self._repulsion(x, SOFT * (1 - t))
            return t * self.beta * full - (1 - t) * each(x)

        return Path.from_density(action, base, 0.3 / math.sqrt(2 * CENTRING * self.beta))

    def coordinate(self) -> Coordinate:
        """The length of the bond."""

        def place(x: Array, values: Array) -> Array:
            ends = jnp.stack([0.5 * values, -0.5 * values])
            return x.at[:2].set(jnp.stack([ends, jnp.zeros_like(ends)], axis=1))

        return Coordinate("bond", bond_length, place, *BONDS, MIDDLE)

    def base(self) -> BoxedDimer:
        """Independent particles, the dimer in both of its states."""
        d = np.linspace(0.3, 3.0, 2001)
        y = 2 * (d - MIDDLE)
        u = self.slope * y - QUADRATIC * y**2 + QUARTIC * y**4
        middle = int(np.argmax(np.where(np.abs(y) < 0.5, u, -np.inf)))
        lowest = np.array([np.argmin(u[:middle]), middle + np.argmin(u[middle:])])
        stiffness = np.gradient(np.gradient(u, d), d)[lowest]
        beta = self.beta
        return BoxedDimer(
            self.solvent, self.box, WALL * beta, CENTRING * beta, d[lowest], 1 / np.sqrt(beta * stiffness)
        )

    def default_density(self, seed: int) -> CentralFlow:
        kinds = np.array([0, 0] + [1] * self.solvent)
        return CentralFlow(self.base(), kinds, reach=2.5 * self.sigma, box=self.box)

    def training_defaults(self) -> dict[str, Any]:
        return {
            "gradient": "pathwise",
            "anneal": 0.7,  # hot particles overlap freely: the repulsion comes in little by little
            "beta_start": 0.02 * self.beta,
            "steps": 150,
            "batch": 256,
            "learning_rate": 0.05,
            "samples": 20000,
        }

    def reference(self, seed: int = 0) -> Reference:
        """Annealed importance sampling from independent particles."""
        return Reference(self.path().annealed(self.beta, walkers=500, steps=500, seed=seed), {}, None)
