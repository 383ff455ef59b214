"""Monatomic water as ice: the Stillinger-Weber model of Molinero and Moore, energies in kcal/mol, lengths in sigma."""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.errors import one_of, positive, require
from massieu.physics.crystals import lattice
from massieu.systems.base import derived, parameter
from massieu.systems.crystal import Crystal

BOLTZMANN = 0.0019872067  # kcal/(mol K)
SIGMA = 2.3925  # angstrom
EPSILON, TETRAHEDRALITY, DECAY = 6.189, 23.15, 1.2  # kcal/mol, lambda and gamma
REPULSION, ATTRACTION = 7.049556277, 0.6022245584  # A and B
TETRAHEDRAL = -1 / 3  # cosine of the angle between bonds
LATTICES = {"cubic": "diamond", "hexagonal": "hexagonal-diamond"}


class MonatomicWater(Crystal):
    """H = eps sum_{i<j} A (B r^-4 - 1) e(r, 1) + 23.15 eps sum_{i, j<k} (cos theta_jik + 1/3)^2 e(r_ij, g) e(r_ik, g).

    e(r, g) = exp(g/(r - 1.8)) for r < 1.8, g = 1.2 (Molinero and Moore, J. Phys. Chem. B 113, 4008 (2009)).
    """

    name: ClassVar[str] = "mw"
    summary: ClassVar[str] = "ice of monatomic water (Stillinger-Weber), cubic or hexagonal; F = -kT ln(Z/n!)"
    source: ClassVar[str] = (
        "thermodynamic integration; Wirnsberger et al., Mach. Learn.: Sci. Technol. 3, 025009 (2022)"
    )
    units: ClassVar[dict[str, str]] = {"energy": "kcal/mol", "length": "sigma = 2.3925 angstrom"}
    cutoff: ClassVar[float] = 1.8

    n: int = parameter(8, "number of molecules, 8 k^3: 8, 64, 216 ..")
    ice: str = parameter("cubic", "cubic or hexagonal")
    temperature: float = parameter(200.0, "temperature (K)")
    rho: float = parameter(0.033567184, "number density (1/angstrom^3)")
    beta: float = derived()

    def __post_init__(self) -> None:
        positive("temperature", self.temperature)
        positive("rho", self.rho)
        one_of("ice", self.ice, LATTICES)
        repeats = round((self.n / 8) ** (1 / 3))
        require(self.n == 8 * repeats**3 and 1 <= repeats <= 4, "n", self.n, "8 k^3 with k = 1 to 4: 8, 64, 216 or 512")
        self.beta = 1 / (BOLTZMANN * self.temperature)
        self.lattice = lattice(LATTICES[self.ice], repeats, self.rho * SIGMA**3)
        super().__post_init__()

    def energy(self, x: Array) -> Array:
        """Pairs, and triplets as powers of sums over bonds: sum_jk e_j e_k (cos + 1/3)^2 = |Q|^2 + 2 |p|^2/3 + s^2/9.

        Q = sum e rr, p = sum e r and s = sum e over the bonds of one molecule and their unit vectors r, less j = k.
        """
        nearest, squares = self.separations(x)
        r = nearest[:, None] + jnp.asarray(self.shifts, x.dtype)[None]
        near = squares < (self.cutoff - 1e-3) ** 2  # beyond, exp is 1e-300
        square = jnp.where(near, squares, 1.0)
        length = jnp.sqrt(square)
        decay = 1 / (length - self.cutoff)
        pair = jnp.where(near, REPULSION * (ATTRACTION / square**2 - 1) * jnp.exp(decay), 0.0)
        e = jnp.where(near, jnp.exp(DECAY * decay), 0.0)
        vector = jnp.sum((e / length)[..., None] * r, axis=1)
        tensor = jnp.einsum("pm,pma,pmb->pab", e / square, r, r)
        first, second = (np.eye(self.size)[i] for i in np.triu_indices(self.size, 1))
        ends, signed = jnp.asarray(first + second, x.dtype).T, jnp.asarray(first - second, x.dtype).T
        s, p, q = ends @ jnp.sum(e, axis=1), signed @ vector, ends @ tensor.reshape(-1, 9)
        c = TETRAHEDRAL
        ordered = jnp.sum(q**2) - 2 * c * jnp.sum(p**2) + c**2 * jnp.sum(s**2) - 2 * (1 - c) ** 2 * jnp.sum(e**2)
        return EPSILON * (jnp.sum(pair) + 0.5 * TETRAHEDRALITY * ordered)
