"""Enumeration, transfer matrices, Kaufman's torus and Hopfield classes against each other and against fixed numbers.

The numbers are independent numpy and mpmath computations (enumeration of all states; Kaufman's formula at 60 digits).
"""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from massieu.exact.enumeration import enumerate_energy, enumerate_spins, spin_moments
from massieu.exact.hopfield import hopfield_classes
from massieu.exact.ising import ising_chain, ising_ring, kaufman, onsager_free_energy
from massieu.exact.transfer import transfer_matrix

pytestmark = pytest.mark.quick

TORUS = [
    # L, beta, ln Z, and F, E, S, C per site of the periodic L x L Ising model, j = 1
    (4, 0.3, 12.785523325713681, -2.6636506928570167, -0.8440540736238566, 0.5458789857699481, 0.440992653576557),
    (8, 0.3, 50.609330498184775, -2.6359026301137907, -0.712467372672069, 0.5770305772325164, 0.31137835038448153),
    (16, 0.3, 202.38323226254036, -2.6351983367518277, -0.7045326708587676, 0.5791996997679181, 0.28651899654405083),
    (
        4,
        0.44068679,
        15.521915370835575,
        -2.2013814180298517,
        -1.5656237734827112,
        0.28016999559344036,
        0.7832668330687655,
    ),
    (8, 0.44068679, 60.14178045402039, -2.132388219746883, -1.491589086736561, 0.2823917129611019, 1.145559257498755),
    (
        16,
        0.44068679,
        238.64225532955194,
        -2.115326193192817,
        -1.4530648257280974,
        0.2918498361690376,
        1.4987049977491689,
    ),
    (4, 0.6, 20.056532884346808, -2.0892221754527927, -1.908069527831064, 0.10869158857303712, 0.3155537970740569),
    (8, 0.6, 78.14164885761666, -2.034938772333767, -1.9090674297640058, 0.07552280554185682, 0.31371989904550607),
    (16, 0.6, 310.487038589865, -2.0213999908194333, -1.9090861748517107, 0.0673882895806337, 0.3134454574547365),
]
OPEN = [
    # beta, ln Z, F, E, S, C per site and <|m|> of the open 4 x 4 Ising model
    (
        0.3,
        12.2270499262132,
        -2.547302067961083,
        -0.49701391591290134,
        0.6150864456144546,
        0.1765355823298062,
        0.36450295062556515,
    ),
    (
        0.44068679,
        13.676315196566895,
        -1.939630865235218,
        -0.7982223136712958,
        0.5030036706672545,
        0.44084982830666014,
        0.533640625393419,
    ),
    (
        0.6,
        16.159349466633625,
        -1.6832655694410026,
        -1.1375088948055228,
        0.3274540047812878,
        0.6508016825851962,
        0.760354654196506,
    ),
]
TORUS_ABS_M = [
    # beta, <|m|> of the periodic 4 x 4 Ising model
    (0.3, 0.5203580029714581),
    (0.44068679, 0.843860438980243),
    (0.6, 0.9728674502446008),
]
ONSAGER = [
    # beta, F per site of the infinite square lattice
    (0.3, -2.6351969031708764),
    (0.44068679, -2.109651150146897),
    (0.6, -2.0168873138140215),
]
SK = [
    # beta, ln Z, F, E, S, C, <|m|> of the 20-spin SK instance of seed 0; totals
    (
        0.5,
        15.16446673395787,
        -30.32893346791574,
        -5.146441448285743,
        12.591246009814999,
        2.409911465393219,
        0.18055071933529657,
    ),
    (
        0.75,
        16.737913617588404,
        -22.317218156784538,
        -7.37673596367981,
        11.205361644828546,
        4.5552328314343615,
        0.18405605166490066,
    ),
    (
        1.0,
        18.81509064012121,
        -18.81509064012121,
        -9.157564375054951,
        9.657526265066258,
        6.113312517097484,
        0.19029725883544174,
    ),
    (
        1.25,
        21.274839611163657,
        -17.019871688930927,
        -10.440980480136274,
        8.223614010993314,
        6.583929560638735,
        0.1996291471650467,
    ),
    (
        1.5,
        24.000578605328666,
        -16.00038573688578,
        -11.305896732184621,
        7.041733507051735,
        6.292055426851945,
        0.21060774141322192,
    ),
    (
        2.0,
        29.925714777035516,
        -14.962857388517758,
        -12.271162932001877,
        5.383388913031762,
        5.17407618406537,
        0.23111622918766636,
    ),
    (
        2.5,
        36.191787391373914,
        -14.476714956549566,
        -12.74216316230819,
        4.336379485603441,
        4.210090779296927,
        0.24488291488772812,
    ),
    (
        3.0,
        42.63271664659022,
        -14.210905548863407,
        -12.997307335841949,
        3.6407946390643744,
        3.4194136773262187,
        0.2518238209673699,
    ),
    (
        6.0,
        82.40183308992574,
        -13.733638848320957,
        -13.366334862196982,
        2.2038239167438434,
        1.0310750015607937,
        0.24565827838577103,
    ),
    (
        10.0,
        135.99528068351444,
        -13.599528068351443,
        -13.417271701559226,
        1.822563667922168,
        0.5999967113268667,
        0.23005598102217703,
    ),
]
HOPFIELD = [
    # beta, ln Z, F, E, S, C, <|m|> (xi1 uniform), <|m|> (both patterns mixed); N = 12, totals
    (
        0.5,
        8.44959899230697,
        -16.89919798461394,
        -0.5919314624141163,
        8.153633261099912,
        0.40185817059578,
        0.2904927543650851,
        0.21017912562854726,
    ),
    (
        1.0,
        8.988516659180998,
        -8.988516659180998,
        -1.6452081069261284,
        7.34330855225487,
        2.561518355684877,
        0.37936595143538915,
        0.178182793102209,
    ),
    (
        1.5,
        10.147065364080131,
        -6.764710242720088,
        -2.9910443030273504,
        5.660498909539106,
        5.812943293419977,
        0.4559412345211236,
        0.12531728267746098,
    ),
    (
        2.0,
        11.928257238698567,
        -5.9641286193492835,
        -4.047900628907119,
        3.8324559808843297,
        6.317483527746205,
        0.4896337933675084,
        0.06965319412173264,
    ),
    (
        3.0,
        16.477567076180005,
        -5.492522358726668,
        -4.838538690623575,
        1.961951004309281,
        2.620255056405174,
        0.4996621097941562,
        0.014337456600159343,
    ),
]
CRITICAL = 0.5 * math.log(1 + math.sqrt(2.0))


def lattice(shape, j, periodic=True):
    """Couplings of a rectangular lattice; a periodic extent of 2 gives double bonds."""
    couplings = np.zeros((math.prod(shape), math.prod(shape)))
    for x, y in np.ndindex(*shape):
        for u, v in ((x + 1, y), (x, y + 1)):
            if periodic or (u < shape[0] and v < shape[1]):
                a, b = x * shape[1] + y, u % shape[0] * shape[1] + v % shape[1]
                couplings[a, b] += j
                couplings[b, a] += j
    return couplings


def sk_couplings(n=20, seed=0):
    upper = np.triu(np.random.default_rng(seed).normal(0, 1 / math.sqrt(n), (n, n)), 1)
    return upper + upper.T


def hopfield_couplings(patterns):
    couplings = patterns.T @ patterns / patterns.shape[1]
    np.fill_diagonal(couplings, 0)
    return couplings


def numbers(thermodynamics):
    """ln Z, F, E, S, C."""
    return [getattr(thermodynamics, name).value for name in ("lnZ", "F", "E", "S", "C")]


def agree(a, b, rel=1e-10, floor=1e-11):
    assert numbers(a) == pytest.approx(numbers(b), rel=rel, abs=floor)


@pytest.mark.parametrize("row", TORUS)
def test_kaufman_torus_matches_60_digit_values(row):
    size, beta, log_z, *per_site = row
    assert numbers(kaufman((size, size), beta)) == pytest.approx([log_z, *(size**2 * v for v in per_site)], rel=1e-9)


@pytest.mark.parametrize("row", [row for row in TORUS if row[0] < 16])
def test_transfer_matrix_matches_kaufman_values(row):
    size, beta, log_z, *per_site = row
    exact = transfer_matrix((size, size), beta)
    assert numbers(exact) == pytest.approx([log_z, *(size**2 * v for v in per_site)], rel=1e-9)


@pytest.mark.parametrize("row", OPEN)
def test_open_lattice_matches_enumeration_values(row):
    beta, log_z, f, e, s, c, abs_m = row
    expected = [log_z, 16 * f, 16 * e, 16 * s, 16 * c]
    couplings = lattice((4, 4), 1.0, periodic=False)
    assert numbers(transfer_matrix((4, 4), beta, periodic=False)) == pytest.approx(expected, rel=1e-9)
    assert numbers(enumerate_spins(couplings, None, beta)) == pytest.approx(expected, rel=1e-9)
    assert spin_moments(couplings, None, beta)["abs_m"] == pytest.approx(abs_m, rel=1e-9)


@pytest.mark.parametrize("beta, abs_m", TORUS_ABS_M)
def test_torus_absolute_magnetisation(beta, abs_m):
    assert spin_moments(lattice((4, 4), 1.0), None, beta)["abs_m"] == pytest.approx(abs_m, rel=1e-9)


@pytest.mark.parametrize("beta, f", ONSAGER)
def test_onsager_free_energy_matches_its_integral(beta, f):
    assert onsager_free_energy(beta) == pytest.approx(f, rel=1e-12)


def test_large_torus_approaches_onsager():
    assert kaufman((400, 400), 0.5).F.value / 160000 == pytest.approx(onsager_free_energy(0.5), abs=1e-5)
    assert onsager_free_energy(0.7, -1.0) == onsager_free_energy(0.7, 1.0)


@pytest.mark.parametrize("j", [1.0, -1.0])
@pytest.mark.parametrize("shape", [(2, 2), (2, 3), (3, 3), (4, 3), (4, 4), (3, 5), (2, 6)])
def test_kaufman_equals_enumeration_equals_transfer_on_small_tori(shape, j):
    for beta in (1e-3, 0.2, CRITICAL, 0.8, 2.0):
        exact = enumerate_spins(lattice(shape, j), None, beta)
        agree(transfer_matrix(shape, beta, j), exact)
        agree(kaufman(shape, beta, j), exact, rel=1e-9)


@pytest.mark.parametrize("shape, entropy", [((5, 6), 2.0), ((1000, 1000), 2.0)])
def test_ferromagnet_at_low_temperature_keeps_two_ground_states(shape, entropy):
    exact = kaufman(shape, 20.0)
    assert exact.E.value == pytest.approx(-2 * math.prod(shape), rel=1e-12)
    assert exact.S.value == pytest.approx(math.log(entropy), abs=1e-7)


def test_frustrated_antiferromagnet_at_low_temperature_is_handled_or_refused():
    agree(kaufman((3, 5), 30.0, -1.0), enumerate_spins(lattice((3, 5), -1.0), None, 30.0), floor=1e-9)
    with pytest.raises(ValueError, match="smaller extent"):
        kaufman((31, 31), 5.0, -1.0)


def test_torus_is_smooth_through_the_critical_point():
    heat = [kaufman((32, 32), CRITICAL * (1 + step), 1.0).C.value for step in (-1e-6, 0.0, 1e-6)]
    assert np.all(np.isfinite(heat)) and abs(heat[0] - 2 * heat[1] + heat[2]) < 1e-5


def test_energy_and_heat_capacity_are_derivatives_of_log_partition():
    step, beta = 1e-3, 0.37
    low, mid, high = (kaufman((9, 6), beta + k * step) for k in (-1, 0, 1))
    assert mid.E.value == pytest.approx(-(high.lnZ.value - low.lnZ.value) / (2 * step), rel=1e-5)
    assert mid.C.value == pytest.approx(-(beta**2) * (high.E.value - low.E.value) / (2 * step), rel=1e-4)


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("j", [1.0, -0.7])
def test_transfer_matrix_in_a_field_equals_enumeration(j, periodic):
    for shape in ((2, 2), (5, 3), (4, 4), (2, 5)):
        for beta in (0.1, 1.0, 20.0):
            exact = enumerate_spins(lattice(shape, j, periodic), 0.3, beta)
            agree(transfer_matrix(shape, beta, j, 0.3, periodic), exact)


@pytest.mark.parametrize("j, h", [(1.0, 0.0), (-1.0, 0.0), (0.6, 0.2), (-1.3, 0.4)])
def test_ring_and_chain_equal_enumeration(j, h):
    for n in (2, 5, 8):
        for beta in (0.05, 1.0, 15.0):
            chain = np.diag(np.full(n - 1, j), 1) + np.diag(np.full(n - 1, j), -1)
            agree(ising_chain(n, beta, j, h), enumerate_spins(chain, h, beta))
            chain[0, -1] += j
            chain[-1, 0] += j
            agree(ising_ring(n, beta, j, h), enumerate_spins(chain, h, beta))


def test_open_strip_of_width_one_is_the_open_chain():
    agree(transfer_matrix((1, 30), 0.7, -1.1, 0.2, periodic=False), ising_chain(30, 0.7, -1.1, 0.2))
    assert ising_chain(30, 0.7).lnZ.value == pytest.approx(math.log(2) + 29 * math.log(2 * math.cosh(0.7)), rel=1e-13)


def test_long_ring_follows_its_closed_form():
    k, n = 0.8, 10**6
    expected = n * math.log(2 * math.cosh(k)) + math.log1p(math.tanh(k) ** n)
    assert ising_ring(n, k).lnZ.value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("row", SK)
def test_sk_thermodynamics_by_enumeration(row):
    beta, *expected, abs_m = row
    assert numbers(enumerate_spins(sk_couplings(), None, beta)) == pytest.approx(expected, rel=1e-9)
    assert spin_moments(sk_couplings(), None, beta)["abs_m"] == pytest.approx(abs_m, rel=1e-9)


def test_sk_at_very_low_temperature_is_in_its_two_ground_states():
    exact = enumerate_spins(sk_couplings(), None, 1000.0)
    assert exact.E.value == pytest.approx(-13.461013863166158, rel=1e-12)
    assert exact.S.value == pytest.approx(math.log(2), abs=1e-9)


def test_user_hamiltonian_equals_couplings():
    couplings, field = sk_couplings(18), np.linspace(-0.5, 0.8, 18)
    user = enumerate_energy(lambda s: -0.5 * s @ jnp.asarray(couplings) @ s - jnp.asarray(field) @ s, 18, 1.3)
    agree(user, enumerate_spins(couplings, field, 1.3))


def test_spin_moments_equal_brute_force():
    couplings, field = sk_couplings(7), np.linspace(-0.5, 0.8, 7)
    s = np.array(np.meshgrid(*[[-1, 1]] * 7)).reshape(7, -1)
    p = np.exp(0.9 * (0.5 * (s * (couplings @ s)).sum(0) + field @ s))
    p /= p.sum()
    moments = spin_moments(couplings, field, 0.9)
    assert moments["m"] == pytest.approx(s @ p, abs=1e-13)
    assert moments["correlation"] == pytest.approx((s * p) @ s.T, abs=1e-13)
    assert moments["abs_m"] == pytest.approx(np.abs(s.mean(0)) @ p, abs=1e-13)


def test_free_energy_alone_when_observables_are_off():
    exact = enumerate_spins(sk_couplings(), None, 1.0, observables=False)
    assert exact.E is None and exact.F.value == pytest.approx(-18.81509064012121, rel=1e-12)


@pytest.mark.parametrize("row", HOPFIELD)
def test_hopfield_classes_equal_enumeration(row):
    beta, *expected, abs_m_uniform, abs_m_mixed = row
    half, quarter = np.repeat([1, -1], 6), np.tile(np.repeat([1, -1], 3), 2)
    for patterns, abs_m in ((np.stack([np.ones(12), half]), abs_m_uniform), (np.stack([half, quarter]), abs_m_mixed)):
        couplings = hopfield_couplings(patterns)
        assert numbers(hopfield_classes(patterns, beta)) == pytest.approx(expected, rel=1e-9)
        assert numbers(enumerate_spins(couplings, None, beta)) == pytest.approx(expected, rel=1e-9)
        assert spin_moments(couplings, None, beta)["abs_m"] == pytest.approx(abs_m, rel=1e-9)


def test_random_patterns_equal_enumeration():
    patterns = np.random.default_rng(3).choice([-1, 1], size=(3, 14))
    agree(hopfield_classes(patterns, 1.7), enumerate_spins(hopfield_couplings(patterns), None, 1.7))


@pytest.mark.parametrize(
    "beta, f",
    [(0.5, -1.389967), (0.9, -0.781879), (1.0, -0.709300), (1.2, -0.610433), (1.3, -0.579468), (1.5, -0.541882)],
)
def test_hopfield_with_two_orthogonal_patterns_and_100_sites(beta, f):
    patterns = np.stack([np.ones(100), np.repeat([1, -1], 50)])
    assert hopfield_classes(patterns, beta).F.value / 100 == pytest.approx(f, abs=6e-7)


@pytest.mark.parametrize(
    "call",
    [
        lambda: enumerate_spins(np.zeros((25, 25)), None, 1.0),
        lambda: enumerate_spins(np.eye(3), None, 1.0),
        lambda: enumerate_spins(np.zeros((3, 3)), None, -1.0),
        lambda: enumerate_energy(jnp.sum, 25, 1.0),
        lambda: transfer_matrix((11, 11), 1.0),
        lambda: transfer_matrix((19, 20), 1.0, periodic=False),
        lambda: kaufman((1, 4), 1.0),
        lambda: hopfield_classes(np.random.default_rng(0).choice([-1, 1], size=(6, 100)), 1.0),
        lambda: hopfield_classes(np.zeros((2, 4)), 1.0),
    ],
)
def test_problems_out_of_reach_are_refused(call):
    with pytest.raises(ValueError):
        call()
