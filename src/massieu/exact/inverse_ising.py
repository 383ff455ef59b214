"""Couplings from configurations of spins, p(s) ~ exp(sum_{i<j} J_ij s_i s_j + sum_i h_i s_i): the classical methods.

Roudi, Aurell and Hertz, Front. Comput. Neurosci. 3, 22 (2009) review them.  beta is part of J and h.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from scipy import special

MAX_ENUMERATED = 14  # spins
NEWTON_STEPS = 60
CONVERGED = 1e-11


class Couplings(NamedTuple):
    """J (n, n), symmetric with zero diagonal, and h (n,)."""

    J: np.ndarray
    h: np.ndarray


class Moments(NamedTuple):
    """<s_i> (n,), <s_i s_j> (n, n) with ones on the diagonal, and the number of configurations."""

    m: np.ndarray
    q: np.ndarray
    size: int

    @property
    def connected(self) -> np.ndarray:
        """C_ij = <s_i s_j> - <s_i><s_j>."""
        return self.q - np.outer(self.m, self.m)


def moments(spins: np.ndarray, fields: bool) -> Moments:
    """Of configurations (M, n) of +-1; without fields <s_i> = 0 is imposed."""
    spins = np.asarray(spins, float)
    m = spins.mean(axis=0) if fields else np.zeros(spins.shape[1])
    return Moments(m, spins.T @ spins / len(spins), len(spins))


def _with_fields(J: np.ndarray, m: np.ndarray) -> Couplings:
    """h of naive mean field, m_i = tanh(h_i + sum_j J_ij m_j)."""
    J = 0.5 * (J + J.T)
    np.fill_diagonal(J, 0.0)
    return Couplings(J, np.arctanh(np.clip(m, -1 + 1e-12, 1 - 1e-12)) - J @ m)


def naive_mean_field(data: Moments) -> Couplings:
    """J = -C^-1."""
    return _with_fields(-np.linalg.inv(data.connected), data.m)


def tap(data: Moments) -> Couplings:
    """-C^-1_ij = J_ij + 2 J_ij^2 m_i m_j (Thouless, Anderson and Palmer): naive mean field where m = 0."""
    inverse, mm = -np.linalg.inv(data.connected), np.outer(data.m, data.m)
    root = np.sqrt(np.maximum(1 + 8 * mm * inverse, 0.0))
    return _with_fields(2 * inverse / (1 + root), data.m)


def independent_pairs(data: Moments) -> Couplings:
    """Each pair alone: J = ln(p_++ p_-- / p_+- p_-+) / 4."""
    J = np.zeros_like(data.q)
    rows, columns = np.triu_indices(len(J), 1)
    mi, mj, q = data.m[rows], data.m[columns], data.q[rows, columns]
    share = [np.maximum(1 + a * mi + b * mj + a * b * q, 1e-12) for a, b in itertools.product((1, -1), repeat=2)]
    J[rows, columns] = 0.25 * np.log(share[0] * share[3] / (share[1] * share[2]))
    return _with_fields(J + J.T, data.m)


def sessak_monasson(data: Moments) -> Couplings:
    """Naive mean field plus independent pairs less what they have in common (J. Phys. A 42, 055001 (2009))."""
    c, variance = data.connected, 1 - data.m**2
    common = c / (np.outer(variance, variance) - c**2 + np.eye(len(c)))
    J = naive_mean_field(data).J + independent_pairs(data).J - common
    return _with_fields(J, data.m)


def pseudo_likelihood(spins: np.ndarray, fields: bool, prior: float = 1.0) -> Couplings:
    """Logistic regression of every spin on the others, J symmetrised (Ravikumar, Wainwright and Lafferty 2010).

    prior: standard deviation of a Gaussian prior on every parameter.
    """
    states, counts = np.unique(np.asarray(spins, float), axis=0, return_counts=True)
    ridge = 1 / (counts.sum() * prior**2)
    share, n = counts / counts.sum(), states.shape[1]
    J, h = np.zeros((n, n)), np.zeros(n)
    for i in range(n):
        others = np.delete(np.arange(n), i)
        x = np.column_stack([states[:, others], np.ones(len(states))]) if fields else states[:, others]
        w = np.zeros(x.shape[1])
        for _ in range(NEWTON_STEPS):
            tail = special.expit(-2 * states[:, i] * (x @ w))  # of the other value of s_i
            slope = 2 * x.T @ (share * states[:, i] * tail) - ridge * w
            curvature = 4 * x.T @ ((share * tail * (1 - tail))[:, None] * x) + ridge * np.eye(len(w))
            step = np.linalg.solve(curvature, slope)
            w = w + step * min(1.0, 2 / np.abs(step).max(initial=1e-30))
            if np.abs(step).max(initial=0.0) < CONVERGED:
                break
        J[i, others], h[i] = w[: n - 1], w[-1] if fields else 0.0
    return Couplings(0.5 * (J + J.T), h)


def maximum_likelihood(data: Moments, fields: bool, prior: float = 1.0) -> Couplings:
    """Newton's method with all 2^n states, for up to MAX_ENUMERATED spins, and a Gaussian prior of width `prior`.

    ValueError for more spins.
    """
    n = len(data.m)
    if n > MAX_ENUMERATED:
        raise ValueError(f"enumeration is for at most {MAX_ENUMERATED} spins, not {n}")
    states = np.array(list(itertools.product((-1.0, 1.0), repeat=n)))
    features, target = statistics(states, fields), targets(data, fields)
    theta, ridge = np.zeros(features.shape[1]), 1 / (data.size * prior**2)
    for _ in range(NEWTON_STEPS):
        log_p = features @ theta
        p = special.softmax(log_p)
        mean = p @ features
        covariance = (features * p[:, None]).T @ features - np.outer(mean, mean) + ridge * np.eye(len(theta))
        step = np.linalg.solve(covariance, target - mean - ridge * theta)
        theta = theta + step * min(1.0, 1 / np.abs(step).max())
        if np.abs(step).max() < CONVERGED:
            break
    return couplings(theta, n, fields)


def statistics(spins: np.ndarray, fields: bool) -> np.ndarray:
    """The sufficient statistics (.., P) of configurations (.., n): s_i s_j for i < j, then s_i with fields."""
    i, j = np.triu_indices(spins.shape[-1], 1)
    pairs = spins[..., i] * spins[..., j]
    return np.concatenate([pairs, spins], axis=-1) if fields else pairs


def targets(data: Moments, fields: bool) -> np.ndarray:
    """Their averages over the data."""
    pairs = data.q[np.triu_indices(len(data.m), 1)]
    return np.concatenate([pairs, data.m]) if fields else pairs


def parameters(c: Couplings, fields: bool) -> np.ndarray:
    """J and h in the order of `statistics`."""
    pairs = c.J[np.triu_indices(len(c.h), 1)]
    return np.concatenate([pairs, c.h]) if fields else pairs


def couplings(theta: np.ndarray, n: int, fields: bool) -> Couplings:
    """The inverse of `parameters`."""
    J = np.zeros((n, n))
    pairs = n * (n - 1) // 2
    J[np.triu_indices(n, 1)] = theta[:pairs]
    return Couplings(J + J.T, np.array(theta[pairs:]) if fields else np.zeros(n))
