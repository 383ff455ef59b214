"""Pauli sums: matrices by Kronecker products, exact thermodynamics against independent values, what cannot be read."""

import functools
import itertools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from massieu.errors import InputError
from massieu.exact.qubits import levels, thermal
from massieu.physics.pauli import PauliSum, heisenberg, ising_in_a_field, parse

pytestmark = pytest.mark.quick

ENTRIES = json.loads((Path(__file__).parents[1] / "data" / "quantum_spins.json").read_text())["entries"]
MATRICES = {
    "I": np.eye(2),
    "X": np.array([[0, 1], [1, 0]]),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1, -1]),
}


def _kron(terms, n):
    each = (c * functools.reduce(np.kron, [MATRICES[p.get(q, "I")] for q in range(n)]) for c, p in terms)
    return sum(each)


RANDOM = [
    (float(c), {int(q): k for q, k in zip(np.random.default_rng(i).permutation(4)[:m], "XYZY", strict=False)})
    for i, (c, m) in enumerate(itertools.product([0.7, -1.3], [0, 1, 2, 3, 4]))
]


@pytest.mark.parametrize("terms", [RANDOM, heisenberg([(0, 1), (1, 3)], 1.5), ising_in_a_field([(0, 2)], 4, 0.3)])
def test_matrix_and_application_are_those_of_kronecker_products(terms):
    found, exact = PauliSum.from_terms(terms, 4), _kron(terms, 4)
    np.testing.assert_allclose(found.matrix(), exact, atol=1e-14)
    psi = jax.random.normal(jax.random.key(0), (16,)) + 1j * jax.random.normal(jax.random.key(1), (16,))
    np.testing.assert_allclose(jax.jit(found.apply)(psi), exact @ np.asarray(psi), atol=1e-13)
    assert np.iscomplexobj(found.diagonals) == (terms is RANDOM)


def _bonds(shape, periodic):
    """Nearest neighbours of a lattice in C order; a side of two would be counted once."""
    out = []
    for site in np.ndindex(*shape):
        for axis, side in enumerate(shape):
            other = tuple((s + (a == axis)) % side if periodic else s + (a == axis) for a, s in enumerate(site))
            if other[axis] < side and side > 1:
                out.append(tuple(int(np.ravel_multi_index(s, shape)) for s in (site, other)))
    return out


@functools.cache
def _levels(model):
    kind, boundary, what, strength = model
    shape = {"N8": (8,), "N10": (10,), "3x3": (3, 3)}[what]
    n, bonds = int(np.prod(shape)), _bonds(shape, boundary == "periodic")
    if kind.startswith("heisenberg"):
        return levels(PauliSum.from_terms(heisenberg(bonds, 1.0 if strength == "AFM" else -1.0), n))
    return levels(PauliSum.from_terms(ising_in_a_field(bonds, n, float(strength.removeprefix("G"))), n))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e["key"])
def test_exact_thermodynamics_agree_with_independent_values(entry):
    name, _, beta = entry["key"].rpartition(".beta")
    kind, boundary, what, strength = name.split(".", 3)
    energies = _levels((kind, boundary, what, strength))
    found = thermal(energies, float(beta))
    for quantity in ("lnZ", "E", "S", "C"):
        assert getattr(found, quantity).value == pytest.approx(entry[quantity], rel=1e-9, abs=1e-8), quantity
    assert energies[0] == pytest.approx(entry["E0"], rel=1e-11)


def test_texts_of_both_kinds_are_the_same_terms():
    mine = "# a chain\n-1.0 Z0 Z1\n0.5 X1   # field\n2\n"
    openfermion = "(-1+0j) [Z0 Z1] +\n0.5 [X1] +\n2.0 []"
    one_line = "-1.0 [Z0 Z1] + 0.5 [X1] + 2 []"
    assert parse("1 [Z0] - 0.5 [X1]") == [(1.0, {0: "Z"}), (-0.5, {1: "X"})]
    expected = [(-1.0, {0: "Z", 1: "Z"}), (0.5, {1: "X"}), (2.0, {})]
    assert parse(mine) == parse(openfermion) == parse(one_line) == expected


@pytest.mark.parametrize("text", ["", "Z0 Z1", "1j Z0", "nan Z0", "1.0 Q0", "1.0 Z0 X0", "1.0 Z"])
def test_what_is_no_sum_of_pauli_matrices_is_named(text):
    with pytest.raises(InputError, match=r"^hamiltonian"):
        parse(text)


def test_too_many_qubits_are_refused():
    for bad in (lambda: PauliSum.from_terms([(1.0, {3: "Z"})], 2), lambda: PauliSum.from_terms([(1.0, {99: "X"})]),
                lambda: levels(PauliSum.from_terms([(1.0, {12: "Z"})]))):  # fmt: skip
        with pytest.raises(InputError, match=r"^n = "):
            bad()


def test_expectation_is_differentiable():
    found = PauliSum.from_terms(ising_in_a_field([(0, 1)], 2, 0.7))

    def energy(angle):
        one = jnp.stack([jnp.cos(angle), jnp.sin(angle)])
        psi = jnp.kron(one, one)
        return jnp.vdot(psi, found.apply(psi))

    a = 0.4
    exact = -(np.cos(2 * a) ** 2) - 2 * 0.7 * np.sin(2 * a)
    np.testing.assert_allclose(energy(a), exact, rtol=1e-12)
    np.testing.assert_allclose(jax.grad(energy)(a), 2 * np.sin(4 * a) - 4 * 0.7 * np.cos(2 * a), rtol=1e-12)
