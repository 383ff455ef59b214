"""Laws of the neural renormalisation group: a bijection between a field and independent normal latent variables."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from massieu import densities
from massieu.errors import InputError
from massieu.principle import trainable

pytestmark = pytest.mark.acceptance

HIERARCHIES = {
    "square": lambda key: densities.NeuralRG((4, 4), depth=1, width=2, spectrum=SPECTRUM, key=key),
    "odd_top": lambda key: densities.NeuralRG((2, 6), depth=1, width=2, smear=False, key=key),
    "chain": lambda key: densities.NeuralRG((9,), block=3, depth=1, width=2, pairs=2, key=key),
}
SPECTRUM = 1 / np.sqrt(1 + np.add.outer(*[2 - 2 * np.cos(np.arange(4) * np.pi / 2)] * 2))


@pytest.fixture(params=HIERARCHIES, scope="module")
def density(request, moved):
    return moved(HIERARCHIES[request.param](jax.random.key(1)), 0.3)


@pytest.fixture(scope="module")
def laws(density):
    """x, ln p(x), d ln p/dx of the sampler; ln p, its gradient, latents, their Jacobian, fields at x; all once."""

    def all_of(key):
        x, log_prob = density._sample_and_log_prob(key)
        drawn = x, log_prob, density.sample_and_score(key)
        latents = density.latents(x)
        jacobian = jax.jacfwd(lambda x: ravel_pytree(density.latents(x))[0])(x).reshape(x.size, x.size)
        value, gradient = jax.value_and_grad(density._log_prob)(x)
        mirrored = density._log_prob(-x), density.latents(-x)
        return drawn, value, gradient, latents, jacobian, density.renormalised(x), density.field(latents), mirrored

    return jax.jit(all_of)(jax.random.key(3))


def test_log_prob_is_that_of_the_sampler(density, laws):
    (x, log_prob, (again, same, score)), value, gradient, *_ = laws
    assert x.shape == density.shape
    np.testing.assert_allclose([log_prob, same], value, rtol=1e-10)
    np.testing.assert_allclose(again, x, rtol=1e-12)
    np.testing.assert_allclose(score, gradient, rtol=1e-9, atol=1e-9)


def test_field_of_latents_is_the_inverse(laws):
    (x, *_), _, _, _, jacobian, _, (back, log_det), _ = laws
    np.testing.assert_allclose(back, x, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(-log_det, np.linalg.slogdet(jacobian)[1], rtol=1e-9, atol=1e-9)


def test_log_prob_follows_from_the_jacobian(laws):
    _, value, _, latents, jacobian, *_ = laws
    z = ravel_pytree(latents)[0]
    exact = -0.5 * jnp.sum(z**2) - 0.5 * z.size * np.log(2 * np.pi) + np.linalg.slogdet(jacobian)[1]
    np.testing.assert_allclose(value, exact, rtol=1e-9)


def test_maps_are_odd(laws):
    _, value, _, latents, _, _, _, (of_mirrored, mirrored) = laws
    np.testing.assert_allclose(of_mirrored, value, rtol=1e-12)
    for z, image in zip(latents, mirrored, strict=True):
        np.testing.assert_allclose(image, -z, rtol=1e-12)


def test_variables_are_counted_once(density, laws):
    (x, *_), _, _, latents, _, fields, *_ = laws
    assert sum(z.size for z in latents) == x.size and latents[-1].shape == fields[-1].shape
    np.testing.assert_array_equal(fields[0], x)
    for finer, coarser in itertools.pairwise(fields):
        assert finer.shape == tuple(density.block * side for side in coarser.shape)


def test_starts_from_the_free_field():
    density = densities.NeuralRG((4, 4), width=3, spectrum=SPECTRUM, key=jax.random.key(0))
    free = densities.GaussianField((4, 4), SPECTRUM)
    x = free.sample(jax.random.key(1))
    np.testing.assert_allclose(jax.jit(lambda x: density._log_prob(x))(x), free._log_prob(x), rtol=1e-12)


def test_renormalised_field_starts_as_the_block_mean():
    density = densities.NeuralRG((4, 4), smear=False, depth=1, width=2, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (4, 4))
    blocks = jnp.roll(x, (-2, -2), (0, 1)).reshape(2, 2, 2, 2)  # two layers, half a block each
    coarse = blocks.sum(axis=(1, 3)) / 2
    np.testing.assert_allclose(jax.jit(lambda x: density.renormalised(x))(x)[1], coarse, rtol=1e-12)


def test_rotations_are_no_parameters():
    params, _ = trainable(densities.NeuralRG((4, 4), depth=1, width=1, smear=False, key=jax.random.key(0)))
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(eqx.filter(params, eqx.is_array)))
    coupling = 2 + 1 + 2 + 2 + 2 + 2  # weight, bias, shift, log_scale, exponent, sharpness
    layer = 6 + 6 + 4 + 2 * coupling
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 2 * layer + layer + 2 * coupling


def test_mean_over_translations_is_invariant_and_a_density():
    density = densities.Translated(densities.GaussianField((3,), np.array([2.0, 1.0, 1.0])), np.arange(3)[:, None])
    x, log_prob = density.sample_and_log_prob(jax.random.key(0), (4,))
    np.testing.assert_allclose(density.log_prob(jnp.roll(x, 1, axis=1)), log_prob, rtol=1e-12)


@pytest.mark.parametrize(("sides", "count"), [((3, 3), 72), ((2, 4), 16), ((5,), 10), ((9, 9), 81)])
def test_symmetries_of_a_torus_form_a_group(sides, count):
    group = densities.torus_symmetries(sides)
    assert len(group) == count
    densities.Symmetrised(densities.MADE(n=int(np.prod(sides)), width=1), group)  # refuses what is not a group


@pytest.mark.parametrize("sides", [(7, 7), (14, 14), (36, 37)])
def test_sides_that_do_not_halve_are_refused(sides):
    with pytest.raises(InputError, match="neural-rg"):
        densities.NeuralRG(sides, key=jax.random.key(0))


@pytest.mark.parametrize("options", [{"depth": 0}, {"width": 0}, {"block": 1}])
def test_sizes_below_the_least_are_refused(options):
    with pytest.raises(InputError):
        densities.NeuralRG((4, 4), key=jax.random.key(0), **options)
