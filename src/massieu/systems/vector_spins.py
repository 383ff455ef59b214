"""Spins that point somewhere: H = -sum_{i<j} J_ij u_i . u_j - sum_i h_i . u_i on any graph, u_i a vector of r numbers.

Potts     u = e_s, one of q orthogonal unit vectors, so that u_i . u_j = delta(s_i, s_j)
clock     u = (cos 2 pi s/q, sin 2 pi s/q), one of q directions of the plane
XY        u = (cos theta, sin theta)
"""

from __future__ import annotations

import os
from abc import abstractmethod
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.errors import finite, require
from massieu.physics.lattices import Lattice, lattice
from massieu.systems.base import ClassicalSystem, derived, given, parameter, temperature
from massieu.systems.couplings import (
    MOST_SPINS,
    agree,
    chosen_couplings,
    couplings_parameter,
    one_of_two,
    read_array,
    read_couplings,
    read_fields,
    real_array,
)

DEFAULT = "4x4"
PICTURED = ("chain", "square", "cubic", "hypercubic", "triangular")  # one site a cell: a configuration is a picture


class VectorSpins(ClassicalSystem):
    """On a lattice of `massieu.lattice` with one coupling j, or with couplings of one's own; energies in their units.

    couplings: what `Spins` takes; fields: (n, r), r numbers for all sites if it is (1, r), or along the first direction
    (state 0, angle 0) if it is (n,) or a number.  A subclass says how a configuration points (`vectors`).
    """

    shape: str | None = parameter(None, "cells along each side of the lattice: 16 is a ring, 4x4, 4x4x4 (default: 4x4)")
    lattice: str | None = parameter(
        None, "chain, square, cubic, triangular, honeycomb or kagome (default: by the shape)"
    )
    boundary: str = parameter("periodic", "periodic or open")
    j: float = parameter(1.0, "coupling of the bonds of the lattice")
    beta: float = parameter(1.0, "inverse temperature")
    couplings_file: str | None = couplings_parameter()
    fields_file: str | None = parameter(
        None, "FILE of h, .npy (n, r), or (n,) or a number along the first direction", flag="fields"
    )
    couplings: np.ndarray = given()
    fields: np.ndarray | None = given()
    field: np.ndarray = derived()
    sides: tuple[int, ...] | None = derived()

    def __post_init__(self) -> None:
        temperature(self.beta)
        finite("j", self.j)
        self._check()
        array, self.couplings_file = one_of_two("couplings", self.couplings, self.couplings_file)
        beside, own = None, self.couplings_file is not None or array is not None
        if own and self.shape is None and self.lattice is None:
            require(self.j == 1.0, "j", self.j, "left out beside couplings of your own")
            self.couplings, beside, self.couplings_file = chosen_couplings(array, self.couplings_file)
        else:
            require(self.couplings_file is None, "couplings", self.couplings_file, "left out beside shape or lattice")
            self._of_lattice(array)
        n, r = self.size, self.components
        self.fields, self.fields_file = vector_fields(self.fields, self.fields_file, beside, n, r)
        self.field = np.zeros((n, r)) if self.fields is None else self.fields

    def _check(self) -> None:
        """InputError for parameters of the subclass."""

    def _of_lattice(self, array: Any) -> None:
        """Couplings j on the bonds of the lattice; others beside it are refused."""
        if self.shape is None and self.lattice is None:
            self.shape = DEFAULT
        bonds = self.bonds()
        require(bonds.n <= MOST_SPINS, "shape", self.shape, f"of at most {MOST_SPINS} sites, not {bonds.n}")
        self.couplings = bonds.couplings(self.j)
        if array is not None:
            agree("couplings", read_couplings("couplings", array).J, self.couplings, f"the lattice {self.shape}")
        self.sides = bonds.sides if bonds.name in PICTURED else None

    def bonds(self) -> Lattice:
        """The lattice that the parameters name."""
        if self.lattice is None:
            return lattice(str(self.shape), boundary=self.boundary)
        return lattice(self.lattice, self.shape, self.boundary)

    @property
    def components(self) -> int:
        """r, the number of components of a vector."""
        return 2

    def own_arrays(self) -> dict[str, np.ndarray]:
        own = {"couplings": self.couplings} if self.shape is None and self.lattice is None else {}
        return own | ({} if self.fields is None else {"fields": self.fields})

    @property
    def size(self) -> int:
        return len(self.couplings)

    @property
    def configuration(self) -> tuple[int, ...]:
        return (self.size,)

    def training_defaults(self) -> dict[str, Any]:
        return {"steps": 200, "batch": 512}

    @abstractmethod
    def vectors(self, x: Array) -> Array:
        """u (n, r) of a configuration x (n,)."""

    def energy(self, x: Array) -> Array:
        u = self.vectors(x)
        # u . (J u) counts each pair twice
        return -jnp.sum(u * (0.5 * (jnp.asarray(self.couplings, u.dtype) @ u) + jnp.asarray(self.field, u.dtype)))


def vector_fields(
    given: Any, path: str | None, beside: np.ndarray | None, n: int, r: int
) -> tuple[np.ndarray | None, str | None]:
    """Fields (n, r), or None, and the path: of an array, a file, or beside the couplings; all that is given agrees."""
    array, path = one_of_two("fields", given, path)
    found = None if array is None else rows_of(array, n, r)
    if path is not None and (found is None or os.path.exists(path)):
        of_file = rows_of(path, n, r)
        found = of_file if found is None else found
        agree("fields", found, of_file, f"fields_file = {path}")
    if beside is not None:
        beside = rows_of(beside, n, r)
        found = beside if found is None else found
        agree("fields", found, beside, "the file of the couplings")
    return found, path


def rows_of(given: Any, n: int, r: int) -> np.ndarray:
    """Fields (n, r) of such an array, of one row for all sites, or of (n,) or a number along the first direction."""
    if isinstance(given, str) and given.endswith(".npy"):
        given = read_array("fields", given)
    if isinstance(given, str) or np.ndim(given) != 2:
        return np.pad(read_fields("fields", given, n)[:, None], [(0, 0), (0, r - 1)])
    rows = real_array("fields", f"array of shape {np.shape(given)}", given)
    require(rows.shape in ((n, r), (1, r)), "fields", f"array of shape {rows.shape}", f"({n}, {r}), (1, {r}) or ({n},)")
    return np.broadcast_to(rows, (n, r)).copy()


def order_in_the_plane(u: Array) -> dict[str, Array]:
    """abs_m = |mean u|, m2 and m4 its powers, of vectors u (n, 2) of length one."""
    m2 = jnp.sum(jnp.mean(u, axis=0) ** 2)
    return {"abs_m": jnp.sqrt(m2), "m2": m2, "m4": m2**2}
