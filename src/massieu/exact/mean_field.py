"""Naive mean field: the lowest Gibbs-Bogoliubov bound over product distributions of spins.

    F_MF = min_m  -1/2 m J m - h m - kT sum_i H2((1 + m_i)/2)  >=  F      (Peierls, Phys. Rev. 54, 918 (1938))

H2 is the binary entropy.  Along one m_i the bound is convex with its minimum at

    m_i = tanh(beta (h_i + sum_j J_ij m_j)),

so sweeping over the sites lowers it at every step; restarts look for the deepest of its many minima.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import xlogy

from massieu.exact.enumeration import check_beta, check_problem


class MeanField(NamedTuple):
    """F (an upper bound on the free energy at any m), the product state's <s_i> (n,), and whether m is stationary."""

    F: float
    magnetisation: np.ndarray
    converged: bool


def mean_field_bound(m: np.ndarray, couplings: np.ndarray, field: np.ndarray, beta: float) -> np.ndarray:
    """The bound of each column of m (n, starts): (starts,)."""
    up, down = (1 + m) / 2, (1 - m) / 2
    minus_entropy = (xlogy(up, up) + xlogy(down, down)).sum(axis=0)
    return -0.5 * (m * (couplings @ m)).sum(axis=0) - field @ m + minus_entropy / beta


def _starts(couplings: np.ndarray, starts: int, rng: np.random.Generator) -> np.ndarray:
    """Columns: the paramagnet, both signs of the softest half of the eigenvectors of J, then random states."""
    n = len(couplings)
    modes = np.linalg.eigh(couplings)[1][:, ::-1][:, : min(n, starts // 4)]
    modes = 0.9 * modes / np.abs(modes).max(axis=0)
    random = rng.uniform(-1, 1, (n, max(0, starts - 1 - 2 * modes.shape[1])))
    return np.concatenate([np.zeros((n, 1)), modes, -modes, random], axis=1)


def _sweep(m: np.ndarray, couplings: np.ndarray, field: np.ndarray, beta: float) -> float:
    """Minimise over every site in turn, in place; the largest change of any m_i."""
    change = 0.0
    for i, row in enumerate(couplings):
        near = np.flatnonzero(row)  # on a lattice few, and a product so small stays on one thread
        new = np.tanh(beta * (field[i] + row[near] @ m[near]))
        change = max(change, float(np.abs(new - m[i]).max()))
        m[i] = new
    return change


def naive_mean_field(
    couplings: np.ndarray, field: np.ndarray | float | None, beta: float, starts: int = 200, seed: int = 0
) -> MeanField:
    """The lowest mean-field bound found from `starts` starting points; rigorous upper bound on F, total.

    `couplings` (n, n), `field` (n,), number or None.  That no deeper minimum exists is not proven.  After 40 sweeps
    only the best tenth of the starts is followed to convergence (largest change below 1e-11).
    """
    check_beta(beta)
    couplings, field = check_problem(couplings, field)
    m = _starts(couplings, starts, np.random.default_rng(seed))
    for _ in range(40):
        _sweep(m, couplings, field, beta)
    best = np.argsort(mean_field_bound(m, couplings, field, beta))[: max(5, starts // 10)]
    m, change = m[:, best], 1.0
    for _ in range(3000):
        change = _sweep(m, couplings, field, beta)
        if change < 1e-11:
            break
    bounds = mean_field_bound(m, couplings, field, beta)
    lowest = int(np.argmin(bounds))
    return MeanField(float(bounds[lowest]), m[:, lowest].copy(), change < 1e-11)
