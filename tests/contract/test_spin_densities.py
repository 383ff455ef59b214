"""One set of laws for every density of spins: normalised, sampled as it is weighed, causal, exactly symmetric."""

import itertools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from massieu import densities
from massieu.densities.autoregressive import AbstractAutoregressive
from massieu.geometry import lattice_couplings
from massieu.principle import trainable

N, LATTICE, BETA = 8, (2, 4), 0.7
GLASS = np.triu(np.random.default_rng(3).normal(size=(N, N)), 1)
GLASS = GLASS + GLASS.T


def _all():
    key = jax.random.key(1)
    made = densities.MADE(N, width=3, depth=3, key=key)
    return {
        "made": made,
        "made_logistic": densities.MADE(N, depth=1, key=key),
        "transformer": densities.CausalTransformer(N, width=8, heads=2, key=key),
        "pixelcnn": densities.PixelCNN(LATTICE, width=4, reach=2, key=key),
        "rnn": densities.RNN(N, width=6, key=key),
        "product": densities.ProductSpins(N, key=key),
        "blanket_lattice": densities.BlanketMADE(lattice_couplings(LATTICE), width=4),
        "blanket_glass_field": densities.BlanketMADE(GLASS, np.linspace(-1, 1, N), width=4),
        "z2": densities.Symmetrised(made, *densities.spin_flip(N)),
        "point_group": densities.Symmetrised(made, *densities.square_lattice(LATTICE)),
    }


@pytest.fixture(params=_all(), scope="module")
def density(request):
    """Each density with random parameters, as after training (fresh ones are uniform)."""
    fresh = _all()[request.param]
    params, static = trainable(fresh)
    leaves, treedef = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(5), len(leaves))
    moved = [x + 0.5 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    return eqx.combine(jax.tree.unflatten(treedef, moved), static)


def _condition(density):
    return None if density.cond_shape is None else jnp.asarray(BETA)


STATES = jnp.array(list(itertools.product([-1.0, 1.0], repeat=N)))


class Found(NamedTuple):
    """What the laws compare, computed in one program."""

    exact: jax.Array  # ln p of every state
    s: jax.Array
    sampled: jax.Array  # ln p of s by the sampler
    log_prob: jax.Array  # and by the density
    jacobian: jax.Array | None  # of the logits


@pytest.fixture(scope="module")
def found(density):
    condition = _condition(density)

    def all_of(key):
        s, sampled = density.sample_and_log_prob(key, (5000,), condition)
        causal = isinstance(density, AbstractAutoregressive)
        jacobian = jax.jacobian(lambda s: density.logits(s, condition))(STATES[123]) if causal else None
        return Found(density.log_prob(STATES, condition), s, sampled, density.log_prob(s, condition), jacobian)

    return jax.jit(all_of)(jax.random.key(2))


@pytest.mark.acceptance
def test_probabilities_of_all_states_sum_to_one(found):
    assert abs(float(jax.nn.logsumexp(found.exact))) < 1e-12


def test_log_prob_of_a_sample_is_its_log_prob(found):
    assert set(np.unique(found.s)) <= {-1.0, 1.0}
    np.testing.assert_allclose(found.sampled, found.log_prob, rtol=0, atol=1e-11)


def test_sample_frequencies_follow_the_density(found):
    for values, state_values in (
        (found.s[:, 0], STATES[:, 0]),
        (found.s[:, 3] * found.s[:, 7], STATES[:, 3] * STATES[:, 7]),
        (found.sampled, found.exact),
    ):
        expected = jnp.sum(jnp.exp(found.exact) * state_values)
        assert abs(values.mean() - expected) < 4.5 * values.std() / np.sqrt(len(values)) + 1e-12


def test_conditionals_see_earlier_spins_only(found):
    if found.jacobian is None:
        pytest.skip("a mixture and a product have no conditionals")
    assert float(jnp.abs(jnp.triu(found.jacobian)).max()) == 0.0


def test_blanket_without_field_is_even_exactly():
    density = densities.BlanketMADE(GLASS, width=4)
    density = eqx.tree_at(
        lambda d: d.coefficients, density, jax.random.normal(jax.random.key(0), density.coefficients.shape)
    )
    log_prob = jax.jit(lambda s: density.log_prob(s, BETA))
    np.testing.assert_allclose(log_prob(STATES), log_prob(-STATES), rtol=0, atol=1e-12)


def test_blanket_starts_exact_when_the_undrawn_spins_do_not_interact():
    couplings = np.array([[0.0, 1.3], [1.3, 0.0]])
    density = densities.BlanketMADE(couplings, np.array([0.3, -0.2]), width=2)
    states = jnp.array(list(itertools.product([-1.0, 1.0], repeat=2)))
    energy = -1.3 * states[:, 0] * states[:, 1] - states @ jnp.array([0.3, -0.2])
    np.testing.assert_allclose(density.log_prob(states, BETA), jax.nn.log_softmax(-BETA * energy), atol=1e-12)


@pytest.mark.parametrize("group", ["z2", "point_group"])
def test_symmetrised_density_is_invariant(group):
    density = _all()[group]
    log_prob = jax.jit(lambda s: density.log_prob(s))
    exact = log_prob(STATES)
    for permutation, sign in zip(density.permutations, density.signs, strict=True):
        np.testing.assert_allclose(log_prob(sign * STATES[:, permutation]), exact, atol=1e-12)


def test_symmetriser_refuses_a_set_that_is_not_a_group():
    shift = np.roll(np.arange(N), 1)
    with pytest.raises(ValueError, match="group"):
        densities.Symmetrised(densities.MADE(N), np.stack([np.arange(N), shift]))
