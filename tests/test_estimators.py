"""Every estimator of the gradient of F against exact gradients: enumeration for spins, closed forms for Gaussians."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import paramax
import pytest
from flowjax.distributions import Normal

import massieu as ms
from massieu import densities, estimators
from massieu.principle import trainable

BETA, N = 0.8, 4
COUPLINGS = np.triu(np.random.default_rng(0).normal(size=(N, N)), 1)
STATES = jnp.array(list(itertools.product([-1.0, 1.0], repeat=N)))


def _energy(s):
    return -s @ jnp.asarray(COUPLINGS) @ s - 0.3 * s[0]


def _quartic(x):
    return 0.5 * jnp.sum(x**2) + 0.3 * jnp.sum(x**4) + 0.2 * x[0] * x[1]


def _flat(tree):
    return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree)])


def _of_spins(params, static):
    log_p = eqx.combine(params, static).log_prob(STATES)
    return jnp.sum(jnp.exp(log_p) * (jax.vmap(_energy)(STATES) + log_p / BETA))


def _of_gaussian(params, static):
    """<x^4> = m^4 + 6 m^2 s^2 + 3 s^4, and an entropy sum ln s."""
    d = paramax.unwrap(eqx.combine(params, static))
    m, s = d.bijection.loc, d.bijection.scale
    site = 0.5 * (s**2 + m**2) + 0.3 * (m**4 + 6 * m**2 * s**2 + 3 * s**4) - jnp.log(s) / BETA
    return jnp.sum(site) + 0.2 * m[0] * m[1]


PROBLEMS = {
    "spins": (densities.ProductSpins(N, spread=0.7), _energy, _of_spins),
    "gaussian": (Normal(jnp.array([0.4, -0.2]), jnp.array([0.7, 0.5])), _quartic, _of_gaussian),
}
CASES = [
    ("spins", "score"),
    ("spins", "measure"),
    ("spins", "score+measure"),
    ("spins", "0.25*score+0.75*measure"),
    ("gaussian", "score"),
    ("gaussian", "pathwise"),
    ("gaussian", "pathwise-total"),
    ("gaussian", "measure"),
    ("gaussian", "score+pathwise-total"),
    ("gaussian", "0.4*score+0.6*pathwise"),
]


def _estimates(name, gradient, count, batch=16, seed=1):
    """Independent gradients (count, P) and the exact one (P,)."""
    density, energy, F = PROBLEMS[name]
    params, static = trainable(density)
    estimate = estimators.estimator(gradient)
    one = jax.jit(lambda key: _flat(estimate(params, static, energy, key, batch, BETA)[1]))
    found = jax.lax.map(one, jax.random.split(jax.random.key(seed), count), batch_size=50)
    return np.asarray(found), np.asarray(_flat(jax.grad(F)(params, static)))


@pytest.mark.parametrize(("name", "gradient"), CASES)
@pytest.mark.acceptance
def test_every_estimator_is_unbiased(name, gradient):
    found, exact = _estimates(name, gradient, 1000, batch=64 if "*" not in gradient and "+" in gradient else 16)
    z = (found.mean(axis=0) - exact) / (found.std(axis=0, ddof=1) / np.sqrt(len(found)))
    assert np.abs(z).max() < 4.5


def test_estimated_weights_are_about_as_good_as_the_better_estimator():
    """Eight sub-batches say which of the two is better, not exactly by how much."""

    def variance(gradient):
        return _estimates("spins", gradient, 400, batch=64)[0].var(axis=0).sum()

    each = [variance(gradient) for gradient in ("score", "measure")]
    assert variance("score+measure") < 1.3 * min(each) < 0.5 * max(each)


def test_least_variance_weights_solve_the_problem_on_the_simplex():
    """Without the constraint the second weight of the second case would be negative."""
    covariances = jnp.array([[[1.0, 0.0], [0.0, 4.0]], [[1.0, 1.5], [1.5, 4.0]]])
    weights = jax.jit(jax.vmap(estimators.least_variance_weights))(covariances)
    np.testing.assert_allclose(weights, [[0.8, 0.2], [1.0, 0.0]], atol=1e-6)
    three = jax.jit(estimators.least_variance_weights)(jnp.diag(jnp.array([1.0, 2.0, 4.0])))
    np.testing.assert_allclose(three, np.array([4, 2, 1]) / 7, rtol=1e-6)


def test_measure_valued_gradient_has_no_variance_at_the_exact_density():
    field = jnp.array([0.3, -0.8, 0.5])
    spins = eqx.tree_at(lambda d: d.logit, densities.ProductSpins(3), 2 * BETA * field)
    normal = Normal(field, jnp.full(3, 1 / np.sqrt(BETA)))
    for density, energy in ((spins, lambda s: -field @ s), (normal, lambda x: 0.5 * jnp.sum((x - field) ** 2))):
        params, static = trainable(density)

        @jax.jit
        def gradient(params, static=static, energy=energy):
            return estimators.ESTIMATORS["measure"](params, static, energy, jax.random.key(0), 16, BETA)[1]

        assert jnp.abs(_flat(gradient(params))).max() < 1e-12


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scor", "did you mean score"),
        ("score+score", "different"),
        ("0.5*score+0.4*measure", "sum 1"),
        ("0.5*score+measure", "for each"),
        ("1.5*score+-0.5*measure", ">= 0"),
        ("x*score", "terms such as"),
    ],
)
def test_a_combination_that_makes_no_sense_is_refused(text, message):
    with pytest.raises(ms.InputError, match=f"gradient = .*{message}"):
        estimators.parse(text)


def test_an_estimator_that_does_not_apply_is_refused(refused):
    ising = ["run", "ising", "--l", "3", "--out", "x"]
    refused([*ising, "--gradient", "pathwise"], "gradient = pathwise: must be without pathwise for BlanketMADE")
    refused([*ising, "--gradient", "measure"], "gradient = measure: must be without measure for BlanketMADE")
    refused(["run", "phi4", "--l", "2", "--gradient", "score+measure", "--out", "x"], "without measure for LatticeFlow")
    refused([*ising, "--density", "product", "--gradient", "score+measure", "--batch", "32"], "batch = 32")
    refused([*ising, "--density", "product", "--width", "4"], "density = product")
    for gradient in ("measure", "pathwise"):
        with pytest.raises(ms.InputError, match=gradient):
            params, static = trainable(densities.MADE(3))
            estimators.estimator(gradient)(params, static, lambda s: -s[0], jax.random.key(0), 8, 1.0)


@pytest.mark.parametrize("gradient", ["measure", "score+measure"])
@pytest.mark.acceptance
def test_training_a_product_density_finds_the_mean_field_solution(gradient):
    system = ms.Ising(l=3, beta=0.6, h=0.1)
    options = {"steps": 120, "batch": 128, "learning_rate": 0.3, "anneal": 0.2, "samples": 20000}
    run = ms.minimize(system, density="product", gradient=gradient, **options)
    exact = run.reference.approximations["naive mean field"].F.value
    assert abs(run.F.value - exact) < 4.5 * run.F.error + 1e-3 * abs(exact)
