"""Exact Hopfield model whose patterns have few distinct columns.

    H = -sum_{i<j} J_ij s_i s_j,   J_ij = (1/N) sum_mu xi_i^mu xi_j^mu
      = -(1/2N) sum_mu (sum_i xi_i^mu s_i)^2 + P/2

Sites with the same column xi_i (up to a sign, which a gauge transformation of s_i removes) form a class c with n_c
sites.  The energy depends on the class magnetisations only, so Z is a sum of prod_c (n_c + 1) terms weighted by
binomials: for P patterns at most 2^(P-1) classes.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import gammaln

from massieu.exact.enumeration import check_beta
from massieu.exact.moments import Moments, merge_product
from massieu.exact.thermodynamics import Thermodynamics

MAX_TERMS = 2 * 10**7


def _group(columns: np.ndarray, sizes: np.ndarray, beta: float, scale: float) -> tuple[Moments, np.ndarray]:
    """All magnetisations of some classes: moments (T,) of their own energy and overlaps sum_c xi_c M_c, (T, P)."""
    overlap, log_count = np.zeros((1, columns.shape[1])), np.zeros(1)
    for column, size in zip(columns, sizes, strict=True):
        k = np.arange(size + 1)
        binomial = gammaln(size + 1) - gammaln(k + 1) - gammaln(size - k + 1)
        overlap = (overlap[:, None] + np.outer(size - 2.0 * k, column)).reshape(-1, columns.shape[1])
        log_count = (log_count[:, None] + binomial).ravel()
    energy = -scale * (overlap**2).sum(axis=1)
    return Moments(log_count - beta * energy, energy, np.zeros_like(energy)), overlap


def hopfield_classes(patterns: np.ndarray, beta: float) -> Thermodynamics:
    """F, E, S, C (totals) for `patterns` (P, N) with entries +-1; exact.

    Raises ValueError if the entries are not +-1, beta <= 0, or the sum has more than 2e7 terms.
    """
    check_beta(beta)
    patterns = np.atleast_2d(np.asarray(patterns, dtype=np.float64))
    if not np.all(np.abs(patterns) == 1):
        raise ValueError("patterns must have entries +1 and -1")
    count, n = patterns.shape
    gauged = (patterns * patterns[0]).T  # the gauge makes the first pattern all +1
    columns, sizes = np.unique(gauged, axis=0, return_counts=True)
    terms = math.prod(int(size) + 1 for size in sizes)
    if terms > MAX_TERMS:
        raise ValueError(f"{len(sizes)} classes of sites give {terms:.3g} terms; the limit is {MAX_TERMS:.0e}")
    cut = _balanced_cut(sizes)
    a, overlap_a = _group(columns[:cut], sizes[:cut], beta, 0.5 / n)
    b, overlap_b = _group(columns[cut:], sizes[cut:], beta, 0.5 / n)
    b = b.with_energy(np.asarray(0.5 * count), beta)
    return merge_product(a, b, overlap_a * (-1.0 / n), overlap_b.T, beta).totals(beta, "class magnetisations")


def _balanced_cut(sizes: np.ndarray) -> int:
    """Where to cut the list of classes so that both groups have about the same number of terms."""
    log_terms = np.cumsum(np.log(sizes + 1.0))
    return int(np.argmin(np.abs(log_terms - 0.5 * log_terms[-1]))) + 1 if len(sizes) > 1 else 0
