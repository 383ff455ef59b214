"""Path-integral Monte Carlo in a harmonic trap against canonical recursions and exactly diagonalised few-body systems.

Tolerances are four error bars plus the time-step error stated with each test.  For two particles in two dimensions
Z_P itself is known, from the powers of the transfer matrix of the relative motion, and no time step is allowed for.
"""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import gammaln

from massieu.errors import InputError
from massieu.exact.path_moves import determinant, draw_permutation, log_mehler, permanent
from massieu.exact.pimc import average_sign, average_signs, time_step, trap_pimc
from massieu.exact.trapped_gas import ideal_gas

pytestmark = pytest.mark.acceptance

PAIR = {"bose": (3.4730761151214633, 4.281413767510093), "fermi": (3.6186922454514074, 4.562611897163774)}
PAIR_SLICES = 16  # dim 2, kappa 2, beta 2
# runs of the same shape, one compiled program
THREE_EFFORT = {"slices": 16, "chains": 128, "sweeps": 400, "nodes": 4}


def _within(found, exact, time_step=0.0):
    assert found.error > 0
    assert abs(found.value - exact) < 4 * found.error + time_step, f"{found} is not {exact}"


def _laguerre(l, size, t):
    """Radial oscillator functions in two dimensions, orthonormal in t = r^2/2: (size, len(t))."""
    found = np.zeros((size, len(t)))
    found[0] = np.exp(0.5 * (l * np.log(t) - t - gammaln(l + 1)))
    found[1] = (1 + l - t) * found[0] / math.sqrt(l + 1)
    for k in range(1, size - 1):
        step = (2 * k + 1 + l - t) * found[k] - math.sqrt(k * (k + l)) * found[k - 1]
        found[k + 1] = step / math.sqrt((k + 1) * (k + 1 + l))
    return found


def _two_in_a_plane(beta, kappa, parity, slices, size=80):
    """F, <sum r^2> and <v> of Z_P for two bosons (parity 0) or fermions (1): e^{-tau h} e^{-tau kappa/r} to the P."""
    tau, totals = beta / slices, np.zeros(3)
    q, weight = np.polynomial.legendre.leggauss(1200)
    q, weight = 2.6 * (q + 1), 2.6 * weight  # r = q^2 up to 27
    r, dt = q**2, 2 * q**3 * weight
    kick = dt * np.exp(-tau * kappa / r)
    for l in range(parity, 20, 2):
        states = _laguerre(l, size, r**2 / 2)
        half = np.exp(-tau / 2 * (2 * np.arange(size) + l + 1))
        matrices = [half[:, None] * ((states * f) @ states.T) * half for f in (kick, kick * r**2 / 2, kick / r)]
        value, vector = np.linalg.eigh(matrices[0])
        rest = (vector * np.maximum(value, 0) ** (slices - 1)) @ vector.T
        totals += (1 if l == 0 else 2) * np.array([np.sum(rest * matrix) for matrix in matrices])
    Z, r2, v = totals
    return -math.log(Z / (2 * math.sinh(beta / 2)) ** 2) / beta, r2 / Z + 1 / math.tanh(beta / 2), v / Z


@pytest.fixture(scope="module")
def ideal():
    return trap_pimc(3, 2, 1.0, 0.0, **THREE_EFFORT)


@pytest.fixture(scope="module")
def pair():
    return trap_pimc(2, 2, 2.0, 2.0, slices=PAIR_SLICES, chains=192, sweeps=400)


def test_mehler_kernel_composes():
    y, width = np.linspace(-12, 12, 2001, retstep=True)
    for x, z in [(0.3, -1.1), (2.0, 1.5)]:
        middle = np.exp(log_mehler(x, y, 0.4) + log_mehler(y, z, 0.9)).sum() * width
        assert math.isclose(middle, math.exp(log_mehler(x, z, 1.3)), rel_tol=1e-12)


def test_mehler_kernel_has_the_oscillators_trace():
    x, width = np.linspace(-12, 12, 2001, retstep=True)
    assert math.isclose(np.exp(log_mehler(x, x, 1.3)).sum() * width, 1 / (2 * math.sinh(0.65)), rel_tol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_permanent_and_determinant_sum_over_permutations(n):
    matrix = np.random.default_rng(n).random((n, n, 3))
    terms = {p: np.prod([matrix[i, j] for i, j in enumerate(p)], axis=0) for p in itertools.permutations(range(n))}
    assert np.allclose(jax.jit(permanent)(matrix), sum(terms.values()), rtol=1e-13)
    assert np.allclose(jax.jit(determinant)(matrix), np.linalg.det(np.moveaxis(matrix, 2, 0)), atol=1e-13)


def test_permutations_are_drawn_with_their_share_of_the_permanent():
    matrix, walkers = np.random.default_rng(0).random((3, 3, 1)), 20000
    drawn = np.asarray(jax.jit(draw_permutation)(np.repeat(matrix, walkers, axis=2), jax.random.key(0)))
    for p in itertools.permutations(range(3)):
        share = np.prod([matrix[i, j, 0] for i, j in enumerate(p)]) / permanent(jnp.asarray(matrix))[0]
        found = np.mean(np.all(drawn == np.array(p)[:, None], axis=0))
        assert abs(found - share) < 4 * math.sqrt(share * (1 - share) / walkers)


def test_ideal_fermions_on_a_line_are_bosons_shifted_by_their_filled_levels():
    for n, beta in [(2, 0.3), (5, 1.0), (8, 6.0)]:
        assert math.isclose(average_sign(n, 1, beta, 0.0).value, math.exp(-beta * n * (n - 1) / 2), rel_tol=1e-12)
        difference = ideal_gas(n, 1, beta, "fermi")[1] - ideal_gas(n, 1, beta, "bose")[1]
        assert math.isclose(difference, n * (n - 1) / 2, rel_tol=1e-12)


@pytest.mark.parametrize("statistics", ["boltzmann", "bose", "fermi"])
def test_energy_of_ideal_particles_has_no_time_step_error(ideal, statistics):
    found, (lnZ, E) = getattr(ideal, statistics), ideal_gas(3, 2, 1.0, statistics)
    _within(found.E, E)
    _within(found.r2, E)  # half of E is potential
    if statistics == "fermi":
        _within(found.F, -lnZ)
        _within(found.S, E + lnZ)
    else:
        assert found.F.value == pytest.approx(-lnZ, abs=1e-12)


def test_sign_of_ideal_particles_is_the_ratio_of_partition_functions(ideal):
    _within(ideal.sign, average_sign(3, 2, 1.0, 0.0).value)


@pytest.mark.parametrize("statistics", ["bose", "fermi"])
def test_two_repelling_particles_match_their_discretised_partition_function(pair, statistics):
    found, parity = getattr(pair, statistics), ("bose", "fermi").index(statistics)
    F, r2, v = _two_in_a_plane(2.0, 2.0, parity, PAIR_SLICES)
    _within(found.F, F)
    _within(found.r2, r2)
    _within(found.v, v)
    _within(found.E, r2 + v)  # the virial theorem: E = <sum r^2> + kappa <v>/2, here with kappa = 2


@pytest.mark.parametrize("statistics", ["bose", "fermi"])
def test_two_repelling_particles_match_exact_diagonalisation(pair, statistics):
    found, (F, E) = getattr(pair, statistics), PAIR[statistics]
    # from the transfer matrix: bosons, of order tau, F 0.0134 and E 0.0283 too low; fermions F 0.0014 and E 0.0013
    error_F, error_E = {"bose": (0.0134, 0.0284), "fermi": (0.0015, 0.0013)}[statistics]
    _within(found.F, F, error_F)
    _within(found.E, E, error_E)
    _within(found.S, 2 * (E - F), 2 * (error_E - error_F) if statistics == "bose" else 2 * error_F)


def test_time_step_error_of_two_bosons_is_of_first_order():
    errors = [_two_in_a_plane(2.0, 2.0, 0, slices)[0] - PAIR["bose"][0] for slices in (8, 16, 32)]
    assert all(1.9 < a / b < 2.4 for a, b in itertools.pairwise(errors))


def test_labelled_pairs_are_bosons_and_fermions_together(pair):
    both = pair.bose.F.value - math.log1p(pair.sign.value) / 2.0
    error = math.hypot(pair.bose.F.error, pair.boltzmann.F.error, pair.sign.error / (1 + pair.sign.value) / 2.0)
    assert abs(both - pair.boltzmann.F.value) < 4 * error


def test_three_polarised_particles_match_exact_diagonalisation():
    found = trap_pimc(3, 2, 1.0, 2.0, "fermi", **THREE_EFFORT).fermi
    # three times that of one pair with tau = 1/16, from the transfer matrix: F 0.0004, E 0.0005
    _within(found.F, 5.798903912640341, 0.0012)
    _within(found.E, 11.222350979355339, 0.0015)


def test_two_fermions_on_a_line_and_their_time_step():
    found = time_step(2, 1, 1.0, 1.0, "fermi", slices=8, chains=128, sweeps=300)
    # of order tau^2, from the transfer matrix on a grid: F 0.00008 too low and E 0.00062 too high, four times as much
    # with half the slices
    _within(found.fine.fermi.F, 1.9338530881990783, 0.00008)
    _within(found.fine.fermi.E, 3.4665239109901895, 0.00063)
    _within(found.difference["fermi"].F, 0.00031 - 0.00008)
    _within(found.difference["fermi"].E, 0.00062 - 0.0025)
    assert found.coarse.slices == 4


def test_sign_falls_with_the_number_of_particles_and_with_beta():
    signs = average_signs([2, 3, 6], [0.5, 2.0], 2, 0.0)
    falling = [signs[n, beta].value for beta in (0.5, 2.0) for n in (2, 3, 6)]
    assert falling[:3] == sorted(falling[:3], reverse=True) and falling[3:] == sorted(falling[3:], reverse=True)
    assert all(signs[n, 2.0].value < signs[n, 0.5].value for n in (2, 3, 6))


def test_sign_of_two_repelling_particles_is_the_ratio_of_partition_functions(pair):
    F_bose, F_fermi = (_two_in_a_plane(2.0, 2.0, parity, PAIR_SLICES)[0] for parity in (0, 1))
    found = average_sign(2, 2, 2.0, 2.0, slices=PAIR_SLICES, chains=384, sweeps=400, seed=7)
    for sign in (found, pair.sign):
        _within(sign, math.exp(2.0 * (F_bose - F_fermi)))
    assert found.value > average_sign(2, 2, 2.0, 0.0).value  # the repulsion keeps paths from exchanging


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"n": 9}, "n = 9: must be an integer from 1 to 8"),
        ({"dim": 4}, "dim = 4: must be 1, 2 or 3"),
        ({"beta": 0.0}, "beta = 0.0: must be a finite number > 0"),
        ({"kappa": -1.0}, "kappa = -1.0: must be a finite number >= 0"),
        ({"slices": 2}, "slices = 2: must be an integer >= 4"),
        ({"chains": 1}, "chains = 1: must be an integer >= 8"),
        ({"sweeps": 1}, "sweeps = 1: must be an integer >= 10"),
        ({"nodes": 0}, "nodes = 0: must be an integer >= 1"),
    ],
)
def test_bad_input_is_refused(bad, message):
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        trap_pimc(**{"n": 2, "dim": 2, "beta": 1.0, "kappa": 1.0, **bad})


def test_odd_slices_cannot_be_halved():
    with pytest.raises(InputError, match="slices = 9: must be an even integer >= 8"):
        time_step(2, 2, 1.0, 1.0, slices=9)
