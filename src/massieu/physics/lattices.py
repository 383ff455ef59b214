"""Lattices by name: sites, bonds and positions, for spins and for qubits.

chain, square, cubic, hypercubic     nearest neighbours along each axis
triangular                           a square lattice with one diagonal: six neighbours
honeycomb, kagome                    two and three sites a cell of the triangular lattice: three and four neighbours
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np

from massieu.errors import InputError, did_you_mean, one_of, require

MOST_SITES = 4096
HALF = 0.5 * np.sqrt(3)
OBLIQUE = np.array([[1.0, 0.0], [0.5, HALF]])  # rows: a_1, a_2


@dataclasses.dataclass(frozen=True)
class _Cell:
    """Sites of a cell in units of its vectors (rows of `vectors`), bonds (site, other site, shift of its cell)."""

    vectors: np.ndarray
    sites: np.ndarray
    bonds: tuple[tuple[int, int, tuple[int, ...]], ...]


def _hypercubic(dim: int) -> _Cell:
    steps = np.eye(dim, dtype=int)
    return _Cell(np.eye(dim), np.zeros((1, dim)), tuple((0, 0, tuple(step.tolist())) for step in steps))


CELLS = {
    "chain": _hypercubic(1),
    "square": _hypercubic(2),
    "cubic": _hypercubic(3),
    "triangular": _Cell(OBLIQUE, np.zeros((1, 2)), ((0, 0, (1, 0)), (0, 0, (0, 1)), (0, 0, (-1, 1)))),
    "honeycomb": _Cell(
        OBLIQUE, np.array([[0.0, 0.0], [1 / 3, 1 / 3]]), ((0, 1, (0, 0)), (0, 1, (-1, 0)), (0, 1, (0, -1)))
    ),
    "kagome": _Cell(
        OBLIQUE,
        np.array([[0.0, 0.0], [0.5, 0.0], [0.0, 0.5]]),
        ((0, 1, (0, 0)), (0, 2, (0, 0)), (1, 2, (0, 0)), (0, 1, (-1, 0)), (0, 2, (0, -1)), (1, 2, (1, -1))),
    ),
}  # fmt: skip
SIDES = {"chain": "16", "square": "8x8", "cubic": "4x4x4", "triangular": "6x6", "honeycomb": "4x4", "kagome": "4x4"}


@dataclasses.dataclass(frozen=True)
class Lattice:
    """Sites 0 .. n - 1, bonds (m, 2) between them (a bond twice where both directions of a short side meet), and
    positions (n, dim) in units of the distance of cells; as an array it is the couplings J_ij = 1 of its bonds.
    """  # fmt: skip

    name: str
    sides: tuple[int, ...]
    boundary: str
    bonds: np.ndarray
    positions: np.ndarray

    @property
    def n(self) -> int:
        """Number of sites."""
        return len(self.positions)

    def couplings(self, j: Any = 1.0) -> np.ndarray:
        """J (n, n), symmetric, of bonds that all have the coupling j, or each its own j (m,)."""
        found, (a, b) = np.zeros((self.n, self.n)), self.bonds.T
        of_bonds = np.broadcast_to(np.asarray(j, float), (len(self.bonds),))
        np.add.at(found, (a, b), of_bonds)
        np.add.at(found, (b, a), of_bonds)
        return found

    def pauli(self, pair: dict[str, float], single: dict[str, float] | None = None) -> str:
        """A sum of Pauli matrices for `Qubits`: pair {"ZZ": -1.0} on every bond, single {"X": -0.5} on every site."""
        for letters, length, name in ((pair, 2, "pair"), (single or {}, 1, "single")):
            for word in letters:
                good = len(word) == length and set(word) <= set("XYZ")
                require(good, name, word, f"{length} of the letters X, Y, Z")
        terms = [f"{c:.17g} {p[0]}{a} {p[1]}{b}" for a, b in self.bonds.tolist() for p, c in pair.items()]
        terms += [f"{c:.17g} {p}{q}" for q in range(self.n) for p, c in (single or {}).items()]
        return "\n".join(terms)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.couplings(), dtype)


def lattice(name: str, shape: str | None = None, boundary: str = "periodic") -> Lattice:
    """The lattice of a name, with `shape` cells along each side, such as 6x6; or a shape alone, 8x8x8, hypercubic.

    boundary: periodic or open.  InputError for names, shapes and boundaries that are none.
    """
    one_of("boundary", boundary, ["periodic", "open"])
    if name in CELLS:
        cell, sides = CELLS[name], _sides(shape or SIDES[name])
        dim = len(cell.vectors)
        require(len(sides) == dim, "shape", shape, f"of {dim} sides for {name}, such as {SIDES[name]}")
    elif shape is None and name.replace("x", "").isdecimal():
        sides = _sides(name)
        cell, name = _hypercubic(len(sides)), "hypercubic"
    else:
        known = (*CELLS, "a shape such as 8x8x8")
        raise InputError(f"lattice = {name}: must be one of {', '.join(known)}{did_you_mean(name, CELLS)}")
    count = math.prod(sides) * len(cell.sites)
    require(count <= MOST_SITES, "shape", "x".join(map(str, sides)), f"of at most {MOST_SITES} sites, not {count}")
    return Lattice(name, sides, boundary, _bonds(cell, sides, boundary == "periodic"), _positions(cell, sides))


def _sides(text: str) -> tuple[int, ...]:
    words = str(text).lower().split("x")
    good = all(word.isdecimal() and int(word) > 0 for word in words)
    require(good, "shape", text, "positive integers such as 16, 8x8 or 4x4x4")
    return tuple(int(word) for word in words)


def _bonds(cell: _Cell, sides: tuple[int, ...], periodic: bool) -> np.ndarray:
    """(m, 2); a side of one cell has no bond to itself."""
    found = []
    for place in itertools.product(*map(range, sides)):
        for a, b, shift in cell.bonds:
            to = [p + s for p, s in zip(place, shift, strict=True)]
            inside = all(0 <= t < side for t, side in zip(to, sides, strict=True))
            wrapped = tuple(t % side for t, side in zip(to, sides, strict=True))
            first, second = _number(place, a, cell, sides), _number(wrapped, b, cell, sides)
            if first != second and (inside or periodic):
                found.append((first, second))
    return np.array(found, int).reshape(-1, 2)


def _number(place: tuple[int, ...], of_cell: int, cell: _Cell, sides: tuple[int, ...]) -> int:
    return int(np.ravel_multi_index(place, sides)) * len(cell.sites) + of_cell


def _positions(cell: _Cell, sides: tuple[int, ...]) -> np.ndarray:
    cells = np.array(list(itertools.product(*map(range, sides))))
    return ((cells[:, None] + cell.sites) @ cell.vectors).reshape(-1, len(sides))
