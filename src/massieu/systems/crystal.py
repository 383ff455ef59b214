"""Atoms in a crystal: Z/n! = int d^{3n}x exp(-beta H)/n! over one crystal, lengths in sigma, Lambda = sigma."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.densities.crystal import CrystalFlow, HarmonicCrystal, log_volume
from massieu.errors import InputError, require
from massieu.exact.annealed import annealed_importance_sampling
from massieu.exact.integration import combine, thermodynamic_integration
from massieu.exact.thermodynamics import Thermodynamics
from massieu.geometry import minimum_image
from massieu.physics.crystals import Lattice, Vibrations, image_shifts, vibrations
from massieu.systems.base import ClassicalSystem, Path, Reference, derived

BINS = 60  # of g(r)
CONTACT = 0.7  # sigma: no pair comes closer
MOST_ANNEALED = 32  # atoms up to which the reference is computed without being asked twice
WALKERS = 100


class Crystal(ClassicalSystem):
    """n labelled atoms, each at its own site; a subclass sets `lattice`, `cutoff` and `beta` and adds `energy`.

    F = -kT ln(Z/n!): the n! labellings cancel, and the centre of mass adds n^{3/2} (volume of a primitive cell).
    """

    lattice: Lattice = derived()
    shifts: np.ndarray = derived()  # (M, 3) images within the cutoff

    cutoff: ClassVar[float] = 0.0  # sigma
    if TYPE_CHECKING:  # a field here would be the first positional argument of every subclass
        beta: float = 0.0

    def __post_init__(self) -> None:
        fits = float(np.min(self.lattice.box)) > self.cutoff  # else an atom would see itself
        require(fits, "n", self.size, f"large enough for a box longer than the cut-off of {self.cutoff} sigma")
        self.shifts = image_shifts(self.lattice.box, self.cutoff)

    @property
    def configuration(self) -> tuple[int, ...]:
        return (self.size, 3)

    @property
    def size(self) -> int:
        return len(self.lattice.sites)

    def separations(self, x: Array) -> tuple[Array, Array]:
        """r_i - r_j of the pairs i < j to the nearest image (P, 3), and the squares of all images' lengths (P, M)."""
        box, shifts = jnp.asarray(self.lattice.box, x.dtype)[None], jnp.asarray(self.shifts, x.dtype)
        first, second = np.triu_indices(self.size, 1)
        nearest = minimum_image((x[first] - x[second]) / box) * box
        squares = jnp.sum(nearest**2, axis=1)[:, None] + jnp.sum(shifts**2, axis=1)[None]
        return nearest, squares + 2 * nearest @ shifts.T

    @abstractmethod
    def energy(self, x: Array) -> Array: ...

    def observables(self, x: Array) -> dict[str, Array]:
        """Mean square displacement from the site (sigma^2), and g(r) in BINS bins."""
        moved = x - jnp.asarray(self.lattice.sites, x.dtype)
        moved = moved - jnp.mean(moved, axis=0, keepdims=True)
        edges = self.radii()
        lengths = jnp.sqrt(self.separations(x)[1])
        counts = 2 * jnp.histogram(lengths, bins=jnp.asarray(edges, x.dtype))[0]
        shells = 4 / 3 * np.pi * np.diff(edges**3) * self.size**2 / np.prod(self.lattice.box)
        return {"displacement2": jnp.mean(jnp.sum(moved**2, axis=1)), "g": counts / shells}

    def radii(self) -> np.ndarray:
        """Edges (BINS + 1,) of the bins of g(r), from CONTACT to half the shortest side."""
        return np.linspace(CONTACT, 0.5 * float(np.min(self.lattice.box)), BINS + 1)

    def harmonic(self) -> Vibrations:
        """Vibrations of beta H about the sites; InputError where the crystal is not stable."""
        try:
            return vibrations(lambda x: self.beta * self.energy(x), self.lattice.sites)
        except ValueError as error:
            raise InputError(f"rho = {self.size / np.prod(self.lattice.box):.4g}: must be another, {error}") from None

    def default_density(self, seed: int) -> CrystalFlow:
        return CrystalFlow(HarmonicCrystal(self.lattice, self.harmonic()))

    def training_defaults(self) -> dict[str, Any]:
        return {
            "gradient": "pathwise",
            "anneal": 0.0,
            "steps": 100,
            "batch": 128,
            "learning_rate": 0.05,
            "precision": "float32",
            "samples": 5000,
        }

    def path(self) -> Path:
        """(1 - t) harmonic crystal + t beta H."""
        found = self.harmonic()
        base = HarmonicCrystal(self.lattice, found)
        each = jax.lax.map if jax.default_backend() == "cpu" else lambda f, x: jax.vmap(f)(x)  # one fits the cache
        sites, rows = self.lattice.sites[..., None], found.modes * np.sqrt(found.stiffness)

        def action(x: Array, t: Array | float, _: Any) -> Array:
            z = rows.T @ (x - sites).reshape(3 * self.size, -1)
            return (1 - t) * 0.5 * jnp.sum(z**2, axis=0) + t * self.beta * each(self.energy, jnp.moveaxis(x, -1, 0))

        log_base = 0.5 * float(np.sum(np.log(2 * np.pi / found.stiffness))) + log_volume(self.lattice)
        start = Path.from_density(action, base, float(1 / np.sqrt(found.stiffness[-1])))
        return start._replace(log_base=log_base)  # the action at t = 0 is not normalised

    def reference(self, seed: int = 0) -> Reference | None:
        """Thermodynamic integration and annealed importance sampling from the harmonic crystal."""
        path = self.path()
        ground, thermal = float(self.energy(jnp.asarray(self.lattice.sites))), 1.5 * (self.size - 1)
        ideal = Thermodynamics.from_log_partition(
            path.log_base - self.beta * ground,
            ground + thermal / self.beta,
            thermal / self.beta**2,
            self.beta,
            "harmonic crystal",
        )
        if self.size > MOST_ANNEALED:
            return Reference(None, {}, ideal)
        arguments: dict[str, Any] = {
            "width": path.width,
            "observable": lambda x, t, parameters: path.action(x, 1.0, parameters) / self.beta,
        }
        one = annealed_importance_sampling(*path[:3], None, walkers=WALKERS, steps=100, seed=2 * seed, **arguments)
        other = thermodynamic_integration(
            *path[:3], None, chains=WALKERS, nodes=6, bridges=5, moves=20, seed=2 * seed + 1, **arguments
        )
        lnZ, E = combine([one.lnZ, other.lnZ]), combine([m for m in (one.mean, other.mean) if m is not None])
        method = f"annealing (ESS {one.ess:.0f} of {WALKERS}) and thermodynamic integration from the harmonic crystal"
        return Reference(Thermodynamics.from_estimates(lnZ, E, self.beta, method), {}, ideal)
