"""Gradients of F of hydrogen are unbiased: against finite differences of F by reweighting the same samples.

A direction is chosen from one half of the samples, and both estimators of the derivative along it are compared on the
other half, sample by sample, with the error of their difference.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from massieu.methods.atoms import chains as electron_chains
from massieu.methods.atoms import train as train_hydrogen
from massieu.methods.method import method_of
from massieu.principle import trainable
from massieu.systems import Hydrogen

pytestmark = pytest.mark.acceptance

STEP = 1e-3


@pytest.fixture(scope="module", autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def moved(part, size, key):
    """The parameters of a part of rho, away from where they start."""
    leaves, shape = jax.tree.flatten(part)
    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(shape, [x + size * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys)])


def sampled(system, rho, groups, per_group, sweeps):
    """Walkers whose electrons have forgotten where they started."""
    walkers = electron_chains.start(system, rho, groups, per_group, jax.random.key(1))
    follow = jax.jit(lambda w, k: electron_chains.follow(system, rho, w, k, "mala", 10)[0])
    for i in range(sweeps):
        walkers = follow(walkers, jax.random.key(i))
    return walkers


def directional(scores, target, direction, shape):
    """target * (scores . direction) of every sample (G, ..)."""
    along = sum(
        jnp.tensordot(s.reshape(*shape, -1), v.reshape(-1), 1)
        for s, v in zip(jax.tree.leaves(scores), jax.tree.leaves(direction), strict=True)
    )
    return np.asarray(target * along)


def from_half(scores, target, groups):
    """A unit vector along the gradient that the first half of the groups give."""
    half = groups // 2

    def of(leaf):
        grouped = leaf.reshape(groups, -1, *leaf.shape[1:])[:half]
        return jnp.tensordot(target.reshape(groups, -1)[:half], grouped, 2)

    found = jax.tree.map(of, scores)
    size = math.sqrt(sum(float(jnp.sum(v**2)) for v in jax.tree.leaves(found)))
    return jax.tree.map(lambda leaf: leaf / size, found)


def agree(ours, difference):
    """Two estimates (G,) of one derivative, on the second half of the groups."""
    ours, difference = (np.asarray(v)[len(ours) // 2 :] for v in (ours, difference))
    error = (ours - difference).std() / math.sqrt(len(ours))
    assert abs((ours - difference).mean()) < 4 * error
    assert abs(ours.mean()) > 4 * error  # there is something to agree on


def shifted(rho, place, direction, by):
    """rho with one of its parts a step along the direction."""
    part, static = trainable(place(rho))
    part = jax.tree.map(lambda x, v: x + by * v, part, direction)
    return eqx.tree_at(place, rho, eqx.combine(part, static))


def compiled(rho, function):
    """function(rho, walkers), compiled once for all values of the parameters."""
    static = eqx.partition(rho, lambda leaf: isinstance(leaf, jax.Array))[1]
    inner = jax.jit(lambda arrays, walkers: function(eqx.combine(arrays, static), walkers))
    return lambda rho, walkers: inner(eqx.partition(rho, lambda leaf: isinstance(leaf, jax.Array))[0], walkers)


def free(rho, system, walkers):
    """E_loc + kT ln p(n|S) (G, W)."""
    at = electron_chains.surroundings(rho, walkers)
    found = electron_chains.energies(system, rho, walkers, at)
    return (found.kinetic + found.potential).real + electron_chains.label_log_probs(rho, walkers, at) / system.beta


def log_density(rho, walkers):
    """ln |Psi|^2 (G, W)."""
    at, x = electron_chains.surroundings(rho, walkers), electron_chains.expanded(walkers)[2]
    return jax.vmap(rho.psi.log_density)(at, x).reshape(walkers.x.shape[:2])


@pytest.fixture(scope="module")
def thermal(x64):
    """Two atoms with thermal electrons, all parts of rho away from their start; energies of the samples."""
    system = Hydrogen(n=2, rs=1.6, temperature=200_000.0, electrons="thermal")
    rho = method_of(system).ansatz(system, method_of(system).configure(system, depth=1, states="flow"))
    places = (lambda r: r.protons, lambda r: r.psi, lambda r: r.occupation)
    for place, size, key in zip(places, (1.0, 0.02, 0.1), jax.random.split(jax.random.key(0), 3), strict=True):
        part, static = trainable(place(rho))
        rho = eqx.tree_at(place, rho, eqx.combine(moved(part, size, key), static))
    rho = eqx.tree_at(lambda r: r.psi, rho, rho.psi.projected())
    walkers = sampled(system, rho, 256, 4, 8)
    energy = compiled(rho, lambda rho, walkers: free(rho, system, walkers))
    return system, rho, walkers, energy(rho, walkers), energy


def test_gradient_of_the_protons_density(thermal):
    system, rho, walkers, local, _ = thermal
    log_prob = jax.jit(lambda z: electron_chains.log_probs(rho, z))(walkers.z)
    f = jnp.mean(local, axis=1) + log_prob / system.beta
    scores = train_hydrogen._scores_protons(trainable(rho.protons)[0], rho, walkers.z)
    direction = from_half(scores, f - f.mean(), len(f))
    ours = directional(scores, f - f.mean(), direction, f.shape)
    at_fixed = compiled(rho, lambda rho, walkers: jax.vmap(rho.protons._log_prob)(walkers.protons))

    def moved_f(by):
        new = at_fixed(shifted(rho, lambda r: r.protons, direction, by), walkers)
        return jnp.exp(new - log_prob) * (jnp.mean(local, axis=1) + new / system.beta - f.mean())

    agree(ours, (moved_f(STEP) - moved_f(-STEP)) / (2 * STEP))


def test_gradient_of_the_occupations(thermal):
    system, rho, walkers, local, _ = thermal
    own, scale = local - jnp.mean(local, axis=1, keepdims=True), 4 / 3  # the mean of four takes away a quarter
    at = electron_chains.surroundings(rho, walkers)
    scores = train_hydrogen._scores_occupation(trainable(rho.occupation)[0], rho, walkers, at)
    direction = from_half(scores, own, len(own))
    ours = scale * directional(scores, own, direction, own.shape).mean(axis=1)
    before = electron_chains.label_log_probs(rho, walkers, at)

    def moved_f(by):
        new = electron_chains.label_log_probs(shifted(rho, lambda r: r.occupation, direction, by), walkers, at)
        return jnp.mean(jnp.exp(new - before) * (own + (new - before) / system.beta), axis=1)

    agree(ours, (moved_f(STEP) - moved_f(-STEP)) / (2 * STEP))


def test_gradient_of_thermal_states(thermal):
    """States are normalised: weights |Psi'|^2/|Psi|^2 need no norm."""
    system, rho, walkers, local, energy = thermal
    own = local - jnp.mean(local, axis=1, keepdims=True)
    at = electron_chains.surroundings(rho, walkers)
    both = train_hydrogen._scores_psi(trainable(rho.psi)[0], system, rho, walkers, at)
    real, imaginary = (
        jax.tree.map(lambda leaf: leaf[: own.size], both),
        jax.tree.map(lambda leaf: leaf[own.size :], both),
    )
    phase = compiled(rho, lambda rho, walkers: electron_chains.energies(
        system, rho, walkers, electron_chains.surroundings(rho, walkers)).kinetic.imag)(rho, walkers)  # fmt: skip
    phase = phase - jnp.mean(phase, axis=1, keepdims=True)
    direction = from_half(real, own, len(own))
    terms = directional(real, own, direction, own.shape) + directional(imaginary, phase, direction, own.shape)
    ours, density = 2 * 4 / 3 * terms.mean(axis=1), compiled(rho, log_density)

    def moved_f(by):
        other = shifted(rho, lambda r: r.psi, direction, by)
        weight = jnp.exp(density(other, walkers) - density(rho, walkers))
        return jnp.mean(weight * (own + energy(other, walkers) - local), axis=1)

    agree(ours, (moved_f(STEP) - moved_f(-STEP)) / (2 * STEP))


def test_gradient_of_the_ground_state():
    """One S, many walkers: F' = sum w E'/sum w with w = |Psi'|^2/|Psi|^2."""
    system = Hydrogen(n=2, rs=1.4, clamped=True)
    rho = method_of(system).ansatz(system, method_of(system).configure(system, width=6, depth=1))
    part, static = trainable(rho.psi)
    rho = eqx.tree_at(lambda r: r.psi, rho, eqx.combine(moved(part, 0.05, jax.random.key(3)), static))
    walkers = sampled(system, rho, 1, 1024, 8)
    energy, density = compiled(rho, lambda rho, walkers: free(rho, system, walkers)), compiled(rho, log_density)
    local = energy(rho, walkers)[0]
    own = local - jnp.mean(local)
    at = electron_chains.surroundings(rho, walkers)
    scores = train_hydrogen._scores_psi(trainable(rho.psi)[0], system, rho, walkers, at)
    direction = from_half(scores, own, len(own))
    ours = 2 * directional(scores, own, direction, own.shape)

    def moved_f(by):
        other = shifted(rho, lambda r: r.psi, direction, by)
        change = (density(other, walkers) - density(rho, walkers))[0]
        weight = jnp.exp(change - jax.scipy.special.logsumexp(change) + math.log(len(change)))
        return weight * (energy(other, walkers)[0] - jnp.mean(local))

    agree(ours, (moved_f(STEP) - moved_f(-STEP)) / (2 * STEP))


@pytest.fixture(scope="module")
def correlated(x64):
    """Two atoms at rest, correlated thermal states: two labels with four walkers each; energies of the samples."""
    system = Hydrogen(n=2, rs=1.6, temperature=200_000.0, electrons="thermal", clamped=True)
    rho = method_of(system).ansatz(system, method_of(system).configure(system, width=4, depth=1))
    part, static = trainable(rho.psi)
    rho = eqx.tree_at(lambda r: r.psi, rho, eqx.combine(moved(part, 0.2, jax.random.key(3)), static))
    walkers = sampled(system, rho, 512, 8, 4)
    energy = compiled(rho, lambda rho, walkers: free(rho, system, walkers))
    return system, rho, walkers, energy(rho, walkers), energy


def test_gradient_of_states_of_unknown_norm(correlated):
    """F of one (S, n) from its four walkers: weights |Phi'|^2/|Phi|^2 less their mean, to first order."""
    system, rho, walkers, local, energy = correlated
    states = electron_chains.states_of(rho, walkers)
    assert states == 2 and np.all(walkers.label[:, 0] == walkers.label[:, 3])
    at = electron_chains.surroundings(rho, walkers)
    own = train_hydrogen._centred(local, states)
    both = train_hydrogen._scores_psi(trainable(rho.psi)[0], system, rho, walkers, at)
    real, imaginary = (
        jax.tree.map(lambda leaf: leaf[: own.size], both),
        jax.tree.map(lambda leaf: leaf[own.size :], both),
    )
    phase = electron_chains.energies(system, rho, walkers, at).kinetic.imag
    phase = train_hydrogen._centred(phase, states)
    direction = from_half(real, own, len(own))
    terms = directional(real, own, direction, own.shape) + directional(imaginary, phase, direction, own.shape)
    ours, density = 2 * 4 / 3 * terms.mean(axis=1), compiled(rho, log_density)

    def moved_f(by):
        other = shifted(rho, lambda r: r.psi, direction, by)
        change = train_hydrogen._centred(density(other, walkers) - density(rho, walkers), states)
        new = energy(other, walkers) - local
        return jnp.mean(4 / 3 * change * own + new, axis=1)

    agree(ours, (moved_f(STEP) - moved_f(-STEP)) / (2 * STEP))
