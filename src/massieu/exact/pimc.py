"""Path-integral Monte Carlo for N <= 8 particles in a harmonic trap: labelled particles, bosons and polarised fermions.

    H = sum_i (-1/2 lap_i + 1/2 r_i^2) + sum_{i<j} kappa v(r_ij),   v = 1/r, in one dimension 1/sqrt(r^2 + 1)

    Z_P = int dR_0 .. dR_{P-1} prod_{p<P-1} G(R_p, R_{p+1}) A(R_{P-1}, R_0) exp(-tau kappa sum_p V(R_p)),  tau = beta/P

G is the exact kernel of the trap (Mehler), so only the repulsion has a time-step error and kappa = 0 has none.  The
closing link A is, of the N x N matrix of Mehler kernels, the product of the diagonal (labelled), the permanent/N!
(bosons) or the determinant/N! (fermions; Takahashi and Imada, J. Phys. Soc. Jpn. 53, 963 (1984)).  Paths are sampled
for the first two; fermions are bosons weighted by the sign det/perm, whose mean Z_F/Z_B falls exponentially with N
and beta.  Units: Hartree with omega = 1; energies are totals.  The batch of walkers is the *last* axis of every array.

Longer than 300 lines: the closing link, the four moves that rest on it and their averages are read together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Decimal, localcontext
from functools import lru_cache, partial
from itertools import combinations
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.errors import at_least, one_of, positive, require
from massieu.exact.annealed import Number, new_key
from massieu.principle import Estimate
from massieu.statistics import blocking

MAX_PARTICLES = 8


class PathEnsemble(NamedTuple):
    """Totals of one statistics: F, E, S, <sum_i r_i^2> and <sum_{i<j} v>.

    E by the virial theorem, 2 <T> = <sum_i r_i . grad_i H>: E = <sum r^2> + kappa <sum v + r v'/2>.
    """

    F: Estimate
    E: Estimate
    S: Estimate
    r2: Estimate
    v: Estimate


class PathIntegral(NamedTuple):
    """The three statistics, the sign Z_fermi/Z_bose, slices P and tau = beta/P; the fermions' numbers are nan where the
    sign is less than three of its errors.

    acceptance: of the bosons' displacements and bridges, and how many pairs swap in a sweep.
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


class Bridges(NamedTuple):
    """Redrawing paths between fixed slices, for K choices of these: x -> mean x + noise xi.

    mean, noise (K, P, P); piece (K, P, 4) is 1 where a slice belongs to a piece between two fixed ones.
    """

    mean: np.ndarray
    noise: np.ndarray
    piece: np.ndarray


def log_mehler(x: Array, y: Array, tau: Number) -> Array:
    """ln <x|exp(-tau (p^2 + x^2)/2)|y> of one coordinate, elementwise."""
    springs = (x - y) ** 2 / (2 * jnp.sinh(tau)) + 0.5 * jnp.tanh(tau / 2) * (x**2 + y**2)
    return -0.5 * jnp.log(2 * jnp.pi * jnp.sinh(tau)) - springs


def ideal_gas(n: int, dim: int, beta: float, statistics: str) -> tuple[float, float]:
    """ln Z and E without repulsion: Z_N = 1/N sum_k (+-1)^(k-1) z(k beta) Z_{N-k} for bosons and fermions."""
    one_of("statistics", statistics, ("boltzmann", "bose", "fermi"))
    lnz, energy = -dim * (beta / 2 + math.log(-math.expm1(-beta))), 0.5 * dim / math.tanh(beta / 2)
    if statistics == "boltzmann":
        return n * lnz, n * energy
    sign = 1 if statistics == "bose" else -1
    with localcontext() as context:
        context.prec = 50 + int(beta * n * n)  # the fermions' sum cancels to exp(-beta (E_F - E_B))
        decay = [(-Decimal(beta) * k).exp() for k in range(1, n + 1)]
        z = [(d.sqrt() / (1 - d)) ** dim for d in decay]
        slope = [-k * dim * (1 + d) / (1 - d) / 2 * one for k, d, one in zip(range(1, n + 1), decay, z, strict=True)]
        Z, dZ = [Decimal(1)], [Decimal(0)]
        for m in range(1, n + 1):
            Z.append(sum(sign ** (k - 1) * z[k - 1] * Z[m - k] for k in range(1, m + 1)) / Decimal(m))
            terms = (sign ** (k - 1) * (slope[k - 1] * Z[m - k] + z[k - 1] * dZ[m - k]) for k in range(1, m + 1))
            dZ.append(sum(terms) / Decimal(m))
        return float(Z[n].ln()), float(-dZ[n] / Z[n])


@lru_cache
def _subsets(n: int) -> tuple[list[tuple[np.ndarray, np.ndarray, np.ndarray]], np.ndarray]:
    """For k = 1 .. n and every k-subset of the columns: the (k-1)-subsets in it, the column left, the sign of that.

    Each (C(n, k), k); and the place (2^n,) of every subset, as a bit mask, among those of its size.
    """
    position, levels = np.zeros(2**n, int), []
    for k in range(1, n + 1):
        column = np.array(list(combinations(range(n), k)))
        mask = (1 << column).sum(axis=1)
        position[mask] = np.arange(len(mask))
        levels.append((position[mask[:, None] - (1 << column)], column, (-1.0) ** np.arange(k - 1, -1, -1)))
    return levels, position


def expansions(matrix: Array, signed: bool) -> list[Array]:
    """Permanents (determinants if signed) of the first k rows of matrix (n, n, W) with every k columns: (C(n, k), W).

    Laplace's expansion row by row, n 2^(n-1) products; for a positive matrix no term of the permanent cancels.
    """
    found = [jnp.ones((1, matrix.shape[-1]), matrix.dtype)]
    for k, (smaller, column, sign) in enumerate(_subsets(len(matrix))[0]):
        terms = matrix[k][column] * found[-1][smaller]
        found.append(jnp.sum(terms * sign[:, None] if signed else terms, axis=1))
    return found


def permanent(matrix: Array) -> Array:
    """Of matrices (n, n, W): (W,)."""
    return expansions(matrix, False)[-1][0]


def determinant(matrix: Array) -> Array:
    """Of matrices (n, n, W): (W,), to rounding of the *permanent*, as the sign det/perm needs."""
    return expansions(matrix, True)[-1][0]


def draw_permutation(matrix: Array, key: Array) -> Array:
    """Permutations s (n, W) with probability prod_i matrix[i, s_i] / permanent."""
    n, _, walkers = matrix.shape
    tables, position = expansions(matrix, False), jnp.asarray(_subsets(n)[1])
    left, drawn, bits = jnp.full(walkers, 2**n - 1), [], (1 << np.arange(n))[:, None]
    for k, row_key in zip(range(n - 1, -1, -1), jax.random.split(key, n), strict=True):
        rest = tables[k][position[left ^ bits], jnp.arange(walkers)]
        weight = jnp.where(left & bits > 0, matrix[k] * rest, 0.0)
        drawn.append(jax.random.categorical(row_key, jnp.log(weight), axis=0))
        left = left ^ (1 << drawn[-1])
    return jnp.stack(drawn[::-1])


def closing_matrix(x: Array, tau: Number) -> tuple[Array, Array]:
    """Kernels from the last slice to the first of paths x (P, n, dim, W), rows scaled to a largest entry of 1.

    Returns the matrix (n, n, W) and the ln of the product of the scales (W,).
    """
    links = log_mehler(x[-1][:, None], x[0][None], tau).sum(axis=2)
    top = links.max(axis=1, keepdims=True)
    return jnp.exp(links - top), top.sum(axis=(0, 1))


def log_closing(x: Array, tau: Number, bose: bool) -> Array:
    """ln A of paths x (P, n, dim, W), for bosons without the 1/n!: (W,)."""
    if not bose:
        return log_mehler(x[-1], x[0], tau).sum(axis=(0, 1))
    matrix, scale = closing_matrix(x, tau)
    return jnp.log(permanent(matrix)) + scale


def pair_sums(x: Array) -> tuple[Array, Array]:
    """sum_{i<j} v(r) and sum_{i<j} r v'(r), averaged over the slices of x (P, n, dim, W): (W,) each."""
    i, j = np.triu_indices(x.shape[1], 1)
    square = jnp.sum((x[:, i] - x[:, j]) ** 2, axis=2)
    v = jax.lax.rsqrt(square + _softening(x))
    return v.sum(axis=1).mean(axis=0), -(square * v**3).sum(axis=1).mean(axis=0)


def _softening(x: Array) -> float:
    return 1.0 if x.shape[2] == 1 else 0.0


def _repulsion_of(line: Array, i: Array, x: Array) -> Array:
    """sum_{j != i} v at every slice for particle i on the path `line` (P, dim, W) among x (P, n, dim, W): (P, W)."""
    square = jnp.sum((line[:, None] - x) ** 2, axis=2) + _softening(x)
    other = (jnp.arange(x.shape[1]) != i)[:, None]
    return jnp.sum(jnp.where(other, jax.lax.rsqrt(square), 0.0), axis=1)


def bridges(slices: int, tau: float) -> Bridges:
    """Mehler bridges over the whole path, halves and quarters of it; the first and last slice always stay."""
    precision = 2 / math.tanh(tau) * np.eye(slices) - (np.eye(slices, k=1) + np.eye(slices, k=-1)) / math.sinh(tau)
    found = []
    for pieces in (k for k in (1, 2, 4) if slices > 2 * k):
        fixed = np.round(np.linspace(0, slices - 1, pieces + 1)).astype(int)
        free = np.setdiff1d(np.arange(slices), fixed)
        covariance = np.linalg.inv(precision[np.ix_(free, free)])
        mean, noise = np.eye(slices), np.zeros((slices, slices))
        mean[free] = 0.0
        mean[np.ix_(free, fixed)] = -covariance @ precision[np.ix_(free, fixed)]
        noise[np.ix_(free, free)] = np.linalg.cholesky(covariance)
        found.append((mean, noise, np.eye(4)[np.searchsorted(fixed[1:-1], np.arange(slices), "right")]))
    return Bridges(*(np.array(part) for part in zip(*found, strict=True)))


def move_origin(x: Array, tau: Number, bose: bool, key: Array) -> Array:
    """Close the paths elsewhere: draw the permutation that the closing link sums over, follow it, forget it."""
    shift_key, permutation_key = jax.random.split(key)
    wrapped = x
    if bose and x.shape[1] > 1:
        order = draw_permutation(closing_matrix(x, tau)[0], permutation_key)
        wrapped = jnp.take_along_axis(x, order[None, :, None], axis=1)
    shift = jax.random.randint(shift_key, (), 0, len(x))
    return jax.lax.dynamic_slice_in_dim(jnp.concatenate([x, wrapped]), shift, len(x))


def displace(x: Array, kappa: Array, tau: Number, bose: bool, key: Array) -> tuple[Array, Array]:
    """Metropolis move of every particle's whole path in turn; the paths and the mean acceptance.

    The centroid goes from c to sqrt(1 - s^2) c + s xi, which keeps its Gaussian in the trap, for s of all sizes.
    """
    slices, n, dim, walkers = x.shape
    step_key, size_key, accept_key = jax.random.split(key, 3)
    s = 2 ** jax.random.uniform(size_key, (n, 1, walkers), x.dtype, -1.0, 0.0)
    stiffness = slices * jnp.tanh(tau / 2)
    step = s * jax.random.normal(step_key, (n, dim, walkers), x.dtype) / jnp.sqrt(2 * stiffness)
    threshold = jnp.log(jax.random.uniform(accept_key, (n, walkers), x.dtype))

    def one(carry: tuple[Array, Array], inputs: Any) -> tuple[tuple[Array, Array], Array]:
        x, closing = carry
        i, s, step, threshold = inputs
        old = x[:, i]
        centroid = old.mean(axis=0)
        there = jnp.sqrt(1 - s**2) * centroid + step
        new = old + there - centroid
        moved = x.at[:, i].set(new)
        after = log_closing(moved, tau, bose)
        links = (log_mehler(new[1:], new[:-1], tau) - log_mehler(old[1:], old[:-1], tau)).sum(axis=(0, 1))
        trap = stiffness * jnp.sum(there**2 - centroid**2, axis=0)  # in the proposal already
        repulsion = jnp.sum(_repulsion_of(new, i, x) - _repulsion_of(old, i, x), axis=0)
        accept = threshold < links + trap + after - closing - tau * kappa * repulsion
        return (jnp.where(accept, moved, x), jnp.where(accept, after, closing)), accept.mean()

    (x, _), accepted = jax.lax.scan(one, (x, log_closing(x, tau, bose)), (jnp.arange(n), s, step, threshold))
    return x, accepted.mean()


def exchange(x: Array, kappa: Array, tau: Number, ways: Bridges, key: Array) -> tuple[Array, Array]:
    """Swap the paths of pairs of bosons beyond slice m, or not, by heat bath; rejoin them by bridges from slice 0.

    `ways` are the bridges of m + 1 slices; returns the paths and how many pairs were swapped in a sweep.
    """
    n, mean, noise = x.shape[1], jnp.asarray(ways.mean)[0], jnp.asarray(ways.noise)[0]
    m = len(mean) - 1
    pair_key, noise_key, uniform_key = jax.random.split(key, 3)
    pairs = jax.random.permutation(pair_key, n)[: n // 2 * 2].reshape(-1, 2)
    normal = jax.random.normal(noise_key, (len(pairs), m + 1, 2, *x.shape[2:]), x.dtype)
    uniform = jax.random.uniform(uniform_key, (len(pairs), 2, x.shape[-1]), x.dtype)

    def one(x: Array, inputs: Any) -> tuple[Array, Array]:
        pair, normal, uniform = inputs
        old = x[:, pair]
        joined = log_mehler(old[0][:, None], old[m][None], m * tau).sum(axis=2)
        odds = joined[0, 1] + joined[1, 0] - joined[0, 0] - joined[1, 1]
        swap = uniform[0] < jax.nn.sigmoid(odds)
        tail = jnp.where(swap, old[m:, ::-1], old[m:])
        head = jnp.tensordot(mean, jnp.concatenate([old[:m], tail[:1]]), 1) + jnp.tensordot(noise, normal, 1)
        moved = x.at[:, pair].set(jnp.concatenate([head[:m], tail]))
        change = m * tau * kappa * (pair_sums(moved[:m])[0] - pair_sums(x[:m])[0])
        accept = jnp.log(uniform[1]) < -change
        return jnp.where(accept, moved, x), jnp.mean(accept & swap)

    x, swapped = jax.lax.scan(one, x, (pairs, normal, uniform))
    return x, swapped.sum()


def bridge_moves(x: Array, kappa: Array, tau: Number, ways: Bridges, key: Array) -> tuple[Array, Array]:
    """Redraw every particle's path between fixed slices in turn; each piece is accepted or refused by itself."""
    way_key, noise_key, accept_key = jax.random.split(key, 3)
    way = jax.random.randint(way_key, (), 0, len(ways.mean))
    mean, noise, piece = (jnp.asarray(part)[way] for part in ways)
    normal = jax.random.normal(noise_key, x.shape, x.dtype)
    proposed = jnp.tensordot(mean, x, 1) + jnp.tensordot(noise, normal, 1)
    uniform = jax.random.uniform(accept_key, (x.shape[1], piece.shape[1], x.shape[-1]), x.dtype)

    def one(x: Array, inputs: Any) -> tuple[Array, Array]:
        i, new, threshold = inputs
        old = x[:, i]
        change = tau * kappa * (_repulsion_of(new, i, x) - _repulsion_of(old, i, x))
        accept = threshold < -piece.T @ change
        line = jnp.where((piece @ accept > 0.5)[:, None], new, old)
        return x.at[:, i].set(line), jnp.sum(accept * piece.max(axis=0)[:, None]) / piece.max(axis=0).sum()

    inputs = (jnp.arange(x.shape[1]), jnp.moveaxis(proposed, 1, 0), jnp.log(uniform))
    x, accepted = jax.lax.scan(one, x, inputs)
    return x, accepted.mean() / x.shape[-1]


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
    with jax.enable_x64(True):
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
        return PathEnsemble(*[Estimate(math.nan, math.nan)] * 5)
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
    """
    _check(n, dim, beta, kappa, slices, chains, sweeps)
    at_least("nodes", nodes, 1)
    points, weights = np.polynomial.legendre.leggauss(nodes)
    t, each = 0.5 * (points + 1), max(1, chains // nodes)
    couplings = np.concatenate([np.repeat(kappa * t**2, each), np.full(chains, kappa)])
    shares, ensembles = kappa * t * weights, []
    for bose in (False, True):
        trace, acceptance = _run(n, dim, beta, couplings, bose, slices, sweeps, 2 * seed + bose)
        slopes = np.array([blocking(trace[0, k * each : (k + 1) * each]) for k in range(nodes)])
        ideal = -ideal_gas(n, dim, beta, "bose" if bose else "boltzmann")[0] / beta
        F = Estimate(float(ideal + shares @ slopes[:, 0]), float(np.linalg.norm(shares * slopes[:, 1])))
        full = trace[:, -chains:]
        ensembles.append(_positive(full, F, beta, kappa))
    sign = blocking(full[3])
    fermi = _fermions(full, F, sign, beta, kappa)
    displaced, bridged, swapped = (float(a) for a in acceptance)
    return PathIntegral(ensembles[0], ensembles[1], fermi, sign, slices, beta / slices, (displaced, bridged, swapped))


def time_step(
    n: int, dim: int, beta: float, kappa: float, *, slices: int = 32, seed: int = 0, **effort: int
) -> TimeStep:
    """`trap_pimc` with P and P/2 slices (even, >= 8) and the differences, by independent runs."""
    require(isinstance(slices, int) and slices >= 8 and slices % 2 == 0, "slices", slices, "an even integer >= 8")
    fine = trap_pimc(n, dim, beta, kappa, slices=slices, seed=seed, **effort)
    coarse = trap_pimc(n, dim, beta, kappa, slices=slices // 2, seed=seed + 1, **effort)
    difference = {}
    for name in ("boltzmann", "bose", "fermi"):
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
