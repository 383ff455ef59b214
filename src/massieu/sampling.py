"""Markov chains whose proposals come from the density: unbiased averages from an imperfect ansatz."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Chains(NamedTuple):
    """held (C, T): which proposal each chain holds at each step; acceptance: accepted fraction."""

    held: np.ndarray
    acceptance: float


def neural_proposals(log_weights: np.ndarray, chains: int, rng: np.random.Generator) -> Chains:
    """Independence Metropolis over proposals drawn from p, with ln w = -beta H - ln p (Nicoli et al. 2020).

    The proposals (M,) are dealt to the chains in order; the first of each chain is its start.  Chain averages converge
    to the Boltzmann distribution whatever p is, as long as p > 0 where it is.
    """
    length = len(log_weights) // chains
    proposals = np.arange(chains * length).reshape(chains, length)
    log_u = np.log(rng.uniform(size=proposals.shape))
    held = proposals[:, 0].copy()
    index, accepted = np.empty_like(proposals), 0
    index[:, 0] = held
    for t in range(1, length):
        accept = log_u[:, t] < log_weights[proposals[:, t]] - log_weights[held]
        held = np.where(accept, proposals[:, t], held)
        index[:, t] = held
        accepted += int(accept.sum())
    return Chains(index, accepted / max(1, chains * (length - 1)))
