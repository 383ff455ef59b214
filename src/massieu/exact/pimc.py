"""Path-integral Monte Carlo for N <= 8 particles in a harmonic trap: labelled particles, bosons and polarised fermions.

    H = sum_i (-1/2 lap_i + 1/2 r_i^2) + sum_{i<j} kappa v(r_ij),   v = 1/r, in one dimension 1/sqrt(r^2 + 1)

    Z_P = int dR_0 .. dR_{P-1} prod_{p<P-1} G(R_p, R_{p+1}) A(R_{P-1}, R_0) exp(-tau kappa sum_p V(R_p)),  tau = beta/P

G is the exact kernel of the trap, so only the repulsion has a time-step error and kappa = 0 has none.  The closing link
A is a product (labelled), a permanent/N! (bosons) or a determinant/N! (fermions; Takahashi and Imada, J. Phys. Soc.
Jpn. 53, 963 (1984)).  Paths are sampled for the first two (path_moves.py); fermions are bosons weighted by the sign
det/perm, whose mean Z_F/Z_B falls exponentially with N and beta.  Units: Hartree with omega = 1; energies are totals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.errors import at_least, one_of, positive, require
from massieu.exact.annealed import Number, new_key
from massieu.exact.path_moves import (
    Bridges,
    bridge_moves,
    bridges,
    closing_matrix,
    determinant,
    displace,
    exchange,
    move_origin,
    pair_sums,
    permanent,
)
from massieu.exact.trapped_gas import ideal_gas
from massieu.precision import double_precision
from massieu.principle import Estimate
from massieu.statistics import blocking

MAX_PARTICLES = 8
STATISTICS = ("boltzmann", "bose", "fermi")


class PathEnsemble(NamedTuple):
    """Totals of one statistics: F, E, S, <sum_i r_i^2> and <sum_{i<j} v>.

    E by the virial theorem, 2 <T> = <sum_i r_i . grad_i H>: E = <sum r^2> + kappa <sum v + r v'/2>.
    """

    F: Estimate
    E: Estimate
    S: Estimate
    r2: Estimate
    v: Estimate


UNKNOWN = PathEnsemble(*[Estimate(math.nan, math.nan)] * 5)


class PathIntegral(NamedTuple):
    """The three statistics, the sign Z_fermi/Z_bose, slices P and tau = beta/P.

    What was not asked for is nan, and the fermions' numbers are where the sign is less than three of its errors.
    acceptance: of (the bosons') displacements and bridges, and how many pairs swap in a sweep.
    """

    boltzmann: PathEnsemble
    bose: PathEnsemble
    fermi: PathEnsemble
    sign: Estimate
    slices: int
    tau: float
    acceptance: tuple[float, float, float]


class TimeStep(NamedTuple):
    """Runs with P and P/2 slices and their differences by statistics.

    A difference is about the time-step error left at P where that is of order tau, three times it at order tau^2.
    """

    fine: PathIntegral
    coarse: PathIntegral
    difference: dict[str, PathEnsemble]


def measure(x: Array, tau: Number, bose: bool) -> Array:
    """sum v, sum r v', sum r^2 and the sign of paths x (P, n, dim, W): (4, W)."""
    v, slope = pair_sums(x)
    sign = jnp.ones_like(v)
    if bose:
        matrix = closing_matrix(x, tau)[0]
        sign = determinant(matrix) / permanent(matrix)
    return jnp.stack([v, slope, jnp.sum(x**2, axis=(0, 1, 2)) / len(x), sign])


@partial(jax.jit, static_argnames="bose")
def sample(
    x: Array, kappa: Array, tau: Array, ways: Bridges, swaps: Bridges, keys: Array, bose: bool
) -> tuple[Array, tuple[Array, Array]]:
    """Sweeps of paths x (P, n, dim, W), one for each key (T,); the paths, `measure` (T, 4, W), acceptances (T, 3)."""

    def sweep(x: Array, key: Array) -> tuple[Array, tuple[Array, Array]]:
        origin_key, step_key, bridge_key, swap_key = jax.random.split(key, 4)
        x = move_origin(x, tau, bose, origin_key)
        x, displaced = displace(x, kappa, tau, bose, step_key)
        x, bridged = bridge_moves(x, kappa, tau, ways, bridge_key)
        swapped = jnp.zeros(())
        if bose and x.shape[1] > 1:
            x, swapped = exchange(x, kappa, tau, swaps, swap_key)
        return x, (measure(x, tau, bose), jnp.stack([displaced, bridged, swapped]))

    return jax.lax.scan(sweep, x, keys)


def _run(
    n: int, dim: int, beta: float, kappa: np.ndarray, bose: bool, slices: int, sweeps: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """`measure` of walkers at couplings kappa (W,): (4, W, sweeps), after a fifth as many sweeps, and acceptances."""
    with double_precision():
        start_key, key = jax.random.split(new_key(seed))
        width = math.sqrt(0.5 / math.tanh(beta / 2))
        points = width * jax.random.normal(start_key, (n, dim, len(kappa)), jnp.float64)
        x = jnp.broadcast_to(points, (slices, *points.shape))
        tau, first = beta / slices, sweeps // 5
        keys = jax.random.split(key, first + sweeps)
        # two bosons change places within the imaginary time 1/omega = 1
        ways, swaps = bridges(slices, tau), bridges(max(2, min(slices // 2, round(1 / tau))) + 1, tau)
        _, (trace, acceptance) = sample(x, jnp.asarray(kappa), jnp.asarray(tau), ways, swaps, keys, bose)
        return np.moveaxis(np.asarray(trace)[first:], 0, 2), np.asarray(acceptance)[first:].mean(axis=0)


def jackknife(chains: np.ndarray, function: Callable[[np.ndarray], float]) -> Estimate:
    """A function of the means of chains (K, C), each entry the mean of a chain, with its error from leaving one out."""
    total, count = chains.sum(axis=1), chains.shape[1]
    left = np.array([function((total - one) / (count - 1)) for one in chains.T])
    return Estimate(function(total / count), math.sqrt((count - 1) * left.var()))


def _energy(trace: np.ndarray, kappa: float) -> np.ndarray:
    v, slope, r2, _ = trace
    return r2 + kappa * (v + 0.5 * slope)


def _positive(trace: np.ndarray, F: Estimate, beta: float, kappa: float) -> PathEnsemble:
    E = blocking(_energy(trace, kappa))
    S = Estimate(beta * (E.value - F.value), beta * math.hypot(E.error, F.error))
    return PathEnsemble(F, E, S, blocking(trace[2]), blocking(trace[0]))


def _fermions(trace: np.ndarray, bosons: Estimate, sign: Estimate, beta: float, kappa: float) -> PathEnsemble:
    if sign.value <= 3 * sign.error:
        return UNKNOWN
    columns = trace[3] * np.stack([np.ones_like(trace[3]), _energy(trace, kappa), trace[2], trace[0]])
    chains = columns.mean(axis=2)
    E, r2, v = (jackknife(chains[[0, k]], lambda m: m[1] / m[0]) for k in (1, 2, 3))
    ratio = jackknife(chains, lambda m: -math.log(m[0]) / beta)
    entropy = jackknife(chains, lambda m: beta * m[1] / m[0] + math.log(m[0]))
    F = Estimate(bosons.value + ratio.value, math.hypot(bosons.error, ratio.error))
    S = Estimate(entropy.value - beta * bosons.value, math.hypot(entropy.error, beta * bosons.error))
    return PathEnsemble(F, E, S, r2, v)


def _check(n: int, dim: int, beta: float, kappa: float, slices: int, chains: int, sweeps: int) -> None:
    require(isinstance(n, int) and 1 <= n <= MAX_PARTICLES, "n", n, f"an integer from 1 to {MAX_PARTICLES}")
    require(dim in (1, 2, 3), "dim", dim, "1, 2 or 3")
    positive("beta", beta)
    require(isinstance(kappa, (int, float)) and 0 <= kappa < math.inf, "kappa", kappa, "a finite number >= 0")
    at_least("slices", slices, 4)
    at_least("chains", chains, 8)
    at_least("sweeps", sweeps, 10)


def trap_pimc(
    n: int,
    dim: int,
    beta: float,
    kappa: float,
    statistics: str | None = None,
    *,
    slices: int = 32,
    chains: int = 256,
    sweeps: int = 1000,
    nodes: int = 6,
    seed: int = 0,
) -> PathIntegral:
    """F, E, S of n labelled particles, bosons and fermions with P = slices; errors do not know of the time step.

    F = F_ideal + int_0^kappa <sum v> dkappa on Gauss-Legendre nodes in sqrt(kappa), chains/nodes walkers at each, and
    F_fermi = F_bose - kT ln <sign>; everything else from `chains` walkers at full coupling.  Raises InputError.
    Six nodes leave 1e-8 of two bosons' F at kappa = 2 and 3e-3 at kappa = 20 (dim 2); eight, 2e-4 there.  The time-step
    error in dim 2 is of order tau where particles meet (labelled, bosons) and nearly tau^2 for fermions: `time_step`.
    With `statistics` (boltzmann, bose or fermi) only this one is sampled, fermions together with bosons.
    """
    _check(n, dim, beta, kappa, slices, chains, sweeps)
    at_least("nodes", nodes, 1)
    if statistics is not None:
        one_of("statistics", statistics, STATISTICS)
    labelled, bosons, fermi, sign = UNKNOWN, UNKNOWN, UNKNOWN, Estimate(math.nan, math.nan)
    if statistics in (None, "boltzmann"):
        labelled, _, acceptance = _ensemble(n, dim, beta, kappa, False, nodes, slices, chains, sweeps, 2 * seed)
    if statistics != "boltzmann":
        bosons, trace, acceptance = _ensemble(n, dim, beta, kappa, True, nodes, slices, chains, sweeps, 2 * seed + 1)
        sign = blocking(trace[3])
        fermi = _fermions(trace, bosons.F, sign, beta, kappa)
    displaced, bridged, swapped = (float(a) for a in acceptance)
    return PathIntegral(labelled, bosons, fermi, sign, slices, beta / slices, (displaced, bridged, swapped))


def _ensemble(
    n: int,
    dim: int,
    beta: float,
    kappa: float,
    bose: bool,
    nodes: int,
    slices: int,
    chains: int,
    sweeps: int,
    seed: int,
) -> tuple[PathEnsemble, np.ndarray, np.ndarray]:
    """Totals of bosons or labelled particles, `measure` at full coupling (4, chains, sweeps) and the acceptances."""
    points, weights = np.polynomial.legendre.leggauss(nodes)
    t, each = 0.5 * (points + 1), max(1, chains // nodes)
    couplings = np.concatenate([np.repeat(kappa * t**2, each), np.full(chains, kappa)])
    trace, acceptance = _run(n, dim, beta, couplings, bose, slices, sweeps, seed)
    shares = kappa * t * weights
    slopes = np.array([blocking(trace[0, k * each : (k + 1) * each]) for k in range(nodes)])
    ideal = -ideal_gas(n, dim, beta, "bose" if bose else "boltzmann")[0] / beta
    F = Estimate(float(ideal + shares @ slopes[:, 0]), float(np.linalg.norm(shares * slopes[:, 1])))
    full = trace[:, -chains:]
    return _positive(full, F, beta, kappa), full, acceptance


def time_step(
    n: int,
    dim: int,
    beta: float,
    kappa: float,
    statistics: str | None = None,
    *,
    slices: int = 32,
    seed: int = 0,
    **effort: int,
) -> TimeStep:
    """`trap_pimc` with P and P/2 slices (even, >= 8) and the differences, by independent runs."""
    require(isinstance(slices, int) and slices >= 8 and slices % 2 == 0, "slices", slices, "an even integer >= 8")
    fine = trap_pimc(n, dim, beta, kappa, statistics, slices=slices, seed=seed, **effort)
    coarse = trap_pimc(n, dim, beta, kappa, statistics, slices=slices // 2, seed=seed + 1, **effort)
    difference = {}
    for name in STATISTICS:
        pairs = zip(getattr(fine, name), getattr(coarse, name), strict=True)
        difference[name] = PathEnsemble(*(Estimate(a.value - b.value, math.hypot(a.error, b.error)) for a, b in pairs))
    return TimeStep(fine, coarse, difference)


def average_sign(
    n: int,
    dim: int,
    beta: float,
    kappa: float,
    *,
    slices: int = 32,
    chains: int = 256,
    sweeps: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Z_fermi/Z_bose = <det/perm> of bosons; exact, with error 0, at kappa = 0.  Raises InputError."""
    _check(n, dim, beta, kappa, slices, chains, sweeps)
    if kappa == 0:
        return Estimate(math.exp(ideal_gas(n, dim, beta, "fermi")[0] - ideal_gas(n, dim, beta, "bose")[0]))
    return blocking(_run(n, dim, beta, np.full(chains, kappa), True, slices, sweeps, seed)[0][3])


def average_signs(
    ns: Sequence[int], betas: Sequence[float], dim: int, kappa: float, **effort: int
) -> dict[tuple[int, float], Estimate]:
    """`average_sign` of every number of particles and beta, by (n, beta)."""
    return {(n, beta): average_sign(n, dim, beta, kappa, **effort) for n in ns for beta in betas}
