"""Laws of every continuous flow: exact divergence, log-det and score; the density is that of the sampler."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from massieu import densities
from massieu.principle import trainable

FLOWS = {
    "gaussian_3d": lambda: _particles(densities.Gaussian(3, 3)),
    "ginibre": lambda: _particles(densities.Ginibre(4)),
    "hermite": lambda: _particles(densities.Hermite(4, 2.0)),
    "single": lambda: _particles(densities.Gaussian(1, 2)),
    "lattice": lambda: densities.LatticeFlow((3, 3), features=3, harmonics=3, steps=40),
    "rectangle": lambda: densities.LatticeFlow((2, 4), scale=2.0, features=2, harmonics=2, steps=40),
    "chain": lambda: densities.LatticeFlow((5,), spectrum=np.array([2.0, 1.0, 0.5, 0.5, 1.0]), features=2, steps=40),
    "neural_ode": lambda: densities.NeuralODE(3, width=8, steps=40, key=jax.random.key(1)),
    "monge_ampere": lambda: densities.MongeAmpereFlow(3, width=8, steps=40, key=jax.random.key(1)),
    "monge_ampere_symmetric": lambda: densities.MongeAmpereFlow(
        4, width=8, steps=40, even=True, permutations=CYCLIC, key=jax.random.key(1)
    ),
    "diffusion": lambda: densities.Diffusion(2, width=8, steps=60, key=jax.random.key(1)),
}
CYCLIC = np.array([np.roll(np.arange(4), k) for k in range(4)])


def _particles(base):
    return densities.EquivariantFlow(base, scale=0.7, width=6, embedding=5, steps=40)


@pytest.fixture(params=FLOWS, scope="module")
def flow(request, moved):
    return moved(FLOWS[request.param]())


class Found(NamedTuple):
    """What each law compares, computed in one program."""

    divergence: jax.Array
    trace: jax.Array
    sampled: jax.Array  # ln p of two fields, by the sampler
    log_prob: jax.Array  # and by the density
    base: jax.Array  # ln p of the point that is moved
    log_det: jax.Array  # of the Jacobian of the map
    moved: jax.Array
    path: jax.Array
    score: jax.Array
    gradient: jax.Array


@pytest.fixture(scope="module")
def found(flow):
    def all_of(key):
        keys = jax.random.split(key, 4)
        x = jax.random.normal(keys[0], flow.shape)
        jacobian = jax.jacfwd(lambda x: flow.velocity(x, 0.3)[0])(x).reshape(x.size, x.size)
        z = flow.base._sample(keys[1])
        of_the_map = jax.jacfwd(flow.forwards)(z).reshape(z.size, z.size)
        another, sampled = flow._sample_and_log_prob(keys[2])
        y, scored, score = flow.sample_and_score(keys[3])
        log_prob, gradient = jax.lax.map(jax.value_and_grad(flow._log_prob), jnp.stack([another, y, flow.forwards(z)]))
        return Found(
            flow.velocity(x, 0.3)[1], jnp.trace(jacobian), jnp.stack([sampled, scored]), log_prob,
            flow.base._log_prob(z), jnp.linalg.slogdet(of_the_map)[1], flow.forwards(z), flow.trajectory(z),
            score, gradient[1],
        )  # fmt: skip

    return jax.jit(all_of)(jax.random.key(0))


@pytest.mark.acceptance
def test_divergence_is_the_trace_of_the_jacobian(found):
    np.testing.assert_allclose(found.divergence, found.trace, rtol=1e-10, atol=1e-10)


def test_log_prob_is_that_of_the_sampler(found):
    np.testing.assert_allclose(found.log_prob[:2], found.sampled, atol=1e-6)


def test_log_det_is_that_of_the_jacobian_of_the_map(found):
    np.testing.assert_allclose(found.log_prob[2], found.base - found.log_det, atol=1e-6)


def test_trajectory_ends_where_the_flow_does(flow, found):
    assert found.path.shape == (1 + flow.steps, *flow.shape)
    np.testing.assert_allclose(found.path[-1], found.moved, rtol=1e-9, atol=1e-9)


def test_score_is_the_gradient_of_log_prob(found):
    np.testing.assert_allclose(found.score, found.gradient, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sides", [(3, 3), (2, 4), (5,)])
def test_a_lattice_flow_has_the_symmetries_of_the_lattice(sides, moved):
    flow = moved(densities.LatticeFlow(sides, features=3))
    x = jax.random.normal(jax.random.key(1), sides)
    images = [-x, jnp.flip(x, 0), jnp.roll(x, 1, -1), *([x.T] if len(set(sides)) == 1 and len(sides) == 2 else [])]
    of = jax.jit(lambda x: flow._log_prob(x))
    for image in images:
        np.testing.assert_allclose(of(image), of(x), rtol=1e-12)


def test_a_gaussian_field_has_the_spectrum_that_it_was_given():
    spectrum = np.array([[2.0, 1.0, 0.5], [1.0, 0.7, 0.7], [0.5, 0.7, 0.7]])
    spectrum[:] = spectrum.mean()
    spectrum[0, 0] = 2.0
    field = densities.GaussianField((3, 3), spectrum)
    x = field.sample(jax.random.key(0), (20000,))
    modes = np.abs(np.fft.fftn(np.asarray(x), axes=(1, 2))) ** 2 / 9
    np.testing.assert_allclose(modes.mean(axis=0), spectrum**2, rtol=5 / np.sqrt(10000))
    z = jnp.fft.fftn(x[0]) / 3
    exact = -0.5 * np.sum(np.abs(z) ** 2 / spectrum**2) - np.sum(np.log(spectrum)) - 4.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(field._log_prob(x[0]), exact, rtol=1e-12)


def test_a_symmetric_potential_makes_a_symmetric_density(moved):
    flow = moved(densities.MongeAmpereFlow(4, width=8, even=True, permutations=CYCLIC, key=jax.random.key(1)), 0.3)
    x = jax.random.normal(jax.random.key(1), (4,))
    of = jax.jit(lambda x: flow._log_prob(x))
    for image in (-x, x[CYCLIC[1]], x[CYCLIC[3]]):
        np.testing.assert_allclose(of(image), of(x), rtol=1e-12)


def test_stochastic_trace_is_unbiased(moved):
    flow = moved(densities.NeuralODE(4, width=8, steps=4, key=jax.random.key(1)), 0.3)
    x = jax.random.normal(jax.random.key(2), (4,))
    estimates = jax.vmap(lambda key: flow.stochastic_log_prob(x, key))(jax.random.split(jax.random.key(3), 4000))
    assert estimates.std() > 1e-3
    assert abs(estimates.mean() - flow._log_prob(x)) < 4.5 * estimates.std() / np.sqrt(4000)


def test_adjoint_gradient_is_that_of_the_steps_and_exact_as_they_become_fine(moved):
    """d ln p/d parameters and d ln p/dx; the difference falls as the fourth power of the step."""
    x, differences = jax.random.normal(jax.random.key(2), (3,)), []
    for steps in (8, 32):
        found = []
        for adjoint in (False, True):
            flow = moved(densities.NeuralODE(3, width=8, steps=steps, adjoint=adjoint, key=jax.random.key(1)), 0.3)
            params, static = trainable(flow)
            of = jax.jit(jax.grad(lambda p, x, static=static: eqx.combine(p, static)._log_prob(x), argnums=(0, 1)))
            found.append(ravel_pytree(of(params, x))[0])
        differences.append(float(jnp.linalg.norm(found[1] - found[0]) / jnp.linalg.norm(found[0])))
    assert differences[1] < min(1e-5, differences[0] / 100)
