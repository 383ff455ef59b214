"""Laws of the densities of particles: normalised, invariant, with exact divergence, log-det and score."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from massieu import densities
from massieu.principle import trainable

BASES = {
    "gaussian_3d": lambda: densities.Gaussian(3, 3),
    "ginibre": lambda: densities.Ginibre(4),
    "hermite": lambda: densities.Hermite(4, 2.0),
    "single": lambda: densities.Gaussian(1, 2),
}


@pytest.fixture(params=BASES)
def flow(request):
    fresh = densities.EquivariantFlow(BASES[request.param](), scale=0.7, width=6, embedding=5, steps=40)
    params, static = trainable(fresh)
    leaves, treedef = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(5), len(leaves))
    moved = [x + 0.05 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    return eqx.combine(jax.tree.unflatten(treedef, moved), static)


def _positions(flow, seed=0):
    return jax.random.normal(jax.random.key(seed), flow.shape)


def test_divergence_is_the_trace_of_the_jacobian(flow):
    x = _positions(flow)
    jacobian = jax.jacfwd(lambda x: flow.velocity(x, 0.3)[0])(x).reshape(x.size, x.size)
    np.testing.assert_allclose(flow.velocity(x, 0.3)[1], jnp.trace(jacobian), rtol=1e-10, atol=1e-10)


def test_velocity_commutes_with_permutations_rotations_and_reflections(flow):
    x, rng = _positions(flow), np.random.default_rng(1)
    order = rng.permutation(len(x))
    turn = np.linalg.qr(rng.normal(size=(x.shape[1], x.shape[1])))[0]
    np.testing.assert_allclose(
        flow.velocity(x[order] @ turn, 0.6)[0], flow.velocity(x, 0.6)[0][order] @ turn, atol=1e-12
    )


def test_log_prob_is_invariant_and_that_of_the_sampler(flow):
    x, log_prob = flow.sample_and_log_prob(jax.random.key(3), (5,))
    np.testing.assert_allclose(flow.log_prob(x), log_prob, atol=1e-6)
    np.testing.assert_allclose(flow.log_prob(-x[:, ::-1]), log_prob, atol=1e-6)


def test_log_det_is_that_of_the_jacobian_of_the_map(flow):
    key = jax.random.key(4)
    z = flow.base._sample(key)

    def forward(z):
        replayed = eqx.tree_at(lambda f: f.base, flow, _Fixed(flow.base, z))
        return replayed._sample_and_log_prob(key)[0]

    log_prob = flow._sample_and_log_prob(key)[1]
    log_det = jnp.linalg.slogdet(jax.jacfwd(forward)(z).reshape(z.size, z.size))[1]
    np.testing.assert_allclose(log_prob, flow.base._log_prob(z) - log_det, atol=1e-6)


class _Fixed(eqx.Module):
    """A base that returns one given point."""

    base: eqx.Module
    point: jax.Array

    def _sample(self, key):
        return self.point

    def _log_prob(self, z):
        return self.base._log_prob(z)


def test_score_is_the_gradient_of_log_prob(flow):
    x, log_prob, score = flow.sample_and_score(jax.random.key(6))
    np.testing.assert_allclose(log_prob, flow._log_prob(x), atol=1e-6)
    np.testing.assert_allclose(score, jax.grad(flow._log_prob)(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("base", "mean_square"),
    [(densities.Gaussian(3, 2), 3.0), (densities.Ginibre(4), 4 * 5 / 2), (densities.Hermite(3, 2.0), 3 + 2 * 2.0 * 3)],
)
def test_ensembles_are_sampled_as_their_density_says(base, mean_square):
    """<sum x^2> in closed form, and the norm: the Gaussian reweighted to the ensemble has mean weight one."""
    x = base.sample(jax.random.key(0), (20000,))
    r2 = jnp.sum(x**2, axis=(1, 2))
    assert abs(r2.mean() - mean_square) < 4.5 * r2.std() / np.sqrt(len(r2))
    n, dim = base.shape
    width = np.sqrt(mean_square / (n * dim))
    g = width * jax.random.normal(jax.random.key(1), (20000, n, dim))
    log_g = -0.5 * jnp.sum((g / width) ** 2, axis=(1, 2)) - n * dim * np.log(width * np.sqrt(2 * np.pi))
    weight = jnp.exp(base.log_prob(g) - log_g)
    assert abs(weight.mean() - 1) < 4.5 * weight.std() / np.sqrt(len(weight)) + 1e-12
