"""The Lennard-Jones crystal: face-centred cubic, truncated and shifted, energies in epsilon, lengths in sigma."""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
from jax import Array

from massieu.errors import positive, require
from massieu.physics.crystals import lattice
from massieu.physics.overlap import tamed
from massieu.systems.base import parameter, temperature
from massieu.systems.crystal import Crystal

OVERLAP = 50.0  # kT of one pair, beyond which its repulsion is tamed


class LennardJones(Crystal):
    """H = sum_{i<j} [u(r_ij) - u(2.7)] for r < 2.7, u = 4 (r^-12 - r^-6), over all images in the periodic box."""

    name: ClassVar[str] = "lj"
    summary: ClassVar[str] = "Lennard-Jones fcc crystal, truncated and shifted at 2.7 sigma; F = -kT ln(Z/n!)"
    source: ClassVar[str] = (
        "thermodynamic integration; Wirnsberger et al., Mach. Learn.: Sci. Technol. 3, 025009 (2022)"
    )
    units: ClassVar[dict[str, str]] = {"energy": "epsilon", "length": "sigma"}
    cutoff: ClassVar[float] = 2.7

    n: int = parameter(32, "number of atoms, 4 k^3: 32, 108, 256 ..")
    rho: float = parameter(1.28, "number density (1/sigma^3)")
    beta: float = parameter(0.5, "inverse temperature (1/epsilon)")

    def __post_init__(self) -> None:
        temperature(self.beta)
        positive("rho", self.rho)
        repeats = round((self.n / 4) ** (1 / 3))
        require(
            self.n == 4 * repeats**3 and 2 <= repeats <= 5, "n", self.n, "4 k^3 with k = 2 to 5: 32, 108, 256 or 500"
        )
        self.lattice = lattice("fcc", repeats, self.rho)
        super().__post_init__()

    def energy(self, x: Array) -> Array:
        inverse = jnp.maximum(1 / jnp.maximum(self.separations(x)[1], 1e-6), self.cutoff**-2.0)
        attraction, edge = inverse**3, self.cutoff**-6.0
        each = 4 * (attraction**2 - attraction - (edge**2 - edge))
        return jnp.sum(tamed(each, OVERLAP / self.beta))
