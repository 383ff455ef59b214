"""The measured Hamiltonian between determinants: exact without a flow, variational and orthonormal with one."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import massieu as ms
from massieu.methods.particles.options import ParticleOptions
from massieu.methods.particles.remixing import Remixing
from massieu.methods.particles.train import problem, weigh
from massieu.physics.ewald import madelung
from massieu.physics.plane_wave_matrix import small_matrix
from massieu.states import dressing
from massieu.states.density_matrix import Draw

pytestmark = pytest.mark.acceptance

GAS = {"n": 3, "rs": 5.0, "theta": 0.3, "cutoff": 9, "mix": 12}


def _start(**changes):
    gas = ms.ElectronGas(**(GAS | changes))
    return gas, gas.default_ansatz(ParticleOptions(batch=64, seed=1))


def _without_flow(rho):
    return eqx.tree_at(lambda r: r.psi.flow.coefficients, rho, jnp.zeros_like(rho.psi.flow.coefficients))


@pytest.mark.parametrize("changes", [{}, {"n": 2, "polarised": False, "cutoff": 5}])
def test_without_a_flow_it_is_the_bare_hamiltonian(changes):
    """Within the noise of what leads out of the block."""
    gas, rho = _start(**changes)
    rho = _without_flow(rho)
    remixing = Remixing.of(gas, rho)
    unit = gas.kinetic_scale * (2 * np.pi) ** 2
    coupling = 2 * gas.length / (2 * np.pi) ** 2
    vectors, m = rho.psi.orbitals, len(rho.psi.orbitals)
    spin = np.repeat(np.arange(len(gas.spins)), gas.spins)
    for family in remixing.families[:2]:
        block = [tuple(s) for s in (family.sets + m * spin).tolist()]
        kinetic = np.sum(vectors[family.sets] ** 2, axis=(1, 2))
        bare = unit * (np.diag(kinetic) + coupling * small_matrix(np.array(block), vectors))
        bare += gas.n * madelung(gas.dim) / gas.length * np.eye(len(bare))
        measure = jax.jit(
            lambda key, f=family: dressing.moments(rho.psi, gas, jnp.asarray(f.sets), len(f.sets), f.total, key, 8000)
        )
        found = np.array([dressing.hamiltonian(measure(jax.random.key(i)), family) for i in range(16)])
        error = found.std(axis=0) / np.sqrt(len(found) - 1)
        assert np.max(error) < 0.05 * np.abs(bare).max()
        assert np.all(np.abs(found.mean(axis=0) - bare) < 4.5 * error + 1e-12)


@pytest.fixture(scope="module")
def measured(steps=12):
    """A short training with one measurement near its end: problem, system, state."""
    gas, rho = _start()
    training = problem(gas, rho, gas.beta, ParticleOptions(batch=128, seed=1, steps=steps, remix=steps // 2))
    state = training.start
    with jax.enable_x64(True):
        for _ in range(steps):
            state = training.step(training.between_steps(state))[0]
    return training, gas, state


def test_measured_states_are_orthonormal_and_have_the_energies_that_p_was_given(measured):
    training, gas, state = measured
    assert not np.allclose(state.frame.states, training.start.frame.states)
    rho = training.density(state)
    mixing, sets = rho.psi.mixing, rho.psi.mixing.all_sets()
    partners, amplitudes = map(np.asarray, jax.vmap(mixing.expand)(jnp.asarray(sets)))
    change = np.zeros((len(sets), len(sets)), complex)
    for row in range(len(sets)):
        np.add.at(change[row], mixing.ranks(partners[row]), amplitudes[row])
    np.testing.assert_allclose(change @ change.conj().T, np.eye(len(sets)), atol=1e-10)
    energies = -np.asarray(state.frame.log_weights[0]) / gas.beta
    lowest, found = np.argsort(energies)[:12], []
    for rank in lowest:
        labels = jnp.tile(jnp.concatenate([jnp.zeros(1, int), jnp.asarray(sets[rank])]), (2000, 1))
        z = rho.psi.sample(jax.random.key(3), labels)
        energy = np.asarray(weigh(rho, gas, Draw(labels, jnp.zeros(2000), z)).energy.real)
        found.append((energy.mean(), energy.std() / np.sqrt(2000)))
    values, errors = np.array(found).T
    miss = values - energies[lowest]
    assert np.all(errors < 0.01)
    assert np.all(np.abs(miss - miss.mean()) < 0.01 + 4.5 * errors)


def test_symmetric_blocks_share_their_states_up_to_the_symmetry(measured):
    """States of the momenta (1, 0) and (0, 1) have the same energies, although one of them was not measured."""
    training, gas, state = measured
    rho = training.density(state)
    mixing, vectors = rho.psi.mixing, rho.psi.orbitals
    energies = -np.asarray(state.frame.log_weights[0]) / gas.beta
    total = vectors[mixing.all_sets()].sum(axis=1)
    one, other = (np.flatnonzero(np.all(total == p, axis=1) & (mixing.slot >= 0)) for p in ([1, 0], [0, 1]))
    np.testing.assert_allclose(np.sort(energies[one]), np.sort(energies[other]), atol=1e-12)
    means = []
    for ranks in (one, other):
        rank = ranks[np.argmin(energies[ranks])]
        labels = jnp.tile(jnp.concatenate([jnp.zeros(1, int), jnp.asarray(mixing.all_sets()[rank])]), (4000, 1))
        z = rho.psi.sample(jax.random.key(4), labels)
        energy = np.asarray(weigh(rho, gas, Draw(labels, jnp.zeros(4000), z)).energy.real)
        means.append((energy.mean(), energy.std() / np.sqrt(4000)))
    (a, da), (b, db) = means
    assert abs(a - b) < 4.5 * np.hypot(da, db)


def test_the_density_of_a_run_can_be_trained_further(measured):
    """The measured states stay constants, and are where the next training starts from."""
    training, gas, state = measured
    rho = training.density(state)
    for remix in (0, 2):
        further = problem(gas, rho, gas.beta, ParticleOptions(batch=32, seed=2, steps=4, remix=remix))
        new, metrics = further.step(further.start)
        np.testing.assert_array_equal(further.density(new).psi.mixing.dressed.states, state.frame.states)
        assert np.isfinite(float(metrics["F"]))
