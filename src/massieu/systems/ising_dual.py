"""The Ising model as a continuous field: the spins are summed out after a Hubbard-Stratonovich transformation.

    K = beta J + a,   S(x) = x K^-1 x / 2 - sum_i ln cosh x_i,   Z = int d^N x exp(-S)
    ln Z_Ising = ln Z + N/2 (ln 4 - a - ln 2 pi) - ln det K / 2

With a = 0.1 - (lowest eigenvalue of beta J) K is positive definite.  Given x the spins are independent,
p(s_i = 1 | x) = 1/(1 + exp(-2 x_i)), so that a density of x is one of spins, and its bound one on ln Z_Ising
(Zhang, Sutton, Storkey and Ghahramani 2012; Li and Wang, Phys. Rev. Lett. 121, 260601 (2018)).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.errors import require
from massieu.exact.thermodynamics import Thermodynamics
from massieu.principle import Estimate
from massieu.systems.base import Reference, derived, parameter
from massieu.systems.inheritance import holds
from massieu.systems.ising import CRITICAL_BETA, Ising
from massieu.systems.lattice_field import LatticeField

LOWEST = 0.1  # eigenvalue of K


class IsingDual(LatticeField):
    """The field x of the Ising model on a periodic lattice; F = -ln Z of the field, beta is that of the spins."""

    name: ClassVar[str] = "ising-dual"
    summary: ClassVar[str] = "continuous field of the Ising model, S = x K^-1 x/2 - sum ln cosh x, K = beta J + a"
    source: ClassVar[str] = "Li and Wang, Phys. Rev. Lett. 121, 260601 (2018); exact: Kaufman (1949)"

    l: int = parameter(16, "side of the square lattice")
    shape: str | None = parameter(None, "sides of a rectangular lattice instead of l, e.g. 8x12")
    spin_beta: float = parameter(CRITICAL_BETA, "inverse temperature of the spins (default: critical)", flag="beta")
    j: float = parameter(1.0, "coupling J")
    spins: Ising = derived()
    offset: float = derived()
    inverse: np.ndarray = derived()  # K^-1 (N, N)
    log_det: float = derived()  # of K

    def __post_init__(self) -> None:
        self.spins = Ising(l=self.l, shape=self.shape, beta=self.spin_beta, j=self.j)
        self.sides = self.spins.sides
        require(self.size <= 1024, "l", self.l, "of at most 1024 sites")
        of_first_site = self.spin_beta * self.spins.couplings[0].reshape(self.sides)
        eigenvalues = np.fft.fftn(of_first_site).real  # by momentum: the lattice is periodic
        self.offset = LOWEST - float(eigenvalues.min())
        self.inverse = _by_separation(np.fft.ifftn(1 / (eigenvalues + self.offset)).real)
        self.log_det = float(np.sum(np.log(eigenvalues + self.offset)))

    @property
    def log_z_difference(self) -> float:
        """ln Z_Ising - ln Z."""
        return 0.5 * (self.size * (math.log(4) - self.offset - math.log(2 * math.pi)) - self.log_det)

    def energy(self, x: Array) -> Array:
        flat = x.reshape(-1)
        return 0.5 * flat @ (jnp.asarray(self.inverse, x.dtype) @ flat) - jnp.sum(_log_cosh(flat))

    def observables(self, x: Array) -> dict[str, Array]:
        """Moments of the field, and averages over the spins given x: energy of the Ising model and magnetisation."""
        if not holds(type(self), "log_z_difference"):
            return super().observables(x)
        s = jnp.tanh(x).reshape(-1)
        total = jnp.sum(s)
        spins = {"spin_energy": self.spins.energy(s), "spin_m2": (total**2 + jnp.sum(1 - s**2)) / self.size**2}
        return super().observables(x) | spins

    def derived_observables(self, result: Any) -> dict[str, Any]:
        """The bound on F of the spins (kT = 1/beta, their own units)."""
        if not holds(type(self), "log_z_difference"):
            return {}
        F = Estimate((result.F.value - self.log_z_difference) / self.spin_beta, result.F.error / self.spin_beta)
        return {"spin_F": F.as_dict()}

    def start_width(self) -> float:
        """That of the Gaussian field with covariance K."""
        return math.sqrt(float(np.trace(np.linalg.inv(self.inverse))) / self.size)

    def free_spectrum(self) -> np.ndarray:
        field = self.inverse[0].reshape(self.sides)
        stiffness = np.fft.fftn(field).real  # of K^-1, by momentum
        curvature = np.maximum(stiffness - 0.5, 0.2 * stiffness)  # ln cosh takes up to 1 of it, half where x is large
        return 1 / np.sqrt(curvature)

    def reference(self, seed: int = 0) -> Reference:
        """ln Z from the exact Ising model; E of the field from <x K^-1 x> = <s K s> + N is not known."""
        exact = self.spins.exact(seed)
        lnZ = Estimate(exact.lnZ.value - self.log_z_difference, exact.lnZ.error)
        best = Thermodynamics.from_estimates(lnZ, None, 1.0, f"{exact.method}, transformed")
        return Reference(best, {}, None)


def _by_separation(values: np.ndarray) -> np.ndarray:
    """The matrix (N, N) between sites of a periodic lattice, from its values (*sides) by separation."""
    sites = np.indices(values.shape).reshape(values.ndim, -1)
    apart = (sites[:, None] - sites[:, :, None]) % np.array(values.shape)[:, None, None]
    return values[tuple(apart)]


def _log_cosh(x: Array) -> Array:
    return jnp.logaddexp(x, -x) - math.log(2)
