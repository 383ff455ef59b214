"""Error bars mean what they say."""

import numpy as np
import pytest

from massieu import sampling, statistics
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
    assert statistics.split_r_hat(x) < 1.02
    assert statistics.split_r_hat(x + np.arange(4)[:, None]) > 1.5


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
