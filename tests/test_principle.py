"""Gradients of the variational free energy are unbiased: compared with exact sums over all states."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import paramax
import pytest
from flowjax.distributions import Normal

from massieu import densities
from massieu.principle import (
    Estimate,
    draw,
    log_tangent,
    pathwise_gradient,
    score_function_gradient,
    scores,
    trainable,
    wavefunction_gradient,
)

BETA = 0.8
N = 5
COUPLINGS = np.triu(np.random.default_rng(0).normal(size=(N, N)), 1)
STATES = jnp.array(list(itertools.product([-1.0, 1.0], repeat=N)))


def _energy(s):
    return -s @ jnp.asarray(COUPLINGS) @ s


@pytest.fixture
def made():
    density = densities.MADE(N, width=2)
    params, static = trainable(density)
    leaves, treedef = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(5), len(leaves))
    moved = [x + 0.4 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(treedef, moved), static


def _flat(tree):
    return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree)])


def _exact_gradient(params, static):
    def F(params):
        log_p = eqx.combine(params, static).log_prob(STATES)
        return jnp.sum(jnp.exp(log_p) * (jax.vmap(_energy)(STATES) + log_p / BETA))

    return _flat(jax.grad(F)(params))


def _assert_mean(gradients, exact, sigmas=4.5):
    """Each component of the mean of independent estimates (M, P) agrees with the exact gradient."""
    error = gradients.std(axis=0, ddof=1) / np.sqrt(len(gradients))
    used = np.asarray(error) > 0
    z = np.asarray(gradients.mean(axis=0) - exact)[used] / np.asarray(error)[used]
    assert np.abs(z).max() < sigmas
    np.testing.assert_allclose(np.asarray(gradients.mean(axis=0))[~used], np.asarray(exact)[~used], atol=1e-12)


def test_score_function_gradient_is_unbiased(made):
    params, static = made

    def one(key):
        samples = draw(eqx.combine(params, static), _energy, key, 16, BETA)
        return _flat(score_function_gradient(params, static, samples, BETA))

    _assert_mean(jax.lax.map(one, jax.random.split(jax.random.key(1), 4000)), _exact_gradient(params, static))


def test_leave_one_out_baseline_removes_a_constant_of_the_energy(made):
    params, static = made
    samples = draw(eqx.combine(params, static), _energy, jax.random.key(2), 16, BETA)
    shifted = samples._replace(energy=samples.energy + 1e3)
    plain, moved = (_flat(score_function_gradient(params, static, s, BETA)) for s in (samples, shifted))
    np.testing.assert_allclose(plain, moved, atol=1e-9)


def _quartic(x):
    return 0.5 * jnp.sum(x**2) + 0.3 * jnp.sum(x**4)


@pytest.mark.parametrize("path_only", [True, False])
def test_pathwise_gradient_is_unbiased_for_a_flowjax_distribution(path_only):
    """A Gaussian in closed form: F = s^2/2 + m^2/2 + 0.3 (m^4 + 6 m^2 s^2 + 3 s^4) - ln s/beta + const."""
    density = Normal(jnp.array([0.4]), jnp.array([0.7]))
    params, static = trainable(density)

    def F(params):
        d = paramax.unwrap(eqx.combine(params, static))
        m, s = d.bijection.loc[0], d.bijection.scale[0]
        return 0.5 * (s**2 + m**2) + 0.3 * (m**4 + 6 * m**2 * s**2 + 3 * s**4) - jnp.log(s) / BETA

    def one(key):
        return _flat(pathwise_gradient(params, static, _quartic, key, 16, BETA, path_only)[1])

    _assert_mean(jax.lax.map(one, jax.random.split(jax.random.key(1), 4000)), _flat(jax.grad(F)(params)))


def test_path_gradient_has_no_variance_at_the_exact_density_and_the_total_gradient_has():
    density = Normal(jnp.zeros(2), jnp.full(2, 1 / np.sqrt(BETA)))
    params, static = trainable(density)
    gradients = [
        _flat(
            pathwise_gradient(params, static, lambda x: 0.5 * jnp.sum(x**2), jax.random.key(0), 32, BETA, path_only)[1]
        )
        for path_only in (True, False)
    ]
    assert jnp.abs(gradients[0]).max() < 1e-12 < 1e-3 < jnp.abs(gradients[1]).max()


def test_flow_path_gradient_equals_the_generic_one():
    flow = densities.EquivariantFlow(densities.Gaussian(3, 2), width=4, embedding=3, steps=30)
    params, static = trainable(flow)
    params = jax.tree.map(lambda x: x + 0.05 * jnp.cos(jnp.arange(x.size).reshape(x.shape)), params)
    energy = lambda x: jnp.sum(x**2) + jnp.sum(x**4)  # noqa: E731
    key = jax.random.key(3)
    fast = pathwise_gradient(params, static, energy, key, 8, BETA)[1]

    def generic(params):
        flow = eqx.combine(params, static)
        x, _ = flow.sample_and_log_prob(key, (8,))
        log_prob = eqx.combine(jax.lax.stop_gradient(params), static).log_prob(x)
        return jnp.mean(jax.vmap(energy)(x) + log_prob / BETA)

    np.testing.assert_allclose(_flat(fast), _flat(jax.grad(generic)(params)), rtol=1e-4, atol=1e-5)


def test_scores_average_to_zero_and_give_the_fisher_matrix(made):
    params, static = made
    log_p = eqx.combine(params, static).log_prob(STATES)
    o = jax.vmap(_flat)(scores(params, static, STATES, BETA))
    np.testing.assert_allclose(jnp.exp(log_p) @ o, 0, atol=1e-12)


def test_wavefunction_gradient_of_an_oscillator():
    """psi = exp(-a x^2/2), H = -1/2 d^2 + x^2/2: E(a) = a/4 + 1/(4a); samples from |psi|^2."""
    a = jnp.asarray(0.6)

    def one(key):
        x = jax.random.normal(key, (64,)) / jnp.sqrt(2 * a)
        e_loc = 0.5 * a + 0.5 * x**2 * (1 - a**2)
        return wavefunction_gradient(a, lambda a, x: -0.5 * a * x**2 + 0.3j * a, x, e_loc + 0j)[None]

    _assert_mean(jax.lax.map(one, jax.random.split(jax.random.key(1), 4000)), jnp.array([0.25 - 0.25 / a**2]))


def test_estimates_print_as_physicists_write_them():
    assert str(Estimate(16.83233, 0.00043)) == "16.8323(4)"
    assert str(Estimate(16.8, 0.0996)) == "16.8(1)"
    assert str(Estimate(1234.5, 20)) == "1230(20)"
    assert str(Estimate(2.5)) == "2.5"


def test_entropy_of_overlapping_states_is_at_least_that_of_q():
    """S(rho) >= -sum p ln q for any normalised states, equal for orthonormal ones; log_tangent is above ln q."""
    rng = np.random.default_rng(5)
    for size in (2, 4, 9):
        states = rng.normal(size=(size, 9)) + 1j * rng.normal(size=(size, 9))
        for phi in (states / np.linalg.norm(states, axis=1, keepdims=True), np.linalg.qr(states.T)[0].T):
            p = rng.dirichlet(np.ones(size))
            eigenvalues = np.linalg.eigvalsh((phi.T * p) @ phi.conj())
            entropy = -np.sum(eigenvalues[eigenvalues > 1e-12] * np.log(eigenvalues[eigenvalues > 1e-12]))
            q = np.abs(phi.conj() @ phi.T) ** 2 @ p
            bound = -p @ np.log(q)
            assert bound <= entropy + 1e-12
            assert np.all(q >= p - 1e-12)
            a = p * rng.uniform(0.5, 2.0, size)
            assert np.all(log_tangent(q, a) >= np.log(q) - 1e-12)
    assert bound == pytest.approx(entropy)  # the last states are orthonormal
    np.testing.assert_allclose(log_tangent(q, q), np.log(q))


@pytest.mark.parametrize("seed", range(5))
def test_entropy_of_overlapping_states_is_bounded_by_the_geometric_mean(seed):
    """For any a > 0 S(rho) is above the bound, and that of Jensen with the same a is below it."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(7, 0.5))
    states = np.eye(7) + 0.3 * (rng.normal(size=(7, 7)) + 1j * rng.normal(size=(7, 7)))
    states /= np.linalg.norm(states, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(np.einsum("k,ka,kb->ab", p, states, states.conj()))
    entropy = -np.sum(values * np.log(np.maximum(values, 1e-300)))
    squared = np.abs(states.conj() @ states.T) ** 2 - np.eye(7)
    for a in (p, p + 0.1, rng.uniform(size=7), 5 * rng.uniform(size=7)):
        own = p @ (np.log(a) + p / a - 1)
        geometric = own + np.einsum("k,l,kl->", p / np.sqrt(a), p / np.sqrt(a), squared)
        jensen = own + np.einsum("k,l,kl->", p / a, p, squared)
        assert entropy >= -geometric - 1e-12
        assert jensen >= geometric - 1e-12


@pytest.mark.parametrize("strength", [0.05, 0.4])
def test_entropy_of_a_factor_on_a_complete_set_is_bounded_without_overlaps(strength):
    """Phi_n = e^J D_n, D_n a random orthonormal set, J diagonal: S(rho) from the eigenvalues of the Gram matrix."""
    rng, size = np.random.default_rng(3), 40
    D = np.linalg.qr(rng.normal(size=(size, size)))[0]
    J, p = strength * rng.normal(size=size), rng.dirichlet(np.ones(size))
    M = D.T @ (np.exp(2 * J)[:, None] * D)
    norm = np.diag(M)
    G = np.sqrt(p[:, None] * p / np.outer(norm, norm)) * M
    eigenvalues = np.linalg.eigvalsh(G)
    exact = -np.sum(eigenvalues * np.log(eigenvalues))
    of_labels, complete = -np.sum(p * np.log(p)), D.T @ (np.exp(4 * J)[:, None] * D)
    bound = of_labels + p @ np.log(norm) - np.log(np.sum(p / norm * np.diag(complete)))
    assert bound <= exact <= of_labels
    mean, square = (p @ np.diag(D.T @ (J[:, None] ** power * D)) for power in (1, 2))
    lost = 4 * (square - mean**2)
    assert of_labels - bound == pytest.approx(lost, rel=0.1 if strength < 0.1 else 1.0)
