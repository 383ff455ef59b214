"""Laws of p(K): sums to one over all sets, starts as the exact ideal gas, samples what it says."""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from massieu.densities.ideal_occupation import IdealOccupation
from massieu.densities.occupation import Occupation, _pair_classes
from massieu.geometry import integer_vectors
from massieu.physics.fermi_gas import ideal_gas
from massieu.principle import trainable

BETA = 0.7


def _gas(spins, depth, twists=1):
    vectors = integer_vectors(2, 1.5)
    twist = np.array([[0.25, 0.25], [-0.1, 0.3]])[:twists, None]
    momenta = vectors + twist
    levels = np.sum(momenta**2, axis=-1)
    p = Occupation(momenta, -BETA * levels, spins, depth=depth, width=8, key=jax.random.key(0))
    of_spin = [itertools.combinations(range(len(vectors)), count) for count in spins]
    sets = np.array([sum(parts, ()) for parts in itertools.product(*of_spin)])
    return p, levels, sets


def _labels(sets, q=0):
    return jnp.asarray(np.concatenate([np.full((len(sets), 1), q), sets], axis=1))


def _moved(p):
    params, static = trainable(p)
    leaves, treedef = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(5), len(leaves))
    moved = [x + 0.5 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    return eqx.combine(jax.tree.unflatten(treedef, moved), static)


@pytest.mark.parametrize("spins", [(3,), (2, 2), (3, 1)])
@pytest.mark.parametrize("depth", [0, 1])
def test_starts_as_the_exact_ideal_gas_without_pretraining(spins, depth):
    p, levels, sets = _gas(spins, depth)
    log_prob = np.asarray(jax.vmap(p.log_prob)(_labels(sets)))
    energy = levels[0][sets].sum(axis=1)
    free = float(np.sum(np.exp(log_prob) * (energy + log_prob / BETA)))
    assert free == pytest.approx(sum(ideal_gas(levels[0], count, BETA).F for count in spins), rel=1e-12)


@pytest.mark.parametrize(("spins", "depth", "twists"), [((3,), 1, 1), ((2, 2), 1, 1), ((3,), 0, 2), ((3,), 1, 2)])
def test_sums_to_one_over_all_sets_whatever_the_parameters(spins, depth, twists):
    p, _, sets = _gas(spins, depth, twists)
    for q in range(twists):
        log_prob = jax.vmap(_moved(p).log_prob)(_labels(sets, q))
        assert float(jnp.sum(jnp.exp(log_prob))) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("spins", "twists"), [((3,), 1), ((2, 1), 2)])
def test_cached_sampling_draws_from_p_with_its_log_prob(spins, twists):
    p, _, sets = _gas(spins, 1, twists)
    p = _moved(p)
    labels, log_prob = jax.jit(jax.vmap(p.sample_and_log_prob))(jax.random.split(jax.random.key(1), 8000))
    np.testing.assert_allclose(jax.jit(jax.vmap(p.log_prob))(labels), log_prob, atol=1e-10)
    first = np.asarray(labels)[:, 1 : 1 + spins[0]]
    assert np.all(np.diff(first, axis=1) > 0)
    entropies = []
    for q in range(twists):
        exact = np.asarray(jax.vmap(p.log_prob)(_labels(sets, q)))
        entropies.append(-np.sum(np.exp(exact) * exact))
    error = float(jnp.std(log_prob)) / math.sqrt(len(log_prob))
    assert abs(-float(jnp.mean(log_prob)) - np.mean(entropies)) < 4.5 * error


@pytest.mark.parametrize(("spins", "twists"), [((3,), 1), ((3, 1), 1), ((2, 2), 2)])
def test_without_interactions_it_is_the_same_ideal_gas(spins, twists):
    p, levels, sets = _gas(spins, 0, twists)
    momenta = integer_vectors(2, 1.5) + np.array([[0.25, 0.25], [-0.1, 0.3]])[:twists, None]
    hot = _moved(IdealOccupation(momenta, -BETA * levels, spins))
    for q in range(twists):
        ideal = IdealOccupation(momenta, -BETA * levels, spins)
        labels = _labels(sets, q)
        np.testing.assert_allclose(jax.vmap(ideal.log_prob)(labels), jax.vmap(p.log_prob)(labels), atol=1e-11)
        assert float(jnp.sum(jnp.exp(jax.vmap(hot.log_prob)(_labels(sets, q))))) == pytest.approx(1, abs=1e-12)
    label, log_prob = jax.jit(jax.vmap(hot.sample_and_log_prob))(jax.random.split(jax.random.key(1), 20_000))
    np.testing.assert_allclose(log_prob, jax.vmap(hot.log_prob)(label), atol=1e-11)
    for q in range(twists):
        found, count = np.unique(np.asarray(label[label[:, 0] == q]), axis=0, return_counts=True)
        expected = count.sum() * np.exp(np.asarray(jax.vmap(hot.log_prob)(_labels(sets, q))))
        seen = np.zeros(len(sets))
        order = {tuple(row): i for i, row in enumerate(sets.tolist())}
        seen[[order[tuple(row)] for row in found[:, 1:].tolist()]] = count
        often = expected > 5
        chi2 = np.sum((seen - expected)[often] ** 2 / expected[often]) / often.sum()
        assert abs(chi2 - 1) < 5 * math.sqrt(2 / often.sum())


@pytest.mark.parametrize("twist", [(0.0, 0.0), (0.25, 0.0), (0.1, 0.3)])
def test_pairs_are_one_class_where_both_lengths_and_their_distance_are_alike(twist):
    k = integer_vectors(2, 2.3) + np.array(twist)
    classes, seen = _pair_classes(k, two_spins=False)[0], {}
    for i, j in itertools.product(range(len(k)), repeat=2):
        lengths = sorted(round(float(np.sum(k[a] ** 2)), 6) for a in (i, j))
        alike = seen.setdefault((*lengths, round(float(np.sum((k[i] - k[j]) ** 2)), 6)), classes[i, j])
        assert classes[i, j] == alike
    assert len(seen) == classes.max() + 1
