"""Annealed importance sampling and thermodynamic integration against exact answers and against independent runs.

The trap numbers are independent computations: quadrature for n <= 3, Metropolis integration in the coupling combined
with annealing for the others (with standard errors), and minimisation from random starts for the minima.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from massieu.exact.annealed import ais_spins, annealed_importance_sampling, log_mean_weight
from massieu.exact.enumeration import enumerate_spins
from massieu.exact.trap import (
    combine,
    ideal_log_partition,
    trap_ais,
    trap_minima,
    trap_quadrature,
    trap_reference,
    trap_thermodynamic_integration,
)
from massieu.principle import Estimate

pytestmark = pytest.mark.acceptance

TRAP = [
    # n, beta, F, its error, E, its error; dim 2, kappa 1
    (6, 1.0, 5.619618508244734, 0.00076, 21.177257481098987, 0.0015),
    (6, 3.0, 14.752909865933832, 0.00065, 18.432075518597927, 0.00082),
    (6, 10.0, 16.832332440332486, 0.00043, 17.38634063113351, 0.00019),
    (6, 30.0, 17.040922716471783, 0.00031, 17.022293215425428, 0.00016),
    (6, 100.0, 16.959965209621476, 0.00047, 16.882768713668362, 3.1e-05),
    (4, 10.0, 7.456455976390724, 0.00027, 7.714393775880727, 0.00021),
    (10, 10.0, 44.507720106202825, 0.0011, 45.7428690715144, 0.00029),
    (3, 1.0, -0.762095886239664, 1e-08, 6.353451470901887, 1e-08),
    (3, 10.0, 4.041881829735786, 1e-08, 4.190281443562114, 1e-08),
]
PAIR = [
    # beta, F, E, S of two particles; dim 2, kappa 1
    (1.0, -1.3730284766453416, 3.1692849085193755, 4.542313385164717),
    (10.0, 1.5767893599121332, 1.6526044700669356, 0.7581511015480236),
]
MINIMA = [
    # n, known low-lying minima; dim 2, kappa 1
    (2, [1.4999999999999998]),
    (3, [3.931112091313344]),
    (4, [7.3417824443144255]),
    (5, [11.692226902615797, 11.827807928837617]),
    (6, [16.827338134377932, 16.948557021090252]),
    (7, [22.672822317379353]),
    (8, [29.35123241195516]),
    (9, [36.793044153307974, 36.84830175684035]),
    (10, [44.84942814893028, 44.881626484149514]),
    (11, [53.51135781728695]),
    (12, [62.867237479656254, 62.90448717772028]),
    (16, [106.39844108429924, 106.43764441694455, 106.49909777706206]),
    (19, [145.00666695814377, 145.02324503219654]),
    (20, [158.99226538633945, 159.1245564579895]),
]


def within(estimate, value, error=0.0, sigmas=4.0):
    assert abs(estimate.value - value) < sigmas * math.hypot(estimate.error, error), f"{estimate} against {value}"


@pytest.mark.parametrize("beta, free, energy, entropy", PAIR)
def test_two_particles_by_quadrature(beta, free, energy, entropy):
    exact = trap_quadrature(2, 2, beta)
    assert [exact.F.value, exact.E.value, exact.S.value] == pytest.approx([free, energy, entropy], rel=1e-7)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_pair_in_a_cold_trap_is_a_set_of_harmonic_modes(dim):
    # relative motion about r^3 = 1: minimum 3/2, radial stiffness 3 (per x^2/2), and the sphere of directions
    beta, exact = 1e5, trap_quadrature(2, dim, 1e5)
    shell = (2.0, 2 * math.pi, 4 * math.pi)[dim - 1]
    log_z = dim / 2 * math.log(math.pi / (2 * beta)) + 0.5 * math.log(2 * math.pi / (3 * beta)) + math.log(shell)
    assert exact.lnZ.value == pytest.approx(log_z - 1.5 * beta, abs=1e-4)


@pytest.mark.parametrize("dim", [1, 3])
def test_annealing_two_particles_equals_quadrature(dim):
    exact, sampled = trap_quadrature(2, dim, 10.0, 0.7), trap_ais(2, dim, 10.0, 0.7, walkers=2000, steps=150)
    within(sampled.F, exact.F.value)
    within(sampled.E, exact.E.value)
    assert sampled.F.error < 3e-3


def test_integration_in_the_coupling_equals_quadrature_for_two_particles():
    exact = trap_quadrature(2, 2, 10.0, 0.7)
    sampled = trap_thermodynamic_integration(2, 2, 10.0, 0.7, chains=1000, bridges=10, moves=20)
    within(sampled.F, exact.F.value)
    within(sampled.E, exact.E.value)
    assert sampled.F.error < 3e-3


@pytest.mark.parametrize("n, beta, free, free_error, energy, energy_error", TRAP)
def test_trap_by_annealing(n, beta, free, free_error, energy, energy_error):
    sampled = trap_ais(n, 2, beta, walkers=2000 if n <= 6 else 600, steps=800)
    within(sampled.F, free, free_error)
    within(sampled.E, energy, energy_error)


@pytest.mark.parametrize("n, beta, free, free_error, energy, energy_error", [row for row in TRAP if row[0] == 6])
def test_trap_by_thermodynamic_integration(n, beta, free, free_error, energy, energy_error):
    sampled = trap_thermodynamic_integration(n, 2, beta, chains=1000, bridges=50)
    within(sampled.F, free, free_error)
    within(sampled.E, energy, energy_error)


def test_reference_for_six_particles_reaches_a_thousandth():
    n, beta, free, free_error, energy, energy_error = TRAP[2]
    reference = trap_reference(n, 2, beta)
    within(reference.F, free, free_error)
    within(reference.E, energy, energy_error)
    assert reference.F.error < 1e-3


def test_ideal_gas_is_the_limit_of_a_stiff_trap():
    # kappa r^2 ~ kT is reached at r >> the distance where 1/r matters only if beta/r is small
    exact = trap_quadrature(2, 3, 1e-4)
    assert exact.lnZ.value == pytest.approx(ideal_log_partition(2, 3, 1e-4, 1.0), abs=1e-5)
    assert trap_quadrature(1, 2, 3.0).E.value == pytest.approx(1 / 3)


@pytest.mark.parametrize("n, energies", MINIMA)
def test_minima_of_the_trapped_crystal(n, energies):
    minima = trap_minima(n, starts=60 if n < 13 else 150)
    assert [energy for energy, _ in minima[: len(energies)]] == pytest.approx(energies, abs=1e-8)
    assert minima[0][1].shape == (n, 2)


def test_annealing_a_gaussian_gives_its_determinant():
    stiffness = np.diag([1.0, 4.0, 9.0]) + 0.5

    def action(x, t, parameters):
        return 0.5 * jnp.einsum("iw,ij,jw->w", x, (1 - t) * jnp.eye(3) + t * jnp.asarray(stiffness), x)

    run = annealed_importance_sampling(
        action,
        lambda key, walkers: jax.random.normal(key, (3, walkers), jnp.float64),
        1.5 * math.log(2 * math.pi),
        observable=action,
        walkers=2000,
        steps=60,
    )
    within(run.lnZ, 0.5 * (3 * math.log(2 * math.pi) - np.linalg.slogdet(stiffness)[1]))
    within(run.mean, 1.5)
    assert run.lnZ.error < 0.02 and run.ess > 1000


@pytest.mark.parametrize("beta", [0.5, 1.5, 3.0])
def test_annealed_spins_equal_enumeration(beta):
    upper = np.triu(np.random.default_rng(2).normal(0, 1 / math.sqrt(16), (16, 16)), 1)
    couplings, field = upper + upper.T, np.linspace(-0.2, 0.3, 16)
    exact, sampled = enumerate_spins(couplings, field, beta), ais_spins(couplings, field, beta, 500, 300)
    within(sampled.F, exact.F.value)
    within(sampled.E, exact.E.value)
    assert sampled.F.error < 0.02


def test_error_of_the_log_mean_weight_is_the_spread_of_independent_runs():
    weights = 0.7 * np.random.default_rng(0).normal(size=(500, 200))
    runs = [log_mean_weight(row)[0] for row in weights]
    spread = np.std([run.value for run in runs])
    assert np.mean([run.error for run in runs]) == pytest.approx(spread, rel=0.15)


def test_disagreeing_estimates_have_a_larger_error():
    assert combine([Estimate(1.0, 0.1), Estimate(1.1, 0.1)]).error == pytest.approx(0.1 / math.sqrt(2))
    assert combine([Estimate(0.0, 0.1), Estimate(1.0, 0.1)]).error == pytest.approx(0.5)


def test_traps_that_make_no_sense_are_refused():
    for arguments in ((2, 4, 1.0), (0, 2, 1.0), (3, 2, 1.0), (2, 2, -1.0), (2, 2, 1.0, 0.0)):
        with pytest.raises(ValueError):
            trap_quadrature(*arguments)
