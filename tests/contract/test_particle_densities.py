"""Laws of the densities of particles: normalised and invariant; those of all flows are in test_continuous_flows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from massieu import densities

pytestmark = pytest.mark.quick

BASES = {
    "gaussian_3d": densities.Gaussian(3, 3),
    "ginibre": densities.Ginibre(4),
    "hermite": densities.Hermite(4, 2.0),
    "single": densities.Gaussian(1, 2),
}


@pytest.fixture(params=BASES)
def flow(request, moved):
    return moved(densities.EquivariantFlow(BASES[request.param], scale=0.7, width=6, embedding=5, steps=40))


def _positions(flow, seed=0):
    return jax.random.normal(jax.random.key(seed), flow.shape)


def test_velocity_commutes_with_permutations_rotations_and_reflections(flow):
    x, rng = _positions(flow), np.random.default_rng(1)
    order = rng.permutation(len(x))
    turn = np.linalg.qr(rng.normal(size=(x.shape[1], x.shape[1])))[0]
    np.testing.assert_allclose(
        flow.velocity(x[order] @ turn, 0.6)[0], flow.velocity(x, 0.6)[0][order] @ turn, atol=1e-12
    )


def test_log_prob_is_invariant(flow):
    log_prob, x = jax.jit(lambda x: flow._log_prob(x)), _positions(flow)
    np.testing.assert_allclose(log_prob(-x[::-1]), log_prob(x), atol=1e-6)


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
