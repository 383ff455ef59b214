"""Scalar field theory on a lattice: S = sum_x [ sum_mu (phi(x+mu) - phi(x))^2 + m2 phi^2 + lam phi^4 ]."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.errors import at_least, finite, require
from massieu.exact.thermodynamics import Thermodynamics
from massieu.physics.single_site import single_site
from massieu.systems.base import Reference, parameter
from massieu.systems.lattice_field import LatticeField

MAX_SITES = 4096


class Phi4(LatticeField):
    """phi^4 theory on a periodic lattice of side l; F = -ln Z, Z = int d^N phi exp(-S)."""

    name: ClassVar[str] = "phi4"
    summary: ClassVar[str] = "lattice phi^4 theory, S = sum_x [sum_mu (phi(x+mu) - phi(x))^2 + m2 phi^2 + lam phi^4]"
    linear: ClassVar[tuple[str, ...]] = ("m2", "lam")
    source: ClassVar[str] = "Albergo et al., arXiv:2101.08176; annealed importance sampling"

    l: int = parameter(8, "side of the lattice")
    dim: int = parameter(2, "dimensions, 1 to 4")
    m2: float = parameter(-4.0, "mass squared")
    lam: float = parameter(8.0, "coupling of phi^4")

    def __post_init__(self) -> None:
        at_least("l", self.l, 2)
        require(self.dim in (1, 2, 3, 4), "dim", self.dim, "1, 2, 3 or 4")
        finite("m2", self.m2)
        finite("lam", self.lam)
        stable = self.lam > 0 or (self.lam == 0 and self.m2 > 0)
        require(stable, "lam", self.lam, "greater than 0 (or 0 with m2 > 0), or Z is infinite")
        require(self.l**self.dim <= MAX_SITES, "l", self.l, f"of at most {MAX_SITES} sites in {self.dim} dimensions")
        self.sides = (self.l,) * self.dim

    def energy(self, x: Array) -> Array:
        return self._hopping(x) + jnp.sum(self._site(x))

    def _hopping(self, x: Array) -> Array:
        """sum_x sum_mu (phi(x+mu) - phi(x))^2 over the first `dim` axes."""
        axes = tuple(range(self.dim))
        return sum((jnp.sum((jnp.roll(x, -1, a) - x) ** 2, axes) for a in axes), start=jnp.zeros(()))

    def _site(self, x: Array) -> Array:
        return self.m2 * x**2 + self.lam * x**4

    def free_spectrum(self) -> np.ndarray:
        """The Gaussian field that has the width of a single site, its neighbours at zero."""
        width = self._single().width
        momenta = np.stack(np.meshgrid(*[2 * np.pi * np.arange(side) / side for side in self.sides], indexing="ij"))
        stiffness = 2 * np.sum(1 - np.cos(momenta), axis=0)  # S = sum_k stiffness |phi_k|^2 + ...
        curvature = np.maximum(1 / width**2 + 2 * (stiffness - 2 * self.dim), 0.2 / width**2)  # broken: < 0 at k = 0
        return 1 / np.sqrt(curvature)

    def _single(self) -> Any:
        """One site with its neighbours at zero: what is left of S without the hopping phi(x) phi(x+mu)."""
        return single_site(lambda x: (self.m2 + 2 * self.dim) * x**2 + self.lam * x**4)

    def start_width(self) -> float:
        return self._single().width

    def reference(self, seed: int = 0) -> Reference:
        single = self._single()
        lnZ, E = self.size * single.log_z, self.size * single.mean
        ideal = Thermodynamics.from_log_partition(lnZ, E, self.size * single.variance, 1.0, "uncoupled sites")
        return Reference(self.annealed(seed), {}, ideal)
