"""Sums over states that carry ln Z, <H> and Var(H) together, with no subtraction of large numbers.

A *part* of the state space is summarised by three numbers: the logarithm of its total Boltzmann weight, its mean
energy and its energy variance.  Two parts are joined by

    w = w1 + w2,   e = p1 e1 + p2 e2,   v = sum_i p_i (v_i + (e_i - e)^2),   p_i = w_i / w,

so that E and C are as accurate as ln Z at any temperature, on frustrated systems and on every size.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import expit

from massieu.exact.thermodynamics import Thermodynamics


class Moments(NamedTuple):
    """Log weight, mean energy and energy variance of parts of the state space, arrays of one shape."""

    log_weight: np.ndarray
    energy: np.ndarray
    variance: np.ndarray

    def times(self, other: Moments) -> Moments:
        """Independent parts side by side (with broadcasting): weights multiply, energies and variances add."""
        return Moments(*(a + b for a, b in zip(self, other, strict=True)))

    def with_energy(self, added: np.ndarray, beta: float) -> Moments:
        """The same parts after a constant energy `added` (broadcast against the parts) is given to each."""
        return Moments(self.log_weight - beta * added, self.energy + added, self.variance)

    def totals(self, beta: float, method: str) -> Thermodynamics:
        """Thermodynamics of the union of all parts."""
        union = merge(self)
        lnZ, energy, variance = float(union.log_weight), float(union.energy), float(union.variance)
        return Thermodynamics.from_log_partition(lnZ, energy, variance, beta, method)


def states(energy: np.ndarray, beta: float, log_multiplicity: np.ndarray | float = 0.0) -> Moments:
    """Single states (or groups of states of one energy, `log_multiplicity` = ln of their number)."""
    energy = np.asarray(energy, dtype=np.float64)
    return Moments(log_multiplicity - beta * energy, energy, np.zeros_like(energy))


def merge(parts: Moments, axis: int | tuple[int, ...] | None = None) -> Moments:
    """The union of the parts along `axis` (all axes by default)."""
    log_weight, energy, variance = parts
    top = log_weight.max(axis=axis, keepdims=True)
    share = np.exp(log_weight - top)
    total = share.sum(axis=axis, keepdims=True)
    share /= total
    mean = (share * energy).sum(axis=axis, keepdims=True)
    spread = (share * (variance + (energy - mean) ** 2)).sum(axis=axis)
    return Moments(np.squeeze(top + np.log(total), axis), np.squeeze(mean, axis), spread)


def merge_pair(a: Moments, b: Moments) -> Moments:
    """Elementwise union of two arrays of parts (the inner loop of the transfer method)."""
    rise = b.log_weight - a.log_weight
    share_a, share_b = expit(-rise), expit(rise)  # not 1 - the other: the smaller one keeps its digits
    gap = b.energy - a.energy
    energy = a.energy + share_b * gap
    variance = share_a * a.variance + share_b * b.variance + share_a * share_b * gap**2
    log_weight = np.logaddexp(a.log_weight, b.log_weight)
    return Moments(log_weight, energy, variance)


def merge_list(parts: list[Moments]) -> Moments:
    """The union of a list of parts, each of which holds single numbers."""
    return merge(Moments(*(np.array(column, dtype=np.float64) for column in zip(*parts, strict=True))))


def merge_product(a: Moments, b: Moments, interaction: np.ndarray | None, right: np.ndarray, beta: float) -> Moments:
    """Union over all pairs (a_i, b_j) with pair energy (interaction @ right)_ij, in blocks of about a million pairs.

    Shapes: a (A,), b (B,), interaction (A, K), right (K, B).  The memory stays below about 60 MB.
    """
    rows = max(1, 2**20 // max(1, b.energy.size))
    blocks = []
    for first in range(0, a.energy.size, rows):
        block = slice(first, first + rows)
        pair = Moments(*(column[block, None] for column in a)).times(Moments(*(column[None] for column in b)))
        if interaction is not None:
            pair = pair.with_energy(interaction[block] @ right, beta)
        blocks.append(merge(pair))
    return merge_list(blocks)
