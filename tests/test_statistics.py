"""Error bars mean what they say."""

import math

import numpy as np
import pytest
import scipy

from massieu import sampling, statistics
from massieu.methods.trust import doubts
from massieu.principle import Estimate

pytestmark = pytest.mark.quick


def _ar1(rng, chains, length, rho):
    x = np.empty((chains, length))
    x[:, 0] = rng.normal(size=chains)
    for t in range(1, length):
        x[:, t] = rho * x[:, t - 1] + np.sqrt(1 - rho**2) * rng.normal(size=chains)
    return x


def test_blocking_error_is_that_of_a_correlated_chain():
    """AR(1): tau = (1 + rho)/(1 - rho), error^2 = tau/M."""
    chains = _ar1(np.random.default_rng(0), 20, 4096, 0.9)
    expected = np.sqrt(19 / chains.size)
    assert statistics.blocking(chains).error == pytest.approx(expected, rel=0.25)
    assert statistics.autocorrelation_time(chains) == pytest.approx(19, rel=0.15)


@pytest.mark.parametrize(("chains", "length"), [(20, 80), (32, 1000), (1, 1500)])
def test_blocking_error_is_neither_too_small_nor_too_large(chains, length):
    """Independent and correlated samples, lengths that are no powers of two: the mean of z^2 is 1 within 4 sigma."""
    rng, repeats = np.random.default_rng(7), 300
    for rho in (0.0, 0.5):
        z = [(e := statistics.blocking(_ar1(rng, chains, length, rho))).value / e.error for _ in range(repeats)]
        assert np.mean(np.square(z)) == pytest.approx(1, abs=4 * np.sqrt(2 / repeats))


def test_entropy_by_reweighting_knows_that_its_terms_are_correlated():
    """p = N(0, 1), H = x^2/2 + x/4 at beta = 1: S of a normal distribution, 1/2 ln(2 pi e)."""
    rng, z = np.random.default_rng(8), []
    for _ in range(300):
        x = rng.normal(size=1000)
        energy = 0.5 * x**2 + 0.25 * x
        log_w = -energy + 0.5 * x**2 + 0.5 * np.log(2 * np.pi)
        S = statistics.reweighted_entropy(energy, log_w, 1.0)
        z.append(statistics.z_score(S, Estimate(0.5 * np.log(2 * np.pi * np.e))))
    assert np.mean(np.square(z)) == pytest.approx(1, abs=0.33)


def test_mean_error_is_calibrated():
    rng = np.random.default_rng(1)
    z = [(e := statistics.mean(rng.normal(size=100))).value / e.error for _ in range(2000)]
    assert np.std(z) == pytest.approx(1, abs=0.06)


def test_samples_that_are_all_alike_still_have_an_error():
    assert statistics.mean(np.full(1000, 2.5), unit=0.3) == Estimate(2.5, 3e-4)


def test_reweighting_recovers_a_normalisation_and_a_mean():
    """p = N(0, 1), target exp(-(x-0.5)^2/2) e^3: ln Z = ln sqrt(2 pi) + 3, mean 0.5."""
    x = np.random.default_rng(2).normal(size=20000)
    log_w = -0.5 * (x - 0.5) ** 2 + 3 + 0.5 * x**2 + 0.5 * np.log(2 * np.pi)
    lnZ, m = statistics.log_mean_weight(log_w), statistics.reweighted_mean(x, log_w)
    assert abs(statistics.z_score(lnZ, Estimate(3 + 0.5 * np.log(2 * np.pi)))) < 4
    assert abs(statistics.z_score(m, Estimate(0.5))) < 4
    assert statistics.effective_sample_size(log_w) == pytest.approx(np.exp(-0.25), rel=0.05)


def test_r_hat_tells_mixed_chains_from_stuck_ones():
    x = np.random.default_rng(3).normal(size=(4, 500))
    assert statistics.mixing(x).r_hat < 1.02 and statistics.mixing(x).doubt() is None
    assert statistics.mixing(x + np.arange(4)[:, None]).r_hat > 1.5
    assert "R-hat" in statistics.mixing(x + np.arange(4)[:, None]).doubt()


def test_chains_that_stand_still_have_not_mixed():
    apart = np.repeat(np.arange(4.0)[:, None], 50, axis=1)
    assert statistics.mixing(apart).r_hat == math.inf
    assert math.isnan(statistics.mixing(np.ones((4, 50))).r_hat)
    for frozen in (apart, np.ones((4, 50))):
        assert "stand still" in statistics.mixing(frozen).doubt()


def test_chains_that_stand_still_within_groups_have_not_mixed():
    moving = np.random.default_rng(4).normal(size=(3, 8, 60)) + 5 * np.arange(3)[:, None, None]
    assert statistics.mixed(statistics.r_hat_within(moving))
    frozen = np.repeat(moving[:, :, :1], 60, axis=2)
    assert statistics.r_hat_within(frozen) == math.inf
    alike = np.repeat(frozen[:, :1], 8, axis=1)
    assert math.isnan(statistics.r_hat_within(alike)) and not statistics.mixed(statistics.r_hat_within(alike))


@pytest.mark.parametrize(
    ("r_hat", "acceptance", "doubted"),
    [(1.01, 0.5, False), (math.inf, 0.0, True), (math.nan, 0.0, True), (math.nan, 0.5, False)],
)
def test_frozen_chains_are_doubted_and_eigenstates_are_not(r_hat, acceptance, doubted):
    """Chains that move among equal local energies are those of an eigenstate."""
    assert bool(doubts({"r_hat": r_hat, "acceptance": acceptance}, None)) == doubted


def test_a_factor_that_rests_on_few_samples_is_doubted():
    """ln E[e^{2J}] is a bound on what it costs only where e^{2J} has been sampled."""
    assert not doubts({"ess_of_jastrow": 0.5}, None)
    assert "F and S" in doubts({"ess_of_jastrow": 1e-3}, None)[0]


def test_r_hat_sees_a_difference_of_scale():
    """Chains of one mean and different widths: without ranks and folding R-hat would be 1."""
    x = np.random.default_rng(3).normal(size=(4, 500)) * np.array([1, 1, 1, 4.0])[:, None]
    assert statistics.mixing(x).r_hat > 1.05


def test_chains_shorter_than_their_correlations_say_so():
    """AR(1) with an autocorrelation time of 200, 2000 steps: about ten independent samples."""
    rng, a = np.random.default_rng(6), (200 - 1) / (200 + 1)
    x = scipy.signal.lfilter([1.0], [1.0, -a], rng.normal(size=(40, 4000)))[:, 2000:] * math.sqrt(1 - a * a)
    assert all(statistics.mixing(chain[None]).doubt() for chain in x)
    errors = np.array([statistics.blocking(chain).error for chain in x])
    spread = np.sqrt(np.mean(x.mean(axis=1) ** 2))
    assert np.sqrt(np.mean(errors**2)) > 0.5 * spread  # blocks of 62 steps alone: 0.35
    assert "too short" in statistics.mixing(x[:2]).doubt() or "R-hat" in statistics.mixing(x[:2]).doubt()


def test_neural_proposals_are_unbiased_for_a_wrong_density():
    """Three states with p = 1/3 each and Boltzmann weights 0.6, 0.3, 0.1."""
    rng = np.random.default_rng(4)
    target = np.array([0.6, 0.3, 0.1])
    state = rng.integers(3, size=60000)
    chains = sampling.neural_proposals(np.log(target[state] * 3), 20, rng)
    for k in range(3):
        estimate = statistics.blocking((state[chains.held] == k).astype(float))
        assert abs(statistics.z_score(estimate, Estimate(target[k]))) < 4.5
    assert 0.5 < chains.acceptance < 0.9
