"""Belief propagation and the Bethe free energy of spins with pair couplings.

A message u_{i->j} is the field (times beta) that spin i exerts on j through their bond, and theta_{i->j} is the field
on i from all others:

    theta_{i->j} = beta h_i + sum_{k != j} u_{k->i},   tanh u_{i->j} = tanh(beta J_ij) tanh theta_{i->j}.

At a fixed point the Bethe free energy (Yedidia, Freeman, Weiss, IEEE Trans. Inf. Theory 51, 2282 (2005)) is exact on
trees.  On other graphs it is NOT a bound: it may lie above or below F.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse

from massieu.exact.enumeration import check_beta, check_problem

TOLERANCE, MAX_SWEEPS = 1e-11, 600


class Bethe(NamedTuple):
    """Lowest Bethe F of the converged starts and its <s_i> (n,), both nan if none of the `starts` converged."""

    F: float
    magnetisation: np.ndarray
    converged: int
    starts: int


class Graph(NamedTuple):
    """Directed edges source -> target (D,), the index of each reversed edge (D,), beta J (D,), node sums (n, D)."""

    source: np.ndarray
    target: np.ndarray
    reverse: np.ndarray
    bond: np.ndarray
    collect: sparse.csr_matrix


def _log_2cosh(x: np.ndarray) -> np.ndarray:
    return np.abs(x) + np.log1p(np.exp(-2 * np.abs(x)))


def _graph(couplings: np.ndarray, beta: float) -> Graph:
    source, target = np.nonzero(couplings)
    index = np.zeros(couplings.shape, dtype=np.int64)
    index[source, target] = np.arange(len(source))
    collect = sparse.csr_matrix((np.ones(len(target)), (target, np.arange(len(target)))), (len(couplings), len(target)))
    return Graph(source, target, index[target, source], beta * couplings[source, target], collect)


def _cavity(u: np.ndarray, graph: Graph, beta_field: np.ndarray) -> np.ndarray:
    """theta_{i->j} on the edge i -> j: everything that i receives except from j.  u: (D, starts)."""
    return (beta_field[:, None] + graph.collect @ u)[graph.source] - u[graph.reverse]


def _messages(theta: np.ndarray, bond: np.ndarray) -> np.ndarray:
    """atanh(tanh K tanh theta) without loss at large arguments."""
    k = bond[:, None]
    return 0.5 * (_log_2cosh(k + theta) - _log_2cosh(k - theta))


def bethe_free_energy(u: np.ndarray, graph: Graph, beta_field: np.ndarray, beta: float) -> np.ndarray:
    """Bethe F of message sets u (D, starts): (starts,); stationary at fixed points of the messages."""
    theta, k = _cavity(u, graph, beta_field), graph.bond[:, None]
    nodes = _log_2cosh(beta_field[:, None] + graph.collect @ u).sum(axis=0)
    back = theta[graph.reverse]
    aligned, opposed = _log_2cosh(theta + back) + k, _log_2cosh(theta - back) - k
    # each bond appears twice, once per direction; the 2cosh normalisations of the messages cancel between the terms
    bonds = 0.5 * np.logaddexp(aligned, opposed).sum(axis=0)
    overlaps = _log_2cosh(u[graph.reverse] + theta).sum(axis=0)
    return -(nodes + bonds - overlaps) / beta


def _iterate(u: np.ndarray, graph: Graph, beta_field: np.ndarray, damping: float) -> np.ndarray:
    """Parallel damped updates in place of u (D, starts); returns which starts reached a fixed point."""
    active = np.arange(u.shape[1])
    for _ in range(MAX_SWEEPS):
        old = u[:, active]
        new = _messages(_cavity(old, graph, beta_field), graph.bond)
        change = np.abs(new - old).max(axis=0, initial=0.0)
        u[:, active] = damping * old + (1 - damping) * new
        active = active[change > TOLERANCE * (1 + np.abs(new).max(axis=0, initial=0.0))]
        if len(active) == 0:
            break
    return ~np.isin(np.arange(u.shape[1]), active)


def _first_messages(couplings: np.ndarray, graph: Graph, starts: int, rng: np.random.Generator) -> np.ndarray:
    """Messages (D, starts): zero, then those of the leading eigenvector of J as a spin state, then random ones."""
    u = np.abs(graph.bond)[:, None] * np.tanh(rng.normal(0, 1, (len(graph.source), starts)))
    mode = np.linalg.eigh(couplings)[1][:, -1]
    u[:, 1:2] = (graph.bond * mode[graph.source] / np.abs(mode).max())[:, None]
    u[:, 0] = 0
    return u


def belief_propagation(
    couplings: np.ndarray,
    field: np.ndarray | float | None,
    beta: float,
    starts: int = 20,
    damping: float = 0.5,
    seed: int = 0,
) -> Bethe:
    """Bethe free energy (total) of the lowest fixed point reached from `starts` initial messages; not a bound.

    The first start has all messages zero: without a field it is the paramagnetic fixed point and counts as converged
    even where that point is unstable, so look at `converged` out of `starts`.  If none converges F is nan.
    """
    check_beta(beta)
    couplings, field = check_problem(couplings, field)
    graph, beta_field = _graph(couplings, beta), beta * field
    u = _first_messages(couplings, graph, starts, np.random.default_rng(seed))
    converged = _iterate(u, graph, beta_field, damping)
    if not converged.any():
        return Bethe(float("nan"), np.full(len(field), np.nan), 0, starts)
    u = u[:, converged]
    free = bethe_free_energy(u, graph, beta_field, beta)
    best = int(np.argmin(free))
    m = np.tanh(beta_field + graph.collect @ u[:, best])
    return Bethe(float(free[best]), m, int(converged.sum()), starts)
