"""What a point transformation can reach: shares of the correlation energy of electrons in second order of 1/r.

A pair flow carries a determinant to D + sum_e a_e D_e over double excitations e with a_e = dE_e (M u)_e, a Jastrow
factor to a_e = (M u)_e, exact perturbation theory to a_e = -V_e/dE_e; V_e = (M v)_e, v = 1/|q|.  The best u in each
form minimises sum_e 2 a_e V_e + dE_e a_e^2.

    python benchmarks/electron_gas_second_order.py            (2D, polarised, closed shells)
"""

from __future__ import annotations

import itertools

import numpy as np

from massieu.geometry import integer_vectors

SIZES = ((5, 9.0), (13, 10.0), (29, 9.0))  # electrons, largest |k| of the excitations


def excitations(n: int, radius: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Excitation energies (e,), M (e, stars): direct minus exchange transfer, and v (stars,)."""
    vectors = [tuple(map(int, k)) for k in integer_vectors(2, radius)]
    free = set(vectors[n:])
    stars: dict[tuple[int, ...], int] = {}

    def star(a: tuple[int, ...], b: tuple[int, ...]) -> int:
        return stars.setdefault(tuple(sorted((abs(a[0] - b[0]), abs(a[1] - b[1])))), len(stars))

    found = []
    for i, j in itertools.combinations(vectors[:n], 2):
        for a in free:
            b = (i[0] + j[0] - a[0], i[1] + j[1] - a[1])
            if a < b and b in free:
                gap = sum(c * c for c in (*a, *b)) - sum(c * c for c in (*i, *j))
                found.append((gap, star(a, i), star(b, i)))
    gap, direct, exchange = np.array(found).T
    m = np.zeros((len(gap), len(stars)))
    np.add.at(m, (np.arange(len(gap)), direct), 1.0)
    np.add.at(m, (np.arange(len(gap)), exchange), -1.0)
    return gap.astype(float), m, 1 / np.linalg.norm(list(stars), axis=1)


def lowest(form: np.ndarray, gap: np.ndarray, v: np.ndarray) -> float:
    """min over u of 2 a.V + a.(dE a), a = form u."""
    slope = form.T @ v
    u = np.linalg.lstsq(form.T @ (gap[:, None] * form), -slope, rcond=1e-10)[0]
    return float(slope @ u)


def main() -> None:
    print("electrons  pair flow  Jastrow  both      (share of the second-order correlation energy)")
    for n, radius in SIZES:
        gap, m, coupling = excitations(n, radius)
        v = m @ coupling
        exact = -float(np.sum(v**2 / gap))
        flow = gap[:, None] * m
        shares = [lowest(form, gap, v) / exact for form in (flow, m, np.hstack([flow, m]))]
        print(f"{n:9d}  {shares[0]:9.3f}  {shares[1]:7.3f}  {shares[2]:5.3f}")


if __name__ == "__main__":
    main()
