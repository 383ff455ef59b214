"""The natural gradient solves the Fisher metric block by block; Adam's clipping clips."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from massieu import optimize

pytestmark = pytest.mark.quick

CONSTANT = lambda step: 1.0  # noqa: E731


@pytest.mark.parametrize("blocks", [1, 3])
def test_first_natural_step_solves_the_damped_metric(blocks):
    rng = np.random.default_rng(0)
    params = {"a": jnp.zeros((3, 4)), "b": jnp.zeros(3)}
    scores = {"a": jnp.asarray(rng.normal(size=(50, 3, 4))), "b": jnp.asarray(rng.normal(size=(50, 3)))}
    grads = {"a": jnp.asarray(rng.normal(size=(3, 4))), "b": jnp.asarray(rng.normal(size=3))}
    optimiser = optimize.natural_gradient(0.1, CONSTANT, blocks, trust=1e9, damping=0.02, floor=1e-3)
    step, _ = optimiser.update(grads, optimiser.init(params), params, scores=scores)

    def flat(tree, lead):
        return np.concatenate([np.asarray(tree[k]).reshape(*tree[k].shape[:lead], blocks, -1) for k in "ab"], axis=-1)

    o, g, d = flat(scores, 1), flat(grads, 0), flat(step, 0)
    o = o - o.mean(axis=0)
    for k in range(blocks):
        metric = o[:, k].T @ o[:, k] / 50
        ridge = 0.02 * np.diag(metric) + 1e-3 * np.diag(metric).mean() + 1e-8
        np.testing.assert_allclose(d[k], -0.1 * np.linalg.solve(metric + np.diag(ridge), g[k]), rtol=1e-8)


def test_natural_step_stays_within_the_trust_region():
    rng = np.random.default_rng(1)
    scores, grads = jnp.asarray(rng.normal(size=(200, 5))), jnp.asarray(1e3 * rng.normal(size=5))
    optimiser = optimize.natural_gradient(1.0, CONSTANT, trust=0.3)
    step, _ = optimiser.update(grads, optimiser.init(jnp.zeros(5)), scores=scores)
    length = jnp.sqrt(jnp.mean(((scores - scores.mean(0, keepdims=True)) @ step) ** 2))
    np.testing.assert_allclose(length, 0.3, rtol=1e-6)


def test_natural_gradient_fits_a_gaussian_in_a_few_steps():
    """ln p = -(x - m)^2 e^{-2l}/2 - l against H = (x - 3)^2 / (2 0.01): badly scaled, yet a handful of steps."""
    params = jnp.array([0.0, 0.0])
    optimiser = optimize.natural_gradient(0.5, CONSTANT, trust=1.0, momentum=0.0, memory=0.5)
    state = optimiser.init(params)
    z = jax.random.normal(jax.random.key(0), (4000,))

    def log_p(params, x):
        return -0.5 * (x - params[0]) ** 2 * jnp.exp(-2 * params[1]) - params[1]

    def objective(params):
        x = params[0] + jnp.exp(params[1]) * z
        return jnp.mean(0.5 * (x - 3) ** 2 / 0.01 + log_p(params, x))

    for _ in range(40):
        x = params[0] + jnp.exp(params[1]) * z
        scores = jax.vmap(jax.grad(log_p), in_axes=(None, 0))(params, x)
        update, state = optimiser.update(jax.grad(objective)(params), state, scores=scores)
        params = params + update
    np.testing.assert_allclose(params, [3.0, np.log(0.1)], atol=0.05)


def test_clipping_shortens_long_gradients_and_leaves_short_ones():
    optimiser = optax.clip_by_global_norm(1.0)
    for g, expected in ((jnp.array([30.0, 40.0]), [0.6, 0.8]), (jnp.array([0.3, 0.4]), [0.3, 0.4])):
        np.testing.assert_allclose(optimiser.update(g, optimiser.init(g))[0], expected)
    adam = optimize.adam(0.1, CONSTANT, clip=1.0)
    huge, unit = (adam.update(jnp.array(g), adam.init(jnp.zeros(2)))[1] for g in ([3e5, 4e5], [0.6, 0.8]))
    for a, b in zip(jax.tree.leaves(huge), jax.tree.leaves(unit), strict=True):
        np.testing.assert_allclose(a, b)


@pytest.mark.parametrize("method", ["minsr", "spring"])
def test_steps_in_sample_space_are_bounded_outside_the_batch(method):
    """`reach` is the length of the step where every score has size 1, for more parameters than samples."""
    rng = np.random.default_rng(2)
    scores, residual = jnp.asarray(rng.normal(size=(20, 60))), jnp.asarray(1e3 * rng.normal(size=20))
    optimiser = optimize.stochastic_reconfiguration(1.0, CONSTANT, method, trust=1e9, floor=0.0, reach=0.1)
    step, _ = optimiser.update(jnp.zeros(60), optimiser.init(jnp.zeros(60)), scores=scores, residual=residual)
    size = jnp.sqrt(jnp.mean(scores**2, axis=0))
    np.testing.assert_allclose(jnp.linalg.norm(size * step), 0.1, rtol=1e-6)
