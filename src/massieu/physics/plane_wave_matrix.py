"""The Coulomb Hamiltonian between Slater determinants of plane waves (Slater-Condon rules), for small electron gases.

Units of e^2/L (interaction; Rydberg: 2/L).  The Fourier transform of 1/r between momenta that differ by 2 pi n/L is
1/|n| in two and 1/(pi n^2) in three dimensions; n = 0 is cancelled by the background.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

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


def small_matrix(block: npt.ArrayLike, vectors: np.ndarray) -> np.ndarray:
    """`interaction_matrix` of the determinants (n, N), all elements at once: the faster way for few of them.

    Two determinants that differ in the spin orbitals p, q and i, j have +-(<pq|v|ij> - <pq|v|ji>), each where the spins
    allow it.
    """
    block, m, table = np.asarray(block), len(vectors), coulomb_table(vectors)
    spin, orbital = block // m, block % m
    matrix = np.zeros((len(block), len(block)))
    shared = block[:, None, :, None] == block[None, :, None, :]  # (bra, ket, N, N)
    in_ket, in_bra = shared.any(axis=3), shared.any(axis=2)
    bra, ket = np.nonzero(np.sum(~in_ket, axis=2) == 2)
    if len(bra):
        left, right = (np.argsort(held[bra, ket], axis=1, kind="stable")[:, :2] for held in (in_ket, in_bra))
        (p, _), (i, j) = (orbital[rows[:, None], at].T for rows, at in ((bra, left), (ket, right)))
        of_bra, of_ket = spin[bra[:, None], left], spin[ket[:, None], right]
        direct = np.where(np.all(of_bra == of_ket, axis=1), table[p, i], 0.0)
        crossed = np.where(np.all(of_bra == of_ket[:, ::-1], axis=1), table[p, j], 0.0)
        matrix[bra, ket] = (-1.0) ** (left.sum(axis=1) + right.sum(axis=1)) * (direct - crossed)
    for first, second in itertools.combinations(range(block.shape[1]), 2):
        equal = spin[:, first] == spin[:, second]
        matrix[np.diag_indices(len(block))] -= equal * table[orbital[:, first], orbital[:, second]]
    return matrix


def coulomb_table(vectors: np.ndarray) -> np.ndarray:
    """`coulomb` between all vectors (M, M)."""
    square = np.sum((vectors[:, None] - vectors) ** 2, axis=-1)
    apart = np.where(square == 0, 1, square)
    return np.where(square == 0, 0.0, 1 / np.sqrt(apart) if vectors.shape[1] == 2 else 1 / (np.pi * apart))


def exchange(determinant: Determinant, vectors: np.ndarray) -> float:
    """Diagonal element: minus 1/r between the momenta of every pair of equal spin."""
    m = len(vectors)
    pairs = itertools.combinations(determinant, 2)
    return -sum(coulomb(vectors[i % m] - vectors[j % m]) for i, j in pairs if i // m == j // m)


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
