"""Where degrees of freedom live: lattice graphs (and, for particles, free space and the torus)."""

from __future__ import annotations

import heapq

import numpy as np


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
