"""Exact sums over discrete states of any graph, one site after the other: transfer matrices without a direction.

    H(s) = -sum_{i<j} J_ij u(s_i) . u(s_j) - sum_i h_i . u(s_i),    s_i in 0 .. q - 1,  u(s) the rows of a table (q, r)

Summing over a site joins its neighbours: what is left is a table over their q^w states, the Markov blanket of the site
(Kschischang, Frey and Loeliger, IEEE Trans. Inf. Theory 47, 498 (2001)).  In the order of least degree w is 1 on
trees, 2 on rings, the width of a strip, and n - 1 where all sites are coupled, so that this is enumeration there.
Tables carry ln weight, mean energy and variance (`moments`).
"""

from __future__ import annotations

import math

import numpy as np

from massieu.exact.enumeration import check_beta
from massieu.exact.moments import Moments, merge, merge_product, states
from massieu.exact.thermodynamics import Thermodynamics
from massieu.geometry import elimination_order, markov_blankets

MOST_STATES = 2**21  # of the largest table
MOST_ENUMERATED = 2**24


def largest_table(couplings: np.ndarray, field: np.ndarray, q: int) -> float:
    """States of the largest table that summing over the sites of the graph (n, n) with fields (n, r) needs."""
    return float(q) ** _widest(pinned(couplings, field, np.zeros((1, field.shape[1])))[0])


def _widest(couplings: np.ndarray) -> int:
    """Sites in the largest table."""
    order = elimination_order(couplings)
    return 1 + max(len(blanket) for blanket in markov_blankets(couplings[np.ix_(order, order)]))


def pinned(couplings: np.ndarray, field: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """The other sites around the one with most neighbours in state 0, if there are no fields: couplings, fields, ln q.

    All its states have the same weight, by the group s -> s + 1 mod q.
    """
    n = len(couplings)
    if n == 1 or np.any(field):
        return couplings, field, 0.0
    hub = int(np.argmax(np.count_nonzero(couplings, axis=1)))
    kept = np.arange(n) != hub
    return couplings[np.ix_(kept, kept)], couplings[kept, hub][:, None] * directions[0], math.log(len(directions))


def eliminate(couplings: np.ndarray, field: np.ndarray, directions: np.ndarray, beta: float) -> Thermodynamics:
    """F, E, S, C, exact to rounding: couplings (n, n), field (n, r), directions (q, r) as in `pinned`.

    ValueError where a table would have more than MOST_STATES states.
    """
    check_beta(beta)
    q = len(directions)
    couplings, field, log_copies = pinned(couplings, field, directions)
    n, widest = len(couplings), _widest(couplings)
    if q**widest > MOST_STATES:
        raise ValueError(f"a table of {q}^{widest} states is more than {MOST_STATES}")
    order = elimination_order(couplings)
    ranked, field = couplings[np.ix_(order, order)], field[order]
    blankets = markov_blankets(ranked)
    pair = -directions @ directions.T
    tables: list[tuple[tuple[int, ...], Moments]] = []
    done = states(np.zeros(()), beta, log_copies)
    for k in range(n)[::-1]:
        scope = (*blankets[k].tolist(), k)
        own: list[tuple[tuple[int, ...], Moments]] = [((k,), states(-directions @ field[k], beta))]
        own += [((j, k), states(ranked[j, k] * pair, beta)) for j in np.flatnonzero(ranked[k, :k]).tolist()]
        own += [table for table in tables if k in table[0]]
        tables = [table for table in tables if k not in table[0]]
        left = merge(_joined(own, scope, q), axis=-1)
        if len(scope) == 1:
            done = done.times(left)
        else:
            tables.append((scope[:-1], left))
    return done.totals(beta, f"exact sum, site by site (tables of {q}^{widest} states)")


def _joined(own: list[tuple[tuple[int, ...], Moments]], scope: tuple[int, ...], q: int) -> Moments:
    """The product of tables, each over some sites of the scope, as a table over all of them."""
    total = states(np.zeros((q,) * len(scope)), 0.0)
    for sites, table in own:
        shape = [q if site in sites else 1 for site in scope]
        total = total.times(Moments(*(column.reshape(shape) for column in table)))
    return total


def enumerate_vectors(couplings: np.ndarray, field: np.ndarray, directions: np.ndarray, beta: float) -> Thermodynamics:
    """The same by the sum over all q^n states, in two halves; ValueError beyond MOST_ENUMERATED of them."""
    check_beta(beta)
    (n, r), q = field.shape, len(directions)
    if q**n > MOST_ENUMERATED:
        raise ValueError(f"{q}^{n} states are more than {MOST_ENUMERATED}")
    cut = n // 2
    halves = []
    for part in (slice(0, cut), slice(cut, n)):
        u = directions[_all_states(q, len(field[part]))]  # (A, n_a, r)
        inner = -0.5 * np.einsum("air,ij,ajr->a", u, couplings[part, part], u) - np.einsum("air,ir->a", u, field[part])
        halves.append((u.reshape(len(u), -1), states(inner, beta)))
    (a, of_a), (b, of_b) = halves
    between = -a @ np.kron(couplings[:cut, cut:], np.eye(r))
    return merge_product(of_a, of_b, between, b.T, beta).totals(beta, f"enumeration ({q}^{n} states)")


def _all_states(q: int, n: int) -> np.ndarray:
    """(q^n, n) integers 0 .. q - 1; the last site varies fastest."""
    return np.arange(q**n)[:, None] // q ** np.arange(n - 1, -1, -1) % q


def plane_angles(couplings: np.ndarray, field: np.ndarray, beta: float, most: int = 64) -> int | None:
    """Angles a circle for the sums above to be integrals over angles, by the trapezoidal rule, to 1e-10; None beyond.

    A site feels at most x = beta (sum_j |J_ij| + |h_i|); K points leave out I_K(x)/I_0(x) of its factor.
    """
    from scipy.special import ive

    x = beta * float(np.max(np.abs(couplings).sum(axis=1) + np.linalg.norm(field, axis=1)))
    return next((k for k in range(4, most + 1) if ive(k, x) < 1e-11 * ive(0, x)), None)


def integrate_angles(couplings: np.ndarray, field: np.ndarray, beta: float) -> Thermodynamics | None:
    """F, E, S, C of H with u = (cos theta, sin theta), measure d^n theta, by quadrature; None where it is too wide."""
    k = plane_angles(couplings, field, beta)
    if k is None or largest_table(couplings, field, k) > MOST_STATES:
        return None
    angles = 2 * np.pi * np.arange(k) / k
    found = eliminate(couplings, field, np.stack([np.cos(angles), np.sin(angles)], axis=1), beta)
    assert found.E is not None and found.C is not None
    lnZ = found.lnZ.value + len(couplings) * math.log(2 * math.pi / k)
    method = f"quadrature, {k} angles a circle"
    return Thermodynamics.from_log_partition(lnZ, found.E.value, found.C.value / beta**2, beta, method)
