"""Crystal lattices in a periodic box, and their harmonic vibrations."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.precision import double_precision

FCC = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2
HCP = np.array([[0, 0, 0], [1 / 2, 1 / 2, 0], [0, 1 / 3, 1 / 2], [1 / 2, 5 / 6, 1 / 2]])
HEXAGONAL_CELL = np.array([1.0, np.sqrt(3), np.sqrt(8 / 3)])
CELLS = {  # positions in units of the cell, its sides up to a factor, and primitive cells in it
    "fcc": (FCC, np.ones(3), 4),
    "diamond": (np.concatenate([FCC, FCC + 1 / 4]), np.ones(3), 4),
    "hexagonal-diamond": (np.concatenate([HCP, HCP + np.array([0, 0, 3 / 8])]), HEXAGONAL_CELL, 2),
}


class Lattice(NamedTuple):
    """Sites (n, 3) in a box of sides (3,); `translations`: how many of them map the crystal onto itself."""

    sites: np.ndarray
    box: np.ndarray
    translations: int


class Vibrations(NamedTuple):
    """Orthonormal modes (3n, 3n - 3) without the translations, and the stiffness of each (3n - 3,)."""

    modes: np.ndarray
    stiffness: np.ndarray


def lattice(kind: str, repeats: int, density: float) -> Lattice:
    """repeats^3 cells of the lattice `kind` (a key of CELLS) at the number density."""
    basis, sides, primitive = CELLS[kind]
    axis = np.arange(repeats)
    corners = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    fractions = (corners + basis).reshape(-1, 3) / repeats
    shape = sides / np.prod(sides) ** (1 / 3)
    box = shape * (len(fractions) / density) ** (1 / 3)
    return Lattice(fractions * box, box, primitive * repeats**3)


def image_shifts(box: np.ndarray, cutoff: float) -> np.ndarray:
    """Shifts (M, 3) whose sum with a minimum-image separation can be shorter than the cutoff; the zero is first."""
    reach = np.floor(cutoff / box + 0.5).astype(int)
    axes = [np.arange(-most, most + 1) for most in reach]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    nearest = np.maximum(np.abs(grid) - 0.5, 0.0) * box
    near = grid[np.sqrt(np.sum(nearest**2, axis=1)) < cutoff]
    return near[np.argsort(np.sum(near**2, axis=1), kind="stable")] * box


def vibrations(energy: Callable[[Array], Array], sites: np.ndarray) -> Vibrations:
    """Modes of the Hessian of `energy` at the sites (n, dim), one column at a time; ValueError if one is not stable."""
    with double_precision():
        flat = jnp.asarray(sites.reshape(-1))
        force = jax.grad(lambda x: energy(x.reshape(sites.shape)))
        hessian = jax.jit(lambda: jax.lax.map(lambda e: jax.jvp(force, (flat,), (e,))[1], jnp.eye(flat.size)))()
    values, modes = np.linalg.eigh(0.5 * np.asarray(hessian + hessian.T))
    dim = sites.shape[1]
    still = np.abs(values) < 1e-6 * values[-1]
    if np.sum(still) != dim or values[np.flatnonzero(~still)[0]] < 0:
        raise ValueError(f"the crystal is not stable: lowest stiffness {values[0]:.3g}")
    return Vibrations(modes[:, ~still], values[~still])
