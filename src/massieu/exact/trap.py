"""The classical Coulomb gas in a harmonic trap: quadrature, sampling references and energy minima.

    H = sum_i kappa x_i^2 + sum_{i<j} 1/|x_i - x_j|,   Z = int d^{dim n}x exp(-beta H)

Labelled particles, no 1/n!, no momenta, in dim = 1, 2 or 3.  Both sampling methods switch the repulsion on as
lambda = t^3, t = 0 ... 1, starting from the ideal gas; t^3 spreads the rapid change at small lambda.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize

from massieu.exact.annealed import Number, annealed_importance_sampling
from massieu.exact.enumeration import check_beta
from massieu.exact.integration import combine, thermodynamic_integration
from massieu.exact.moments import states
from massieu.exact.thermodynamics import Thermodynamics

Parameters = tuple[float, float]  # beta, kappa


def _check(n: int, dim: int, beta: float, kappa: float) -> None:
    check_beta(beta)
    if n < 1 or dim not in (1, 2, 3) or not kappa > 0:
        raise ValueError(f"the trap needs n >= 1, dim 1, 2 or 3 and kappa > 0, not {n}, {dim}, {kappa}")


def repulsion(x: jax.Array) -> jax.Array:
    """sum_{i<j} 1/|x_i - x_j| of walkers x (n, dim, W): (W,).  Pairs are formed by cyclic shifts, without gathers."""
    n, total = x.shape[0], jnp.zeros(x.shape[-1])
    for shift in range(1, n // 2 + 1):
        pairs = jax.lax.rsqrt(jnp.sum((x - jnp.roll(x, shift, axis=0)) ** 2, axis=1)).sum(axis=0)
        total = total + (0.5 if 2 * shift == n else 1.0) * pairs
    return total


def trap_action(x: jax.Array, t: Number, parameters: Parameters) -> jax.Array:
    """beta (kappa sum x^2 + t^3 sum 1/r) of walkers x (n, dim, W): (W,)."""
    beta, kappa = parameters
    return beta * (kappa * jnp.sum(x**2, axis=(0, 1)) + t**3 * repulsion(x))


def trap_energy(x: jax.Array, t: Number, parameters: Parameters) -> jax.Array:
    """H of walkers x (n, dim, W) at full coupling: (W,)."""
    return parameters[1] * jnp.sum(x**2, axis=(0, 1)) + repulsion(x)


def ideal_log_partition(n: int, dim: int, beta: float, kappa: float) -> float:
    """ln Z without the repulsion: (dim n / 2) ln(pi / (beta kappa))."""
    return 0.5 * dim * n * math.log(math.pi / (beta * kappa))


def trap_quadrature(n: int = 2, dim: int = 2, beta: float = 10.0, kappa: float = 1.0) -> Thermodynamics:
    """One particle (ideal) or two (Gaussian centre of mass times a radial integral), to 1e-12; ValueError for n > 2."""
    _check(n, dim, beta, kappa)
    if n > 2:
        raise ValueError(f"quadrature is for one or two particles, not {n}")
    centre = (dim / (2 * beta), dim / (2 * beta**2))  # energy and variance of one particle in a harmonic trap
    if n == 1:
        return Thermodynamics.from_log_partition(
            ideal_log_partition(1, dim, beta, kappa), *centre, beta, "ideal particle in a trap"
        )
    # kappa (x1^2 + x2^2) = 2 kappa R^2 + kappa r^2 / 2; the trapezoid rule in ln r converges exponentially
    reach = 1.5 * kappa ** (1 / 3) + 800 / beta  # the bottom of the radial energy, plus 800 kT
    log_r, width = np.linspace(-math.log(reach), 0.5 * math.log(2 * reach / kappa), 40001, retstep=True)
    energy = 0.5 * kappa * np.exp(2 * log_r) + np.exp(-log_r)
    shell = math.log((2.0, 2 * math.pi, 4 * math.pi)[dim - 1] * width)
    relative = states(energy, beta, shell + dim * log_r).totals(beta, "")
    assert relative.E is not None and relative.C is not None
    return Thermodynamics.from_log_partition(
        relative.lnZ.value + ideal_log_partition(1, dim, beta, 2 * kappa),
        relative.E.value + centre[0],
        relative.C.value / beta**2 + centre[1],
        beta,
        "quadrature",
    )


def _ideal_gas(n: int, dim: int, beta: float, kappa: float, walkers: int, key: jax.Array) -> jax.Array:
    return jax.random.normal(key, (n, dim, walkers), jnp.float64) / math.sqrt(2 * beta * kappa)


def trap_ais(
    n: int,
    dim: int = 2,
    beta: float = 10.0,
    kappa: float = 1.0,
    walkers: int = 4000,
    steps: int = 400,
    seed: int = 0,
    moves: int = 40,
) -> Thermodynamics:
    """F, E, S by annealed importance sampling from the ideal gas; the effective sample size is in `method`."""
    _check(n, dim, beta, kappa)
    run = annealed_importance_sampling(
        trap_action,
        lambda key, count: _ideal_gas(n, dim, beta, kappa, count, key),
        ideal_log_partition(n, dim, beta, kappa),
        (beta, kappa),
        trap_energy,
        walkers,
        steps,
        seed,
        width=1 / math.sqrt(2 * beta * kappa),
        moves=moves,
    )
    method = f"annealed importance sampling (ESS {run.ess:.0f} of {walkers})"
    return Thermodynamics.from_estimates(run.lnZ, run.mean, beta, method)


def trap_thermodynamic_integration(
    n: int,
    dim: int = 2,
    beta: float = 10.0,
    kappa: float = 1.0,
    chains: int = 2000,
    nodes: int = 20,
    bridges: int = 20,
    moves: int = 40,
    seed: int = 1,
) -> Thermodynamics:
    """F = F_ideal + int_0^1 dt 3 t^2 <sum 1/r>_t on Gauss-Legendre nodes; E from the same chains at t = 1."""
    _check(n, dim, beta, kappa)
    found = thermodynamic_integration(
        trap_action,
        lambda key, count: _ideal_gas(n, dim, beta, kappa, count, key),
        ideal_log_partition(n, dim, beta, kappa),
        (beta, kappa),
        trap_energy,
        chains,
        nodes,
        bridges,
        moves,
        seed,
        width=1 / math.sqrt(2 * beta * kappa),
    )
    method = f"thermodynamic integration ({nodes} nodes, ESS {found.ess:.0f} of {chains})"
    return Thermodynamics.from_estimates(found.lnZ, found.mean, beta, method)


def trap_minima(
    n: int, dim: int = 2, kappa: float = 1.0, starts: int = 200, seed: int = 0
) -> list[tuple[float, np.ndarray]]:
    """Local minima of H from random starts: (energy, positions (n, dim)), distinct by 1e-6 in energy, lowest first."""
    _check(n, dim, 1.0, kappa)
    rng, found = np.random.default_rng(seed), []
    size = 0.6 * (n / kappa) ** (1 / 3)
    for _ in range(starts):
        start = rng.normal(0, size, n * dim)
        result = optimize.minimize(
            _energy_and_gradient, start, (n, dim, kappa), "BFGS", jac=True, options={"gtol": 1e-7}
        )
        found.append((float(result.fun), result.x.reshape(n, dim)))
    found.sort(key=lambda pair: pair[0])
    return [pair for i, pair in enumerate(found) if i == 0 or pair[0] - found[i - 1][0] > 1e-6]


def _energy_and_gradient(flat: np.ndarray, n: int, dim: int, kappa: float) -> tuple[float, np.ndarray]:
    x = flat.reshape(n, dim)
    between = x[:, None] - x[None]
    distance = np.sqrt((between**2).sum(axis=-1))
    np.fill_diagonal(distance, np.inf)
    inverse = 1 / distance
    gradient = 2 * kappa * x - (between * inverse[..., None] ** 3).sum(axis=1)
    return float(kappa * (x**2).sum() + 0.5 * inverse.sum()), gradient.ravel()


def trap_reference(n: int, dim: int = 2, beta: float = 10.0, kappa: float = 1.0, seed: int = 0) -> Thermodynamics:
    """The best independent answer: quadrature for n <= 2, else the mean of AIS and thermodynamic integration.

    The two runs share no random numbers; chi^2 > 1 between them inflates the error.  One busy core: n = 6 in 40 s,
    n = 20 in 140 s.
    """
    if n <= 2:
        return trap_quadrature(n, dim, beta, kappa)
    walkers = int(np.clip(8000 * (6 / n) ** 1.8, 400, 8000))
    # measured: Var(ln w) is about 160 (n/6)^2.4 (beta kappa^(1/3) / 10) / steps; aim at 1
    steps = int(np.clip(160 * (n / 6) ** 2.4 * beta * kappa ** (1 / 3) / 10, 600, 8000))
    runs = [
        trap_ais(n, dim, beta, kappa, walkers, steps, 2 * seed, moves=60),
        trap_thermodynamic_integration(
            n, dim, beta, kappa, walkers // 2, nodes=20, bridges=max(20, steps // 21), seed=2 * seed + 1
        ),
    ]
    energies = [run.E for run in runs if run.E is not None]
    method = "; ".join(run.method for run in runs)
    return Thermodynamics.from_estimates(combine([run.lnZ for run in runs]), combine(energies), beta, method)
