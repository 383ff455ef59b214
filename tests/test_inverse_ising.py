"""Couplings from configurations: every method against the couplings that made the data."""

import itertools

import numpy as np
import pytest

import massieu as ms
from massieu.cli.main import main
from massieu.errors import InputError
from massieu.exact import inverse_ising as exact
from massieu.exact.inverse_ising import Couplings, Moments
from massieu.learning.inverse_ising import inverse_ising

pytestmark = pytest.mark.acceptance


def _model(n, beta, seed, h=0.0):
    J = beta * ms.SK(n=n, couplings_seed=seed).couplings
    field = h * np.random.default_rng(seed).normal(size=n)
    states = np.array(list(itertools.product((-1.0, 1.0), repeat=n)))
    log_p = 0.5 * np.einsum("si,ij,sj->s", states, J, states) + states @ field
    p = np.exp(log_p - log_p.max())
    return Couplings(J, field), states, p / p.sum()


def _exact_moments(states, p):
    return Moments(p @ states, (states * p[:, None]).T @ states, 10**12)


@pytest.mark.parametrize("h", [0.0, 0.3])
def test_maximum_likelihood_returns_the_couplings_of_exact_moments(h):
    truth, states, p = _model(7, 0.7, 1, h)
    found = exact.maximum_likelihood(_exact_moments(states, p), fields=h > 0)
    np.testing.assert_allclose(found.J, truth.J, atol=1e-8)
    np.testing.assert_allclose(found.h, truth.h, atol=1e-8)


def test_approximations_are_exact_to_their_order_in_weak_couplings():
    """Errors at J and at J/2: naive mean field O(J^2), Sessak-Monasson at least O(J^3), pairs O(J^2)."""
    order = {}
    for beta in (0.1, 0.05):
        truth, states, p = _model(6, beta, 2)
        data = _exact_moments(states, p)
        for method in (exact.naive_mean_field, exact.tap, exact.independent_pairs, exact.sessak_monasson):
            order.setdefault(method.__name__, []).append(np.abs(method(data).J - truth.J).max())
    ratios = {name: np.log2(a / b) for name, (a, b) in order.items()}
    assert ratios["naive_mean_field"] > 1.8 and ratios["independent_pairs"] > 1.8 and ratios["sessak_monasson"] > 2.8


def test_independent_pairs_are_exact_for_two_spins():
    truth, states, p = _model(2, 0.8, 3, 0.0)
    np.testing.assert_allclose(exact.independent_pairs(_exact_moments(states, p)).J, truth.J, atol=1e-12)


@pytest.fixture(scope="module")
def data():
    truth, states, p = _model(8, 0.7, 3)
    return truth, states[np.random.default_rng(0).choice(len(p), 200_000, p=p)]


def test_network_finds_the_maximum_likelihood(data):
    truth, spins = data
    found = inverse_ising(spins, fields=False, steps=25, batch=16384)
    best = found.others["maximum likelihood, enumerated"]
    assert np.sqrt(np.mean((found.couplings.J - best.J) ** 2)) < 0.004
    errors = found.errors(truth)
    assert errors["network"] < min(errors[name] for name in ("naive mean field", "TAP", "Sessak-Monasson"))
    likelihood = [row["log_likelihood"] for row in found.history]
    assert np.mean(likelihood[-5:]) > likelihood[0] - 1e-4 and found.history[-1]["ess"] > 0.9


def test_network_infers_fields():
    _, states, p = _model(5, 0.5, 4, 0.4)
    spins = states[np.random.default_rng(1).choice(len(p), 50_000, p=p)]
    found = inverse_ising(spins, steps=20, batch=8192)
    best = found.others["maximum likelihood, enumerated"]
    np.testing.assert_allclose(found.couplings.h, best.h, atol=0.02)
    np.testing.assert_allclose(found.couplings.J, best.J, atol=0.02)


def test_pseudo_likelihood_survives_spins_that_never_differ():
    spins = np.random.default_rng(0).choice([-1.0, 1.0], (50, 3))
    spins[:, 1] = spins[:, 0]
    assert np.all(np.isfinite(exact.pseudo_likelihood(spins, True).J))
    assert np.all(np.isfinite(inverse_ising(spins, steps=5, batch=500).couplings.J))


def test_command_compares_with_the_truth(data, tmp_path, monkeypatch, capsys, told):
    monkeypatch.chdir(tmp_path)
    truth, spins = data
    np.save("spins.npy", spins[:20_000])
    np.save("truth.npy", truth.J)
    command = ["inverse-ising", "spins.npy", "--fields", "false", "--steps", "4", "--truth", "truth.npy"]
    assert main([*command, "--out", "found.npz"]) == 0
    shown = capsys.readouterr().out
    assert "Sessak-Monasson" in shown and "the truth" in shown and "prior: Gaussian of width 1" in shown
    assert np.load("found.npz")["J"].shape == (8, 8)
    told(shown, "couplings of 20000", "the other methods", "compiling", *(f"step {k} " for k in range(4)), "prior")


@pytest.mark.parametrize("spins", [np.ones(5), np.array([[1.0, 2.0], [1.0, -1.0]]), np.ones((1, 4)), np.ones((10, 65))])
def test_bad_data_are_named(spins):
    with pytest.raises(InputError, match=r"^data = "):
        inverse_ising(spins)


def test_a_collapsed_density_does_not_look_converged():
    """A ferromagnet with one flip in 4000: ln p of the data is about -0.7; no estimate may be above zero unsaid."""
    rng = np.random.default_rng(3)
    spins = np.repeat(rng.choice([-1.0, 1.0], size=(4000, 1)), 6, axis=1)
    spins[0, 0] *= -1
    found = inverse_ising(spins, steps=10)
    believed = found.history[-1]["log_likelihood"]
    assert found.warnings or -2.0 < believed < -0.5


def _alike(rng, n):
    return np.repeat(rng.choice([-1.0, 1.0], size=(4000, 1)), n, axis=1)


def _one_flip(rng):
    spins = _alike(rng, 5)
    spins[0, 0] *= -1
    return spins


def _silent(rng):
    spins = rng.choice([-1.0, 1.0], size=(4000, 5))
    spins[:, 2], spins[:, 4] = 1.0, spins[:, 0]
    return spins


@pytest.mark.parametrize("make", [_one_flip, _silent, lambda rng: _alike(rng, 5)])
@pytest.mark.parametrize("prior", [0.3, pytest.param(1.0, marks=pytest.mark.validation)])
def test_maximum_at_infinity_is_that_of_the_penalised_likelihood(make, prior):
    """Spins that never flip, or are always alike: within 0.05 of the enumerated maximum, and nothing is doubted."""
    spins = make(np.random.default_rng(3))
    found = inverse_ising(spins, steps=20, prior=prior)
    best = found.others["maximum likelihood, enumerated"]

    def penalised(c):
        states = np.array(list(itertools.product((-1.0, 1.0), repeat=5)))
        exponents = [0.5 * np.einsum("si,ij,sj->s", s, c.J, s) + s @ c.h for s in (spins, states)]
        own = found._replace(couplings=c).penalty(len(spins), prior)
        return exponents[0].mean() - np.log(np.sum(np.exp(exponents[1]))) - own

    assert penalised(found.couplings) == pytest.approx(penalised(best), abs=0.05)
    assert penalised(best) >= penalised(found.couplings) - 1e-9
    assert found.warnings == ()


def test_prior_that_is_no_width_is_refused():
    with pytest.raises(InputError, match=r"^prior = 0"):
        inverse_ising(_alike(np.random.default_rng(0), 3), prior=0.0)


def test_good_data_raise_no_doubt(data):
    assert inverse_ising(data[1], fields=False, steps=10).warnings == ()
