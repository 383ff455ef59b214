"""Path-integral Monte Carlo of the electron gas, fermions with their sign: F, E, S, kinetic and potential energy.

    Z_P = int dR_0 .. dR_{P-1} prod_p det rho(R_p, R_{p+1}; tau) exp(-tau V(R_p) - tau^3/12 |grad V(R_p)|^2)

Paths are sampled with the absolute value and weighted by the sign (gas_paths.py), which is 1 for two slices; everything
is exact up to the time step tau = beta/P, of fourth order.  F = F_ideal + int_0^1 <V>_lambda dlambda over the coupling,
on Gauss-Legendre nodes.  Units: Ry and a0; totals.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.exact.annealed import new_key
from massieu.exact.gas_paths import (
    Gas,
    Paths,
    free_loops,
    images_of,
    measured,
    move_beads,
    move_paths,
    rigid,
    settled,
    waves,
)
from massieu.exact.pair_potential import PairPotential
from massieu.exact.pimc import jackknife
from massieu.precision import double_precision
from massieu.principle import Estimate
from massieu.statistics import blocking, mixing

BLOCK = 20  # sweeps of one compiled call
SETTLING, LEAST = 0.2, 5  # of the sweeps, and blocks, before anything is measured
NODES = 4
TARGET, GAIN = 0.4, 2.0  # accepted fraction of the moves, and how fast ln(step) follows it
TAU = 0.7  # slices by default: tau times the plasma frequency (Ry) at most
OPPOSITE = 3  # times as many where opposite spins meet: the fourth order is lost in the cusp
FEWEST, MOST = 2, 64


class GasPaths(NamedTuple):
    """Totals F, E, S, kinetic K and potential V (Ry; nan where the sign is not resolved), the average sign.

    r_hat: the largest of K, V and the sign; above 1.05 chains have not mixed, and errors are too small.

    acceptance: of single slices, of whole paths, of their harmonics and windings.
    """

    F: Estimate
    E: Estimate
    S: Estimate
    K: Estimate
    V: Estimate
    sign: Estimate
    slices: int
    tau: float
    acceptance: tuple[float, ...]
    r_hat: float


class Box(NamedTuple):
    """n electrons by spin, the side of the box (a0), rs, beta (1/Ry) and the coupling: 1, or 0 for the ideal gas."""

    spins: tuple[int, ...]
    dim: int
    length: float
    rs: float
    beta: float
    coupling: float


def default_slices(box: Box) -> int:
    """Even, so many that tau sqrt(12/rs^3) is small; few for a hot or dense gas."""
    factor = OPPOSITE if sum(1 for count in box.spins if count) > 1 else 1
    wanted = factor * box.beta * math.sqrt(12 / box.rs**3) / TAU * box.coupling
    return min(MOST, max(FEWEST, 2 * math.ceil(0.5 * wanted)))


def gas_pimc(
    box: Box, ideal_F: float, *, slices: int, chains: int, sweeps: int, seed: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> GasPaths:  # fmt: skip
    """`chains` walkers at full coupling, a quarter as many at each of the nodes of F."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    nodes, weights, each = 0.5 * (nodes + 1), 0.5 * weights, max(2, chains // 4)
    full = np.full(chains, box.coupling)
    couplings = np.concatenate([full, np.repeat(nodes, each)]) if box.coupling else full
    with double_precision():
        trace, acceptance = _sampled(box, couplings, slices, sweeps, seed, say)
    potential, kinetic, sign = trace
    potential, kinetic = 2 / box.length * potential, kinetic / box.length**2
    own = slice(0, chains)
    average = blocking(sign[own])
    tau, resolved = box.beta / slices, average.value > 3 * average.error
    V, K, E = (_weighed(value[own], sign[own]) for value in (potential, kinetic, kinetic + box.coupling * potential))
    F = _integrated(potential[chains:], sign[chains:], weights, ideal_F) if box.coupling else Estimate(ideal_F)
    S = Estimate(box.beta * (E.value - F.value), box.beta * math.hypot(E.error, F.error))
    unknown = Estimate(math.nan, math.nan)
    values = (F, E, S, K, V) if resolved else (unknown,) * 5
    r_hat = max(mixing(value[own]).r_hat for value in (kinetic, potential, sign) if np.ptp(value[own]) > 0)
    return GasPaths(*values, average, slices, tau, acceptance, r_hat)


def _weighed(values: np.ndarray, sign: np.ndarray) -> Estimate:
    """<s a>/<s> of chains (C, T), with the error from leaving one out."""
    return jackknife(np.stack([(sign * values).mean(axis=1), sign.mean(axis=1)]), lambda m: m[0] / m[1])


def _integrated(potential: np.ndarray, sign: np.ndarray, weights: np.ndarray, ideal_F: float) -> Estimate:
    """F from <V> at the nodes; nan where a sign is not resolved."""
    parts = [_weighed(v, s) for v, s in zip(np.split(potential, NODES), np.split(sign, NODES), strict=True)]
    signs = [blocking(s) for s in np.split(sign, NODES)]
    if any(s.value <= 3 * s.error for s in signs):
        return Estimate(math.nan, math.nan)
    value, error = (np.array([getattr(part, name) for part in parts]) for name in ("value", "error"))
    return Estimate(float(ideal_F + weights @ value), float(np.linalg.norm(weights * error)))


def _sampled(
    box: Box, couplings: np.ndarray, slices: int, sweeps: int, seed: int, say: Callable[[str], None]
) -> tuple[np.ndarray, tuple[float, ...]]:
    """`measured` (3, W, T) of walkers at couplings (W,), and acceptances; steps are tuned before, never while."""
    n, tau = sum(box.spins), box.beta / slices
    t = tau / box.length**2
    spin = np.repeat(np.arange(len(box.spins)), box.spins)
    same = (spin[:, None] == spin).astype(float)
    pair = PairPotential.of(box.dim)
    start, key = jax.random.split(new_key(seed))
    of_points, of_loops = jax.random.split(start)
    points = jax.random.uniform(of_points, (len(couplings), n, 1, box.dim))
    loops = free_loops(t, slices, (len(couplings), n, box.dim), of_loops)
    x = jnp.swapaxes(points + loops, 1, 2)
    gas = (jnp.asarray(t), jnp.asarray(2 * tau / box.length * couplings), same, images_of(t), pair)
    block = jax.jit(partial(_block, gas))
    steps = jnp.array([math.sqrt(t), 0.5 * n ** (-1 / box.dim), 0.7])
    blocks = math.ceil(sweeps / BLOCK)
    first = max(LEAST, math.ceil(SETTLING * blocks))
    found, accepted = [], []
    for number in range(first + blocks):
        x, trace, acceptance = block(x, steps, jax.random.fold_in(key, number))
        if number < first:
            steps = jnp.minimum(steps * jnp.exp(GAIN * (acceptance - TARGET)), jnp.array([0.5, 0.5, 2.0]))
            continue
        found.append(np.asarray(trace))
        accepted.append(np.asarray(acceptance))
        if blocks >= 10 and (number - first + 1) % (blocks // 5) == 0:
            say(f"sweep {(number - first + 1) * BLOCK} of {blocks * BLOCK}")
    return np.moveaxis(np.concatenate(found), 0, 2), tuple(np.mean(accepted, axis=0).tolist())


def _block(shared: tuple, x: Array, steps: Array, key: Array) -> tuple[Array, Array, Array]:
    """BLOCK sweeps of walkers x (W, P, N, dim): positions, `measured` (BLOCK, 3, W), acceptances (3,)."""
    t, strength, same, images, pair = shared

    def of_walker(strength: Array, x: Array, key: Array) -> tuple[Array, Array, Array]:
        gas = Gas(t, strength, same, images, pair)

        def sweep(paths: Paths, key: Array) -> tuple[Paths, tuple[Array, Array]]:
            even, odd, whole, bend, *coins = jax.random.split(key, 7)
            shape = paths.x.shape
            paths, first = move_beads(gas, paths, steps[0], 0, even)
            paths, second = move_beads(gas, paths, steps[0], 1, odd)
            paths, moved = move_paths(gas, paths, rigid(steps[1], shape, whole), coins[0])
            paths, bent = move_paths(gas, paths, waves(t, steps[2], shape, bend), coins[1])
            paths = settled(gas, paths.x)
            return paths, (measured(gas, paths), jnp.stack([0.5 * (first + second), moved, bent]))

        paths, (trace, accepted) = jax.lax.scan(sweep, settled(gas, x), jax.random.split(key, BLOCK))
        return paths.x, trace, jnp.mean(accepted, axis=0)

    keys = jax.random.split(key, len(x))
    x, trace, accepted = jax.vmap(of_walker)(strength, x, keys)
    return x, jnp.moveaxis(trace, 0, 2), jnp.mean(accepted, axis=0)
