"""Where degrees of freedom live: lattice graphs, and the periodic box of side 1 with its plane waves."""

from __future__ import annotations

import heapq
import itertools

import jax.numpy as jnp
import numpy as np
from jax import Array


def integer_vectors(dim: int, radius: float, centre: np.ndarray | float = 0.0) -> np.ndarray:
    """All integer vectors n (V, dim) with |n + centre| <= radius, by rising length."""
    reach = int(radius + np.max(np.abs(centre))) + 1
    axis = np.arange(-reach, reach + 1)
    grid = np.stack(np.meshgrid(*[axis] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    length2 = np.sum((grid + centre) ** 2, axis=1)
    kept = length2 <= radius**2 * (1 + 1e-12) + 1e-12
    return grid[kept][np.lexsort((*grid[kept].T, np.round(length2[kept], 9)))]


def half_space(vectors: np.ndarray) -> np.ndarray:
    """One of each pair +-n of the vectors (V, dim), without the origin: the first non-zero component is positive."""
    first = np.argmax(vectors != 0, axis=1)
    return vectors[np.take_along_axis(vectors, first[:, None], 1)[:, 0] > 0]


def point_group(dim: int) -> np.ndarray:
    """The symmetry operations of the square or cube, (2^dim dim!, dim, dim) signed permutation matrices."""
    signs = itertools.product((1, -1), repeat=dim)
    axes = list(itertools.permutations(range(dim)))
    return np.array([np.diag(sign) @ np.eye(dim, dtype=int)[list(order)] for sign in signs for order in axes])


def plane_waves(x: Array, vectors: np.ndarray) -> Array:
    """exp(2 pi i v.x) for x (n, dim) in units of the box and integer vectors (V, dim): (n, V).

    Powers of one exponential per coordinate: n dim exponentials in all.
    """
    reach = int(np.abs(vectors).max()) if len(vectors) else 0
    unit = jnp.exp(2j * jnp.pi * x)
    powers = [jnp.ones_like(unit)]
    for _ in range(reach):
        powers.append(powers[-1] * unit)
    table = jnp.stack([p.conj() for p in powers[:0:-1]] + powers)  # (2 reach + 1, n, dim)
    out = table[vectors[:, 0] + reach, :, 0]
    for axis in range(1, vectors.shape[1]):
        out = out * table[vectors[:, axis] + reach, :, axis]
    return out.T


def minimum_image(r: Array) -> Array:
    """Separations in units of the box, each component in [-1/2, 1/2]."""
    return r - jnp.round(r)


def lattice_couplings(shape: tuple[int, ...], j: float = 1.0, periodic: bool = True) -> np.ndarray:
    """Symmetric (n, n) matrix of nearest-neighbour couplings on a hypercubic lattice, sites in C order.

    A periodic direction of extent 2 has two bonds between the same pair (coupling 2j), as in the transfer
    matrix and in Kaufman's formula; a direction of extent 1 has none.
    """
    sites = np.arange(int(np.prod(shape))).reshape(shape)
    couplings = np.zeros((sites.size, sites.size))
    for axis, extent in enumerate(shape):
        if extent == 1:
            continue
        forward = np.roll(sites, -1, axis)
        kept = slice(None) if periodic else slice(0, extent - 1)
        a = np.moveaxis(sites, axis, 0)[kept].ravel()
        b = np.moveaxis(forward, axis, 0)[kept].ravel()
        np.add.at(couplings, (a, b), j)
        np.add.at(couplings, (b, a), j)
    return couplings


def lattice_orbits(sides: tuple[int, ...]) -> np.ndarray:
    """Class (*sides) of every displacement (or momentum) on a torus under reflections and exchanges of equal sides.

    Classes are numbered by rising distance; 0 is the displacement zero.
    """
    axes = [np.minimum(np.arange(side), side - np.arange(side)) for side in sides]
    folded = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(sides))
    for side in set(sides):
        equal = [axis for axis, other in enumerate(sides) if other == side]
        folded[:, equal] = np.sort(folded[:, equal], axis=1)
    classes, index = np.unique(folded, axis=0, return_inverse=True)
    rank = np.argsort(np.lexsort((*classes.T, np.sum(classes**2, axis=1))))
    return rank[index.ravel()].reshape(sides)


def elimination_order(couplings: np.ndarray) -> np.ndarray:
    """Sampling order (n,) of the spins of a coupling graph: the reverse of minimum-degree elimination.

    Spins that are eliminated first (an independent set, on a lattice one sublattice) are drawn last, when
    all their neighbours are known; the spins drawn first separate the rest into weakly dependent parts.
    """
    neighbours = [set(map(int, np.flatnonzero(row))) for row in couplings]
    heap = [(len(adjacent), site) for site, adjacent in enumerate(neighbours)]
    heapq.heapify(heap)
    eliminated: list[int] = []
    done = [False] * len(neighbours)
    while heap:
        degree, site = heapq.heappop(heap)
        if done[site] or degree != len(neighbours[site]):
            continue
        done[site] = True
        eliminated.append(site)
        for other in _eliminate(neighbours, site):
            heapq.heappush(heap, (len(neighbours[other]), other))
    return np.array(eliminated[::-1])


def markov_blankets(couplings: np.ndarray) -> list[np.ndarray]:
    """For each rank k the earlier ranks that the conditional p(s_k | s_<k) of a pairwise system depends on."""
    neighbours = [set(map(int, np.flatnonzero(row))) for row in couplings]
    blankets = []
    for k in range(len(neighbours))[::-1]:
        blankets.append(np.array(sorted(_eliminate(neighbours, k)), dtype=int))
    return blankets[::-1]


def _eliminate(neighbours: list[set[int]], site: int) -> set[int]:
    """Remove a site from the graph and join its neighbours, which are returned."""
    joined = neighbours[site]
    for other in joined:
        neighbours[other] |= joined
        neighbours[other] -= {other, site}
    neighbours[site] = set()
    return joined
