"""States of trapped particles: orbitals, samplers, and what the flow must keep whatever its coefficients are."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import massieu as ms
from massieu.methods.method import method_of
from massieu.observables.overlaps import overlaps
from massieu.physics.kinetic import local_kinetic
from massieu.states.oscillator import hermite_functions, orbital_jet, orbital_values, quantum_numbers

CASES = {
    "three of one spin": {"n": 3},
    "two of each spin": {"n": 4, "polarised": False},
    "three in space": {"n": 3, "dim": 3},
    "three on a line": {"n": 3, "dim": 1},
    "bosons": {"n": 3, "statistics": "bose"},
    "distinguishable": {"n": 3, "statistics": "boltzmann"},
}


def _moved(options, size=0.3):
    system = ms.QuantumDot(beta=2.0, shells=3, **options)
    rho = system.default_ansatz(
        method_of(system).configure(system, depth=2 if options == CASES["three of one spin"] else 1)
    )
    coefficients = size * jax.random.normal(jax.random.key(1), rho.psi.flow.coefficients.shape)
    psi = eqx.tree_at(lambda psi: psi.flow.coefficients, rho.psi, coefficients).projected()
    return system, eqx.tree_at(lambda rho: rho.psi, rho, psi)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.acceptance
def test_orbitals_solve_the_oscillator_and_know_their_derivatives(dim):
    numbers = jnp.asarray(quantum_numbers(dim, 4))
    z = jax.random.normal(jax.random.key(0), (5, dim))
    jet = orbital_jet(numbers, z, 3)

    def values(point):
        return orbital_values(numbers, point[None], 3)[:, 0]

    np.testing.assert_allclose(jet.first, jax.vmap(jax.jacfwd(values), out_axes=1)(z), atol=1e-13)
    np.testing.assert_allclose(jet.second, jax.vmap(jax.jacfwd(jax.jacfwd(values)), out_axes=1)(z), atol=1e-13)
    kinetic = -0.5 * jnp.einsum("npaa->np", jet.second)
    energy = np.sum(numbers, axis=1) + dim / 2
    potential = 0.5 * jnp.sum(z**2, axis=1)[None] * jet.value
    np.testing.assert_allclose(kinetic + potential, energy[:, None] * jet.value, atol=1e-12)


def test_orbitals_are_orthonormal():
    x = np.linspace(-9, 9, 181)
    points = jnp.asarray(np.stack(np.meshgrid(x, x), axis=-1).reshape(-1, 2))
    phi = np.asarray(orbital_values(jnp.asarray(quantum_numbers(2, 6)), points, 5))
    np.testing.assert_allclose(phi.conj() @ phi.T * 0.01, np.eye(len(phi)), atol=1e-12)
    h = np.asarray(hermite_functions(jnp.asarray(x), 8))
    np.testing.assert_allclose(h @ h.T * 0.1, np.eye(9), atol=1e-12)


@pytest.mark.parametrize("name", ["three of one spin", "two of each spin", "three on a line", "bosons"])
@pytest.mark.acceptance
def test_local_energy_is_that_of_differentiation_and_the_map_a_bijection(name):
    _, rho = _moved(CASES[name])
    psi = rho.psi

    @jax.jit
    def both(key):
        draw = rho.draw(key, 6)
        local = jax.vmap(psi.local)(draw.label, draw.z)
        oracle = jax.vmap(lambda n, x, z: (local_kinetic(lambda y: psi.log_psi(n, y, z), x), psi.log_psi(n, x, z)))
        return draw, local, oracle(draw.label, local.x, draw.z), jax.vmap(psi.inverse)(draw.label, local.x)

    draw, local, (kinetic, log_psi), back = both(jax.random.key(0))
    np.testing.assert_allclose(local.kinetic, kinetic, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(local.log_abs, log_psi.real, atol=1e-10)
    np.testing.assert_allclose(back, draw.z, atol=1e-9)
    assert local.least.min() > 0.05 and np.abs(local.x - draw.z).max() > 0.02


def test_log_det_is_that_of_autodiff_and_the_map_equivariant():
    _, rho = _moved(CASES["two of each spin"])
    flow, z = rho.psi.flow, jax.random.normal(jax.random.key(3), (4, 2))
    c = flow.of_sector(jnp.asarray(2))
    x, log_det = flow(c, z)
    jacobian = jax.jacfwd(lambda flat: flow(c, flat.reshape(4, 2))[0].reshape(-1))(z.reshape(-1))
    np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobian)[1], atol=1e-12)
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    swap = [1, 0, 3, 2]
    np.testing.assert_allclose(flow(c, z @ turn.T + 1.5)[0], x @ turn.T + 1.5, atol=1e-12)
    np.testing.assert_allclose(flow(c, z[jnp.array(swap)])[0], x[jnp.array(swap)], atol=1e-12)


@pytest.mark.parametrize("name", ["three of one spin", "distinguishable"])
def test_scores_are_derivatives_of_ln_psi_at_fixed_x(name):
    _, rho = _moved(CASES[name])
    psi, draw = rho.psi, rho.draw(jax.random.key(5), 1)
    label, z = draw.label[0], draw.z[0]
    local = psi.local(label, z)
    scores = psi.scores(label, z, local.gradient).flow.coefficients
    direction = jax.random.normal(jax.random.key(6), psi.flow.coefficients.shape)

    @jax.jit
    def log_psi(step):
        moved = eqx.tree_at(lambda p: p.flow.coefficients, psi, psi.flow.coefficients + step * direction)
        return moved.log_psi(label, local.x, moved.inverse(label, local.x))

    slope = (log_psi(1e-5) - log_psi(-1e-5)) / 2e-5
    np.testing.assert_allclose(jnp.sum(scores[0] * direction), slope.real, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jnp.sum(scores[1] * direction), slope.imag, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_base_states_are_sampled_with_the_energy_of_the_oscillator(name):
    """<r^2> = E in every state of the oscillator, and the local energy is E at every sample."""
    system, rho = _moved(CASES[name], size=0.0)
    draw = jax.jit(lambda key: rho.draw(key, 3000))(jax.random.key(7))
    energy = jnp.sum(jnp.asarray(rho.psi.orbitals)[draw.label[:, 1:]], axis=(1, 2)) + 0.5 * system.n * system.dim
    difference = np.asarray(jnp.sum(draw.z**2, axis=(1, 2)) - energy)
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(len(difference))
    local = jax.jit(jax.vmap(rho.psi.local))(draw.label[:50], draw.z[:50])
    total = 0.5 * local.kinetic.real + 0.5 * jnp.sum(local.x**2, axis=(1, 2))
    np.testing.assert_allclose(total, energy[:50], rtol=1e-7)


def test_states_are_orthonormal_whatever_the_flow():
    _, rho = _moved(CASES["three of one spin"])
    labels = jnp.array([[0, 0, 1, 2], [0, 0, 1, 5], [0, 0, 2, 3], [0, 0, 1, 3], [0, 0, 2, 4]])
    found = overlaps(rho.psi, labels, jax.random.key(8), 3000)
    assert found.residual < 1e-9
    assert np.all(np.abs(found.value - np.eye(len(labels))) < 4 * found.error + 1e-9)
    assert found.error.max() < 0.06


def test_two_particles_on_a_line_are_orthonormal_by_quadrature():
    _, rho = _moved({"n": 2, "dim": 1})
    labels = jnp.array([[0, 0, 1], [0, 0, 2], [0, 1, 2]])
    grid = np.linspace(-6, 6, 241)
    both = np.meshgrid(grid, grid + 0.0137, indexing="ij")  # off the nodes
    x = jnp.asarray(np.stack(both, axis=-1).reshape(-1, 2, 1))

    @jax.jit
    def amplitude(label, x):
        return jnp.exp(rho.psi.log_psi(label, x, rho.psi.inverse(label, x)))

    psi = jnp.stack([jax.lax.map(lambda x, n=n: amplitude(n, x), x, batch_size=500) for n in labels])
    np.testing.assert_allclose(psi.conj() @ psi.T * 0.05**2, np.eye(3), atol=2e-3)
