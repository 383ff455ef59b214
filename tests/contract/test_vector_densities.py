"""The laws of the densities of spins for q states and for angles: normalised, sampled as weighed, causal, invariant."""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from massieu import densities
from massieu.densities.relative import relative_angles, strong_tree
from massieu.geometry import lattice_couplings
from massieu.systems import XY, Clock, Potts

N, Q, BETA = 5, 3, 0.7
J = np.triu(np.random.default_rng(3).normal(size=(N, N)) * (np.random.default_rng(4).uniform(size=(N, N)) < 0.7), 1)
J = J + J.T
H = np.random.default_rng(5).normal(size=(N, Q))
ALL = np.array(list(itertools.product(range(Q), repeat=N)))


def _states():
    key = jax.random.key(1)
    clock = Clock(couplings=J, q=Q)
    return {
        "made": densities.StateMADE(N, Q, width=3, depth=3, key=key),
        "made_logistic": densities.StateMADE(N, Q, depth=1, key=key),
        "relative": densities.Relative(densities.StateMADE(N - 1, Q, width=3, key=key), strong_tree(J)),
        "blanket": densities.StateBlanket(J, np.eye(Q), width=4),
        "blanket_fields": densities.StateBlanket(J, np.eye(Q), H, width=4),
        "blanket_clock": densities.StateBlanket(J, clock.directions, width=4),
        "blanket_uncoupled": densities.StateBlanket(np.zeros((N, N)), np.eye(Q), H, width=4),
    }


def _angles():
    return {
        "blanket": densities.AngleBlanket(J, width=4, knots=24),
        "blanket_fields": densities.AngleBlanket(J, H[:, :2], width=4, knots=24),
        "blanket_ring": densities.AngleBlanket(lattice_couplings((1, N)), width=4, knots=24),
        "relative": relative_angles(J, free=True, key=jax.random.key(1), width=4, depth=2),
    }


INVARIANT = ("relative", "blanket", "blanket_clock", "blanket_ring")


class Found(NamedTuple):
    """What the laws compare, computed in one program."""

    exact: jax.Array  # ln p of every state
    s: jax.Array
    sampled: jax.Array  # ln p of s by the sampler
    log_prob: jax.Array  # and by the density
    turned: jax.Array  # and of s turned by one state, or by an angle


def _found(density, x, turned):
    condition = None if density.cond_shape is None else jnp.asarray(BETA)

    def all_of(key):
        s, sampled = density.sample_and_log_prob(key, (4000,), condition)
        log_prob = density.log_prob(s, condition)
        return Found(density.log_prob(x, condition), s, sampled, log_prob, density.log_prob(turned(s), condition))

    return jax.jit(all_of)(jax.random.key(2))


@pytest.fixture(params=_states(), scope="module")
def states(request, moved):
    """Each density with random parameters, as after training."""
    density = moved(_states()[request.param], 0.5)
    return request.param, density, _found(density, ALL, lambda s: jnp.mod(s + 1, Q))


@pytest.fixture(params=_angles(), scope="module")
def angles(request, moved):
    density = moved(_angles()[request.param], 0.3)
    x = np.random.default_rng(0).uniform(-np.pi, np.pi, (20000, N))
    return request.param, density, _found(density, x, lambda s: s + 1.234)


def _check_weights(name, found):
    """ln p of a sample is its ln p, and that of a turned one where p is invariant."""
    np.testing.assert_allclose(found.sampled, found.log_prob, rtol=0, atol=1e-9)
    assert np.allclose(found.turned, found.log_prob, rtol=0, atol=1e-9) == (name in INVARIANT)


def test_probabilities_of_all_states_sum_to_one(states):
    assert abs(float(jax.nn.logsumexp(states[2].exact))) < 1e-12


def test_density_of_angles_integrates_to_one(angles):
    """By as many uniform angles as give two digits."""
    share = np.exp(angles[2].exact) * (2 * np.pi) ** N
    assert abs(share.mean() - 1) < 4.5 * share.std() / np.sqrt(len(share)) < 0.5


def test_log_prob_of_sampled_states_is_their_log_prob_and_invariant_without_fields(states):
    name, _, found = states
    _check_weights(name, found)
    assert found.s.dtype.kind == "i" and set(np.unique(found.s)) <= set(range(Q))


def test_log_prob_of_sampled_angles_is_their_log_prob_and_invariant_without_fields(angles):
    name, _, found = angles
    _check_weights(name, found)
    assert np.all(np.abs(found.s) <= np.pi)


def test_sample_frequencies_follow_the_density(states):
    _, _, found = states
    p = np.exp(found.exact)
    for sampled, expected in (
        (found.s[:, 0] == 1, ALL[:, 0] == 1),
        (found.s[:, 1] == found.s[:, 4], ALL[:, 1] == ALL[:, 4]),
        (found.sampled, found.exact),
    ):
        assert abs(np.mean(sampled) - p @ expected) < 4.5 * np.std(sampled) / np.sqrt(len(sampled)) + 1e-12


def test_angles_are_drawn_as_the_density_says(angles):
    """<cos(theta_1 - theta_3)> of samples and by uniform angles with the density as weight."""
    _, _, found = angles
    x = np.random.default_rng(0).uniform(-np.pi, np.pi, (20000, N))
    drawn, weighed = np.cos(found.s[:, 1] - found.s[:, 3]), np.cos(x[:, 1] - x[:, 3])
    weight = np.exp(found.exact) * (2 * np.pi) ** N
    mean = np.mean(weight * weighed)
    error = np.hypot(drawn.std() / np.sqrt(len(drawn)), np.std(weight * weighed) / np.sqrt(len(x)))
    assert abs(drawn.mean() - mean) < 4.5 * error


def test_conditionals_see_earlier_sites_only(states):
    name, density, _ = states
    if name == "relative":
        pytest.skip("in its base")
    condition = None if density.cond_shape is None else jnp.asarray(BETA)
    logits = jax.jit(lambda s: jax.nn.log_softmax(density.logits(s, condition), axis=-1))
    before = logits(jnp.asarray(ALL[100], float))
    for k in range(N):
        after = logits(jnp.asarray(ALL[100], float).at[k:].set(Q - 1.0 - ALL[100][k:]))
        np.testing.assert_allclose(after[: k + 1], before[: k + 1], atol=1e-12)


@pytest.mark.parametrize("kind", [Potts, Clock, XY])
def test_blanket_starts_exact_when_the_undrawn_sites_do_not_interact(kind):
    system = kind("2", j=1.3, beta=BETA)
    density = system.default_density(0)
    x, log_prob = density.sample_and_log_prob(jax.random.key(0), (50,), jnp.asarray(BETA))
    exact = system.known().best.lnZ.value
    boltzmann = -BETA * jax.vmap(system.energy)(x) - exact
    np.testing.assert_allclose(log_prob, boltzmann, atol=1e-12 if kind is not XY else 5e-2)


def test_a_strong_tree_takes_the_strongest_bonds():
    couplings = np.array([[0, 1, 3.0], [1, 0, 2.0], [3, 2, 0.0]])
    np.testing.assert_array_equal(strong_tree(couplings), [0, 2, 0])
    np.testing.assert_array_equal(strong_tree(np.zeros((3, 3))), [0, 0, 0])
