"""The Coulomb Hamiltonian between Slater determinants of plane waves (Slater-Condon rules), for small electron gases.

Units of e^2/L (interaction; Rydberg: 2/L).  The Fourier transform of 1/r between momenta that differ by 2 pi n/L is
1/|n| in two and 1/(pi n^2) in three dimensions; n = 0 is cancelled by the background.
"""

from __future__ import annotations

import itertools

import numpy as np

Determinant = tuple[int, ...]  # spin orbitals: orbital + M * spin, rising


def determinants(orbitals: int, spins: tuple[int, ...]) -> list[Determinant]:
    """All determinants of spins[0] up and spins[1] down electrons in the orbitals, the first spin varying slowest."""
    of_spin = [
        [tuple(orbitals * s + i for i in chosen) for chosen in itertools.combinations(range(orbitals), count)]
        for s, count in enumerate(spins)
    ]
    return [sum(parts, ()) for parts in itertools.product(*of_spin)]


def total_momentum(determinant: Determinant, vectors: np.ndarray) -> tuple[int, ...]:
    """Sum of the integer momenta, without the twist."""
    return tuple(int(p) for p in vectors[np.array(determinant) % len(vectors)].sum(axis=0))


def small_matrix(block: list[Determinant], vectors: np.ndarray) -> np.ndarray:
    """`interaction_matrix` element by element: the faster way for a few determinants."""
    matrix = np.zeros((len(block), len(block)))
    for a, bra in enumerate(block):
        matrix[a, a] = exchange(bra, vectors)
        for b in range(a):
            matrix[a, b] = matrix[b, a] = _element(bra, block[b], vectors)
    return matrix


def exchange(determinant: Determinant, vectors: np.ndarray) -> float:
    """Diagonal element: minus 1/r between the momenta of every pair of equal spin."""
    m = len(vectors)
    pairs = itertools.combinations(determinant, 2)
    return -sum(coulomb(vectors[i % m] - vectors[j % m]) for i, j in pairs if i // m == j // m)


def _element(bra: Determinant, ket: Determinant, vectors: np.ndarray) -> float:
    """Between two different determinants: not zero only if they differ in two spin orbitals."""
    m = len(vectors)
    left, right = [s for s in bra if s not in ket], [s for s in ket if s not in bra]
    if len(left) != 2:
        return 0.0
    (p, q), (i, j) = left, right
    value = coulomb(vectors[p % m] - vectors[i % m]) if (p // m, q // m) == (i // m, j // m) else 0.0
    if (p // m, q // m) == (j // m, i // m):
        value -= coulomb(vectors[p % m] - vectors[j % m])
    sign = (-1) ** (bra.index(p) + bra.index(q) + ket.index(i) + ket.index(j))
    return sign * value


def interaction_matrix(block: list[Determinant], vectors: np.ndarray) -> np.ndarray:
    """Coulomb matrix (n, n) between determinants of one total momentum, without the self-images."""
    place = {determinant: a for a, determinant in enumerate(block)}
    index = {tuple(v): i for i, v in enumerate(vectors)}
    matrix = np.zeros((len(block), len(block)))
    for a, determinant in enumerate(block):
        for i, j in itertools.combinations(range(len(determinant)), 2):
            rest = determinant[:i] + determinant[i + 1 : j] + determinant[j + 1 :]
            for p, q, value in _scattered(determinant[i], determinant[j], rest, vectors, index):
                other = tuple(sorted((*rest, p, q)))
                b = place.get(other)
                if b is not None:
                    sign = (-1) ** (i + j + other.index(p) + other.index(q))
                    matrix[a, b] += sign * value
    return matrix


def _scattered(i: int, j: int, rest: Determinant, vectors: np.ndarray, index: dict):
    """All pairs p < q that the pair i < j goes to, with <pq|v|ij> - <qp|v|ij>."""
    m = len(vectors)
    total = vectors[i % m] + vectors[j % m]
    for p in range(m):
        q = index.get(tuple(total - vectors[p]))
        if q is None:
            continue
        pair = (p + m * (i // m), q + m * (j // m))
        if i // m == j // m and p >= q:  # equal spins: each pair once, exchange included below
            continue
        if pair[0] in rest or pair[1] in rest:
            continue
        value = coulomb(vectors[p] - vectors[i % m])
        if i // m == j // m:
            value -= coulomb(vectors[q] - vectors[i % m])
        yield *pair, value


def coulomb(n: np.ndarray) -> float:
    """Fourier transform of 1/r (e^2/L) at the integer vector n."""
    square = int(np.sum(n**2))
    if square == 0:
        return 0.0
    return 1 / np.sqrt(square) if len(n) == 2 else 1 / (np.pi * square)
