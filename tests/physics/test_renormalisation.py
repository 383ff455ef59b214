"""A trained hierarchy of a small lattice: bound, scales, latent variables, and chains that move them."""

import numpy as np
import pytest

import massieu as ms
from massieu import statistics
from massieu.observables import renormalisation

pytestmark = pytest.mark.acceptance

LNZ = 2.4051389616  # phi4, l = 4, by transfer matrix
M2 = 0.0427479727


@pytest.fixture(scope="module")
def run():
    options = {"steps": 60, "samples": 4000, "width": 4, "depth": 1, "reference": False, "learning_rate": 0.1}
    return ms.minimize(ms.systems.Phi4(l=4), density="neural-rg", **options)


@pytest.fixture(scope="module")
def chains(run):
    return renormalisation.chains_in_latents(run.density, run.system.energy, chains=128, moves=200)


def test_bound_is_above_and_near(run):
    assert -4 * run.F.error < run.F.value + LNZ < 0.2
    assert run.result.importance["ess"] > 0.5


def test_moves_of_latent_variables_sample_the_system(chains):
    found = statistics.blocking(chains.m**2)
    assert abs(found.value - M2) < 4.5 * found.error < 0.1 * M2
    assert 0.6 < chains.acceptance < 0.99 and chains.autocorrelation_times["m"] < 10


def test_latent_variables_are_nearly_independent(run, chains):
    information = renormalisation.latent_information(run.density, chains.x)
    assert information.pairs.shape == (16, 16)
    np.testing.assert_allclose(information.variance, 1.0, atol=0.9)


def test_scales_begin_with_the_field_itself(run, chains):
    x = chains.x
    finest, coarse = renormalisation.scales(run.density, x)
    assert finest.sides == (4, 4) and coarse.sides == (2, 2)
    np.testing.assert_allclose(finest.variance, np.mean(x**2), rtol=1e-10)
    assert finest.correlation[0] == 1 and np.all(np.abs(finest.correlation) <= 1)
    # nearest neighbours attract: a negative entry of the inverse covariance
    assert finest.couplings[0] > 0 > finest.couplings[1]
