"""The XY model on any graph: H = -sum_{i<j} J_ij cos(theta_i - theta_j) - sum_i h_i . u_i, measure d^n theta."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.special import ive

from massieu.exact.thermodynamics import Thermodynamics
from massieu.systems.base import Path, Reference
from massieu.systems.vector_spins import VectorSpins, order_in_the_plane


class XY(VectorSpins):
    """Plane rotors, angles in [-pi, pi) (Kosterlitz and Thouless, J. Phys. C 6, 1181 (1973)); energies in units of J.

    Without a field the density is exactly uniform in the rotation of all angles.
    """

    name: ClassVar[str] = "xy"
    summary: ClassVar[str] = "XY model on any graph, H = -sum_{i<j} J_ij cos(theta_i - theta_j), d^n theta"
    source: ClassVar[str] = (
        "exact: rings in closed form, quadrature on narrow graphs; annealed importance sampling beyond"
    )

    def vectors(self, x: Array) -> Array:
        return jnp.stack([jnp.cos(x), jnp.sin(x)], axis=1)

    def observables(self, x: Array) -> dict[str, Array]:
        """Order of the plane; on a periodic lattice the helicity modulus along its first axis.

        Y = (1/n) <sum_b J cos D_b - beta (sum_b J sin D_b)^2> over the bonds b along the axis, D the difference.
        """
        found = order_in_the_plane(self.vectors(x))
        along = self.bonds_along()
        if along is None:
            return found
        difference = x[along[:, 1]] - x[along[:, 0]]
        stiffness = self.j * jnp.sum(jnp.cos(difference))
        current = self.j * jnp.sum(jnp.sin(difference))
        return found | {"helicity": (stiffness - self.beta * current**2) / self.size}

    def bonds_along(self) -> np.ndarray | None:
        """Bonds (m, 2) along the first axis of a periodic hypercubic lattice, each to the next site; None elsewhere."""
        if self.sides is None or self.sides[0] == 1 or self.boundary != "periodic" or self.lattice == "triangular":
            return None
        bonds = self.bonds().bonds
        places = np.stack(np.unravel_index(bonds, self.sides), axis=-1)  # (m, 2, dim)
        moved = places[:, 0, 0] != places[:, 1, 0]
        return bonds[moved]

    def path(self) -> Path:
        """t beta H from angles that are uniform."""
        batched, n = jax.vmap(self.energy, in_axes=-1), self.size

        def action(x: Array, t: Array | float, _: Any) -> Array:
            return t * self.beta * batched(x)

        def sample(key: Array, count: int) -> Array:
            return jax.random.uniform(key, (n, count), minval=-jnp.pi, maxval=jnp.pi)

        return Path(action, sample, n * math.log(2 * math.pi), 1.0)

    def default_density(self, seed: int) -> Any:
        from massieu.densities.angle_blanket import AngleBlanket

        return AngleBlanket(self.couplings, self.field, knots=self.knots(), seed=seed)

    def knots(self) -> int:
        """Knots of a conditional density: 16 to a width of the sharpest one, where all neighbours are aligned."""
        felt = np.abs(self.couplings).sum(axis=1) + np.linalg.norm(self.field, axis=1)
        return int(np.clip(16 * math.sqrt(self.beta * float(felt.max())), 24, 128))

    def reference(self, seed: int = 0) -> Reference:
        from massieu.exact.elimination import integrate_angles

        best = self._ring() or integrate_angles(self.couplings, self.field, self.beta)
        if best is None:
            best = self.path().annealed(self.beta, walkers=1000, steps=500, seed=seed)
        return Reference(best, {}, self._ideal())

    def _ring(self) -> Thermodynamics | None:
        """The closed form where the graph is one ring or chain of equal couplings without a field, else None."""
        from massieu.exact.vector_spins import xy_chain, xy_ring

        found = ring_or_chain(self.couplings)
        if found is None or np.any(self.field):
            return None
        closed, j = found
        try:
            return (xy_ring if closed else xy_chain)(self.size, self.beta, j)
        except ValueError:  # a cold frustrated ring
            return None

    def _ideal(self) -> Thermodynamics:
        """Each angle in its own field: Z = 2 pi I_0(beta |h|)."""
        x = self.beta * np.linalg.norm(self.field, axis=1)
        i0, i1 = ive(0, x), ive(1, x)
        mean = i1 / i0  # of cos; its second moment is 1 - mean/x
        square = 1 - np.where(x > 0, mean / np.where(x > 0, x, 1.0), 0.5)
        lnZ = float(np.sum(math.log(2 * math.pi) + np.log(i0) + x))
        energy, variance = -float(x @ mean) / self.beta, float(x**2 @ (square - mean**2)) / self.beta**2
        return Thermodynamics.from_log_partition(lnZ, energy, variance, self.beta, "angles without couplings")


def ring_or_chain(couplings: np.ndarray) -> tuple[bool, float] | None:
    """Whether the graph (n, n) is one ring (True) or one open chain (False) of equal couplings, and these; or None."""
    first, second = np.nonzero(np.triu(couplings))
    n, bonds = len(couplings), len(first)
    values = couplings[first, second]
    degrees = np.count_nonzero(couplings, axis=1)
    if n < 2 or bonds not in (n - 1, n) or degrees.max() > 2 or np.ptp(values) > 0:
        return None
    reached, front = {0}, [0]
    while front:
        near = set(map(int, np.flatnonzero(couplings[front.pop()]))) - reached
        reached |= near
        front += near
    return (bonds == n, float(values[0])) if len(reached) == n else None
