"""Training by energy and by example: the gradient, the modes it keeps, and data that do not fit."""

import flowjax.bijections
import flowjax.distributions
import jax
import jax.numpy as jnp
import numpy as np
import paramax
import pytest

import massieu as ms
from massieu import densities
from massieu.methods.classical import by_example as mixed
from massieu.methods.classical.options import ClassicalOptions
from massieu.principle import trainable


class TwoWells(ms.ClassicalSystem):
    """H = 8 (x^2 - 1)^2 + y^2/2: a barrier of 8 between two states of equal weight."""

    name = "two-wells"
    beta: float = 1.0

    def energy(self, x):
        return 8 * (x[0] ** 2 - 1) ** 2 + 0.5 * x[1] ** 2


AXIS = np.linspace(-3, 3, 60001)
WEIGHT = np.exp(-8 * (AXIS**2 - 1) ** 2)
LNZ = np.log(WEIGHT.sum() * (AXIS[1] - AXIS[0])) + 0.5 * np.log(2 * np.pi)


def _in_the_left_well():
    flow = densities.NeuralODE(2, width=16, key=jax.random.key(1))
    place = flowjax.bijections.Affine(np.array([-1.0, 0.0]), np.array([0.2, 1.0]))
    return flowjax.distributions.Transformed(flow, paramax.non_trainable(place))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    rng = np.random.default_rng(0)
    x = rng.choice(AXIS, size=2000, p=WEIGHT / WEIGHT.sum())
    path = tmp_path_factory.mktemp("data") / "wells.npy"
    np.save(path, np.stack([x, rng.normal(size=2000)], axis=1))
    return path


def test_gradient_is_the_weighted_sum_of_both():
    params, static = trainable(densities.NeuralODE(2, width=4, steps=3, key=jax.random.key(1)))
    rows = jax.random.normal(jax.random.key(2), (1, 2))
    of_f = jax.tree.map(jnp.ones_like, params)
    found, loss = jax.jit(lambda p, key: mixed.Examples(rows, 0.3).mixed(of_f, p, static, key, 5, 1.0))(
        params, jax.random.key(0)
    )

    def likelihood(params):
        import equinox as eqx

        return -eqx.combine(params, static)._log_prob(rows[0])

    value, of_data = jax.jit(jax.value_and_grad(likelihood))(params)
    np.testing.assert_allclose(loss, value, rtol=1e-12)
    for mix, one in zip(jax.tree.leaves(found), jax.tree.leaves(of_data), strict=True):
        np.testing.assert_allclose(mix, 0.7 + 0.3 * one, rtol=1e-9, atol=1e-12)


def test_examples_show_the_state_that_energies_alone_do_not_find(file):
    """From the left well the bound of one state is ln 2 above -ln Z; with examples the density has both."""
    options = {"gradient": "pathwise", "steps": 150, "batch": 128, "samples": 4000, "anneal": 0.0, "optimiser": "adam"}
    alone = ms.minimize(TwoWells(), _in_the_left_well(), learning_rate=0.02, **options)
    both = ms.minimize(TwoWells(), _in_the_left_well(), learning_rate=0.02, data=str(file), **options)
    assert abs(alone.F.value + LNZ - np.log(2)) < 0.15
    assert -4 * both.F.error < both.F.value + LNZ < 0.35
    right = float(np.mean(np.asarray(both.density.sample(jax.random.key(0), (2000,)))[:, 0] > 0))
    assert 0.3 < right < 0.7
    assert "data_loss" in both.metrics[-1] and "data_loss" not in alone.metrics[-1]


@pytest.mark.parametrize(
    "content", [np.ones((5, 3)), np.full((5, 9), np.nan), np.zeros((5, 9)), np.array(1.0), np.zeros((0, 9)), None]
)
def test_data_that_do_not_fit_are_named(content, tmp_path):
    path = tmp_path / "x.npy"
    if content is not None:
        np.save(path, content)
    with pytest.raises(ms.InputError, match=r"^data = "):
        ms.minimize(ms.Ising(l=3, beta=0.4), data=str(path))


def test_a_weight_beyond_one_is_named():
    with pytest.raises(ms.InputError, match=r"^data_weight = "):
        ClassicalOptions(data_weight=1.5)
