"""Lattices by name, and spins on them: neighbours, boundaries, exact values, and what is refused."""

import numpy as np
import pytest
import scipy.sparse

import massieu as ms
from massieu.geometry import lattice_couplings

NEIGHBOURS = {"chain": 2, "square": 4, "cubic": 6, "triangular": 6, "honeycomb": 3, "kagome": 4, "3x3x3x3": 8}


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_every_site_has_the_neighbours_of_its_lattice(name):
    lattice = ms.lattice(name)
    assert set(lattice.couplings().sum(axis=1)) == {NEIGHBOURS[name]}
    inside = ms.lattice(name, boundary="open")
    apart = inside.positions[inside.bonds[:, 0]] - inside.positions[inside.bonds[:, 1]]
    length = np.linalg.norm(apart, axis=1)
    np.testing.assert_allclose(length, length[0])  # all bonds of an open lattice are as long
    assert len(inside.bonds) < len(lattice.bonds)


@pytest.mark.parametrize("sides", [(8, 8), (2, 4), (1, 5), (3, 3)])
@pytest.mark.parametrize("boundary", ["periodic", "open"])
def test_a_square_lattice_is_that_of_ising(sides, boundary):
    found = ms.lattice("square", "x".join(map(str, sides)), boundary).couplings()
    np.testing.assert_array_equal(found, lattice_couplings(sides, 1.0, boundary == "periodic"))


def test_frustrated_ground_states():
    """Exact entropies of degenerate ground states, and energies: one of three bonds of each triangle is broken."""
    triangular = ms.Spins(couplings=-ms.lattice("triangular", "3x3").couplings(), beta=40.0).known().best
    assert triangular.E.value == pytest.approx(-9.0)  # 27 bonds, a third of them broken
    kagome = ms.Spins(couplings=-ms.lattice("kagome", "2x2").couplings(), beta=40.0).known().best
    assert kagome.E.value == pytest.approx(-8.0)  # 24 bonds
    assert np.exp(kagome.S.value) == pytest.approx(round(np.exp(kagome.S.value)), abs=1e-6)


def test_couplings_of_one_s_own_in_every_form():
    lattice = ms.lattice("honeycomb", "2x2")
    J, h = lattice.couplings(0.7), np.linspace(-0.5, 0.5, lattice.n)
    known = ms.Spins(couplings=J, fields=h, beta=0.8).known().best
    for given in (scipy.sparse.csr_array(J), np.triu(J), lattice.couplings(np.full(len(lattice.bonds), 0.7))):
        assert ms.Spins(couplings=given, fields=h, beta=0.8).known().best.F == known.F
    assert np.array_equal(ms.Spins(couplings=lattice).couplings, lattice.couplings())
    with pytest.raises(ms.InputError, match="couplings = None: must be given"):
        ms.Spins()
    with pytest.raises(ms.InputError, match="fields"):
        ms.Spins(couplings=J, fields=np.ones(3))


def test_a_graph_of_networkx():
    networkx = pytest.importorskip("networkx")
    graph = networkx.cycle_graph(8)
    ring = ms.Ising(shape="8", beta=0.7).known().best
    assert ms.Spins(couplings=graph, beta=0.7).known().best.F.value == pytest.approx(ring.F.value)
    graph[0][1]["weight"] = -1.0
    frustrated = ms.Spins(couplings=graph, beta=20.0).known().best
    assert frustrated.E.value == pytest.approx(-6.0)
    assert frustrated.S.value == pytest.approx(np.log(16), abs=1e-9)


def test_qubits_on_a_lattice():
    lattice = ms.lattice("chain", "6")
    text = lattice.pauli({"ZZ": -1.0}, {"X": -0.7})
    exact = ms.TransverseIsing(shape="6", gamma=0.7, beta=1.3).known().best
    assert ms.Qubits(hamiltonian=text, beta=1.3).known().best.F.value == pytest.approx(exact.F.value)


@pytest.mark.parametrize(("dim", "l"), [(2, 3), (3, 2)])
@pytest.mark.parametrize("disorder", ["pm", "gaussian"])
def test_edwards_anderson_is_its_own_sum_over_states(dim, l, disorder):
    glass = ms.EdwardsAnderson(l=l, dim=dim, disorder=disorder, couplings_seed=3, beta=0.9, h=0.2)
    n = l**dim
    states = 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    bonds = ms.lattice("x".join([str(l)] * dim)).bonds
    rng = np.random.default_rng(3)
    j = rng.choice([-1.0, 1.0], len(bonds)) if disorder == "pm" else rng.normal(size=len(bonds))
    energy = -(states[:, bonds[:, 0]] * states[:, bonds[:, 1]]) @ j - 0.2 * states.sum(axis=1)
    lnZ = np.logaddexp.reduce(-0.9 * energy)
    assert glass.known().best.F.value == pytest.approx(-lnZ / 0.9, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("triangle",), "lattice = triangle: must be one of .* \\(did you mean triangular\\?\\)"),
        (("square", "4"), "shape = 4: must be of 2 sides for square"),
        (("square", "4x0"), "shape = 4x0: must be positive integers"),
        (("cubic", "40x40x40"), "shape = 40x40x40: must be of at most 4096 sites"),
        (("square", "4x4", "twisted"), "boundary = twisted"),
        (("4294967296x4294967296",), "must be of at most 4096 sites"),
    ],
)
def test_what_is_no_lattice_is_refused(arguments, message):
    with pytest.raises(ms.InputError, match=message):
        ms.lattice(*arguments)


def test_terms_of_a_bond_are_of_two_matrices():
    for pair, single in (({"ZZZ": 1.0}, None), ({"Z": 1.0}, None), ({"ZZ": 1.0}, {"XX": 1.0}), ({"zz": 1.0}, None)):
        with pytest.raises(ms.InputError, match="of the letters X, Y, Z"):
            ms.lattice("chain", "3").pauli(pair, single)
