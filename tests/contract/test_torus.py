"""Laws of the densities of angles: normalised, sampled as they are weighed, continuous around the circle."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import i0e

import massieu as ms
from massieu import densities


@pytest.fixture(scope="module", params=[1, 2, 3])
def density(request, moved):
    return moved(densities.CircularSpline(request.param, width=8, depth=3, bins=5, key=jax.random.key(1)), 0.5)


class Found(NamedTuple):
    x: jax.Array
    sampled: jax.Array
    log_prob: jax.Array
    turned: jax.Array
    log_det: jax.Array
    left: jax.Array
    right: jax.Array


@pytest.fixture(scope="module")
def found(density):
    def all_of(key):
        x, sampled = density.sample_and_log_prob(key, (500,))
        z = jax.random.uniform(key, density.shape, minval=-3.0, maxval=3.0)
        jacobian = jax.jacfwd(lambda z: density._through(z, backwards=False)[0])(z)
        log_det = density._through(z, backwards=False)[1], jnp.linalg.slogdet(jacobian)[1]
        edge = [density._log_prob(z.at[0].set(s * (jnp.pi - 1e-9))) for s in (-1, 1)]
        return Found(x, sampled, density.log_prob(x), density.log_prob(x + 2 * jnp.pi), jnp.stack(log_det), *edge)

    return jax.jit(all_of)(jax.random.key(0))


def test_log_prob_is_that_of_the_sampler_and_periodic(found):
    assert np.all(np.abs(found.x) <= np.pi)
    np.testing.assert_allclose(found.log_prob, found.sampled, atol=1e-9)
    np.testing.assert_allclose(found.turned, found.sampled, atol=1e-9)


def test_log_det_is_that_of_the_map(found):
    np.testing.assert_allclose(*found.log_det, rtol=1e-9)


def test_density_is_continuous_where_the_circle_closes(found):
    np.testing.assert_allclose(found.left, found.right, atol=1e-6)


def test_density_of_one_angle_is_normalised(density):
    if density.shape[0] > 1:
        pytest.skip("a quadrature for one angle")
    axis = -np.pi + 2 * np.pi * (np.arange(200000) + 0.5) / 200000
    p = jnp.exp(jax.jit(lambda x: density.log_prob(x))(axis[:, None]))
    assert abs(float(p.mean()) * 2 * np.pi - 1) < 1e-4  # peaks of the density are narrow


class Rotors(ms.ClassicalSystem):
    """A chain of plane rotors: Z = (2 pi)^d I_0(beta)^{d-1}."""

    name = "rotors"
    beta: float = 2.0

    def energy(self, x):
        return -jnp.sum(jnp.cos(x[1:] - x[:-1]))


def test_chain_of_rotors_reaches_its_free_energy():
    run = ms.minimize(Rotors(), densities.CircularSpline(3, width=32, key=jax.random.key(0)), gradient="pathwise",
                      steps=200, batch=256, samples=5000, learning_rate=5e-3, optimiser="adam")  # fmt: skip
    exact = -(3 * np.log(2 * np.pi) + 2 * (np.log(i0e(2.0)) + 2.0)) / 2.0
    assert -4 * run.F.error < run.F.value - exact < 0.05
    lnZ = run.result.importance["lnZ"]
    assert abs(lnZ["value"] + 2 * exact) < 4.5 * lnZ["error"] < 0.1
