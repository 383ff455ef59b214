"""The protons' density: log-determinant, bijection, equivariance, scores, chains."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from massieu.densities.continuous import runge_kutta
from massieu.densities.protons import ProtonFlow, tuned

N = 5


@pytest.fixture(scope="module", autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def flow(x64):
    """A flow with forces of a size that training finds."""
    start = ProtonFlow(N)
    force = jax.random.normal(jax.random.key(0), start.force.shape)
    return eqx.tree_at(lambda f: f.force, start, force).for_evaluation()


def test_log_prob_is_the_jacobian(flow):
    z = jax.random.uniform(jax.random.key(1), (6, N, 3))
    sign, error = jax.lax.map(flow.jacobian_sign, z)
    assert np.all(np.asarray(sign) > 0)
    assert np.abs(error).max() < 1e-4
    assert np.abs(jax.vmap(flow.from_base)(z)[1]).max() > 0.1  # not the identity


def test_steps_are_as_fine_as_the_velocity_asks_for(flow):
    """Forces as training can make them, for which ten Runge-Kutta steps are wrong by more than 0.5 in ln p."""
    strong = eqx.tree_at(lambda f: f.force, ProtonFlow(N), 25 * flow.force)
    z = jax.random.uniform(jax.random.key(1), (32, N, 3))

    def rate(state, t):
        v, divergence = strong.velocity(state[0], t)
        return v, -divergence

    fixed = jax.vmap(lambda z: runge_kutta(rate, (z, jnp.zeros(())), 10))(z)[1]
    found, fine = (jax.vmap(f.from_base)(z)[1] for f in (strong, strong.for_evaluation()))
    assert np.abs(fixed - fine).max() > 0.5
    assert np.abs(found - fine).max() < 0.02
    sign, error = jax.lax.map(strong.for_evaluation().jacobian_sign, z)
    assert np.all(np.asarray(sign) > 0)
    assert np.abs(error).max() < 1e-3


def test_what_cannot_be_integrated_is_no_number(flow):
    """So that a run stops instead of going on with a wrong density."""
    wild = eqx.tree_at(lambda f: f.force, ProtonFlow(N), 1e6 * flow.force)
    assert np.isnan(wild.from_base(jax.random.uniform(jax.random.key(1), (N, 3)))[1])


def test_inverse_leads_back(flow):
    z = jax.random.uniform(jax.random.key(2), (N, 3))
    x, log_prob = flow.from_base(z)
    back, change = flow.backwards(x)
    np.testing.assert_allclose(back, z, atol=1e-6)
    assert change == pytest.approx(float(log_prob), abs=1e-5)


def test_equivariance(flow):
    z = jax.random.uniform(jax.random.key(3), (N, 3))
    x, log_prob = flow.from_base(z)
    order, shift = jnp.array([3, 0, 4, 1, 2]), jnp.array([0.2, -0.4, 0.1])
    turn = jnp.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    of_both = (lambda v: v[order], lambda v: v + shift[None], lambda v: v @ turn, lambda v: v.at[0, 0].add(1.0))
    for moved, expected in ((change(z), change(x)) for change in of_both):
        found, other = flow.from_base(moved)
        np.testing.assert_allclose(found, expected, atol=1e-10)
        assert other == pytest.approx(float(log_prob), abs=1e-10)


def test_scores_are_at_fixed_positions(flow):
    z = jax.random.uniform(jax.random.key(4), (N, 3))
    x, _ = flow.from_base(z)
    expected = jax.grad(lambda force: eqx.tree_at(lambda f: f.force, flow, force)._log_prob(x))(flow.force)
    np.testing.assert_allclose(flow.scores(z).force, expected, atol=1e-4)


def test_scores_average_to_zero(flow):
    z = jax.random.uniform(jax.random.key(5), (400, N, 3))
    scores = np.asarray(jax.lax.map(lambda z: flow.scores(z).force.ravel(), z, batch_size=50))
    error = scores.std(axis=0) / 20
    assert np.all(np.abs(scores.mean(axis=0)) < 4.5 * error + 1e-12)


def before_is_uniform(flow, z):
    x, log_prob = jax.vmap(flow.from_base)(z)
    return bool(jnp.all(x == z)) and bool(jnp.all(log_prob == 0))


def test_tuning_lowers_the_free_energy():
    def energy(x):
        i, j = np.triu_indices(N, 1)
        d = x[i] - x[j]
        return jnp.sum(jnp.exp(-20 * jnp.sum((d - jnp.round(d)) ** 2, axis=1)))

    beta, z = 4.0, jax.random.uniform(jax.random.key(6), (300, N, 3))

    def free(flow):
        x, log_prob = jax.vmap(flow.from_base)(z)
        return jax.vmap(energy)(x) + log_prob / beta

    start = ProtonFlow(N)
    assert before_is_uniform(start, z)
    before, after = np.asarray(free(start)), np.asarray(free(tuned(start, energy, beta, jax.random.key(7))))
    weight = np.exp(-beta * before)  # of uniform points: the exact free energy by reweighting
    exact, error = -np.log(weight.mean()) / beta, weight.std() / weight.mean() / beta / np.sqrt(300)
    assert after.mean() - exact < 0.3 * (before.mean() - exact)
    assert after.std() < 0.5 * before.std()
    assert after.mean() > exact - 4 * np.hypot(error, after.std() / np.sqrt(300))
