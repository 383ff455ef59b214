"""Circuits: unitary, gates where they belong, gradients of the undone layers those of plain differentiation."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from massieu.errors import InputError
from massieu.physics.pauli import PauliSum, coupled_spins, eigenstates_of_pairs, heisenberg, ising_in_a_field
from massieu.states.circuit import (
    CONTROLLED_PHASE,
    EXCHANGE,
    GENERATORS,
    NUMBER,
    PAULI,
    REAL,
    Circuit,
    brick_wall,
    rotated_to_x,
)

RING = [(0, 1), (1, 2), (2, 3), (3, 0)]


def _circuit(**options):
    return Circuit(4, RING, 3, scale=0.5, key=jax.random.key(0), **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"generators": GENERATORS[[0, 14]]},
        {"generators": REAL},
        {"generators": NUMBER},
        {"entangler": CONTROLLED_PHASE},
        {"shared": True},
    ],
)
def test_states_of_all_bits_are_orthonormal(options):
    u = np.asarray(jax.jit(lambda: _circuit(**options).matrix())())
    np.testing.assert_allclose(u.conj().T @ u, np.eye(16), atol=1e-12)
    assert np.abs(u - np.diag(np.diag(u))).max() > 0.1


def test_state_is_the_column_of_the_matrix_of_its_bits():
    circuit = _circuit()
    u = jax.jit(lambda: circuit.matrix())()
    np.testing.assert_allclose(jax.jit(lambda x: circuit.state(x))(jnp.array([1, 0, 1, 1])), u[:, 11], atol=1e-13)


@pytest.mark.parametrize("bond", [(0, 1), (1, 3), (3, 0)])
def test_one_gate_is_the_exponential_of_its_generator(bond):
    circuit = Circuit(4, [bond], 1, scale=0.7, key=jax.random.key(1))
    generator = np.zeros((16, 16), complex)
    pairs = [(a, b) for a in range(4) for b in range(4)][1:]
    for angle, (a, b) in zip(np.asarray(circuit.angles[0, 0]), pairs, strict=True):
        kinds = {bond[0]: PAULI[a], bond[1]: PAULI[b]}
        generator += angle * functools.reduce(np.kron, [kinds.get(q, np.eye(2)) for q in range(4)])
    np.testing.assert_allclose(circuit.matrix(), scipy.linalg.expm(-1j * generator), atol=1e-12)


def test_generators_span_all_gates():
    flat = GENERATORS.reshape(15, 16)
    np.testing.assert_allclose(flat.conj() @ flat.T, 4 * np.eye(15), atol=1e-14)
    assert np.allclose(np.trace(GENERATORS, axis1=1, axis2=2), 0)


def test_gradient_of_the_energy_is_that_of_differences():
    circuit = _circuit()
    h = PauliSum.from_terms(ising_in_a_field(RING, 4, 0.8))

    @jax.jit
    def energy(angles):
        psi = eqx.tree_at(lambda c: c.angles, circuit, angles).state(jnp.array([0, 1, 1, 0]))
        return jnp.real(jnp.vdot(psi, h.apply(psi)))

    gradient = jax.grad(energy)(circuit.angles)
    direction = jax.random.normal(jax.random.key(3), circuit.angles.shape)
    step = 1e-5
    slope = (energy(circuit.angles + step * direction) - energy(circuit.angles - step * direction)) / (2 * step)
    np.testing.assert_allclose(jnp.sum(gradient * direction), slope, rtol=1e-7)


def test_batches_of_states_and_their_gradients():
    circuit = _circuit()
    psi = jax.random.normal(jax.random.key(1), (16, 5)) + 0j
    np.testing.assert_allclose(circuit.apply(psi), circuit.matrix() @ psi, atol=1e-12)
    bits = jnp.array([[0, 0, 1, 1], [1, 0, 0, 1]])
    together = jax.jit(jax.vmap(lambda x: circuit.state(x)))(bits)
    np.testing.assert_allclose(together[1], circuit.state(bits[1]), atol=1e-13)


def test_rows_of_bonds_do_not_overlap():
    rows = brick_wall([(i, (i + 1) % 6) for i in range(6)])
    assert len(rows) == 2 and all(len({q for bond in row for q in bond}) == 6 for row in rows)


@pytest.mark.parametrize(("bonds", "layers", "name"), [([], 1, "bonds"), ([(0, 4)], 1, "bonds"), (RING, 0, "layers")])
def test_what_is_no_circuit_is_named(bonds, layers, name):
    with pytest.raises(InputError, match=rf"^{name} = "):
        Circuit(4, bonds, layers, key=jax.random.key(0))


def test_real_gates_keep_states_real_and_number_gates_the_number_of_ones():
    assert not jnp.iscomplexobj(_circuit(generators=REAL).matrix())
    ones = np.bitwise_count(np.arange(16))
    u = np.asarray(_circuit(generators=NUMBER).matrix())
    assert np.abs(u[ones[:, None] != ones]).max() < 1e-14 and np.abs(u - np.diag(np.diag(u))).max() > 0.1


def test_total_spin_is_kept_by_exchange_and_definite_in_coupled_spins():
    spin = PauliSum.from_terms(heisenberg([(i, j) for i in range(4) for j in range(i)], 1.0), 4).matrix()
    v = coupled_spins(4)
    total = v.conj().T @ spin @ v
    np.testing.assert_allclose(total, np.diag(np.diag(total)), atol=1e-10)
    u = np.asarray(_circuit(generators=EXCHANGE).matrix())
    np.testing.assert_allclose(u @ spin, spin @ u, atol=1e-12)


def test_first_gates_are_the_eigenstates_of_their_pairs():
    terms = ising_in_a_field(RING, 4, 0.8)
    pairs = ((0, 1), (2, 3))
    circuit = _circuit(first_bonds=pairs, first=eigenstates_of_pairs(terms, pairs))
    still = eqx.tree_at(lambda c: c.angles, circuit, jnp.zeros_like(circuit.angles))
    inside = [term for term in terms if set(term[1]) <= {0, 1} or set(term[1]) <= {2, 3}]
    h, v = PauliSum.from_terms(inside, 4).matrix(), np.asarray(still.matrix())
    diagonal = v.conj().T @ h @ v
    np.testing.assert_allclose(diagonal, np.diag(np.diag(diagonal)), atol=1e-6)


def test_x_rotation_turns_z_into_x():
    psi = jax.random.normal(jax.random.key(0), (16, 2)) + 0j
    x0 = PauliSum.from_terms([(1.0, {1: "X"})], 4).matrix()
    z0 = PauliSum.from_terms([(1.0, {1: "Z"})], 4).matrix()
    turned = rotated_to_x(psi, 4)
    np.testing.assert_allclose(turned.conj().T @ z0 @ turned, psi.conj().T @ x0 @ psi, atol=1e-12)
