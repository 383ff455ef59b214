"""Sums of Pauli matrices in the notations of other programs: the same terms, the algebra of products, what is refused.

The two Hamiltonians are printed by OpenFermion: hydrogen in a minimal basis after the Jordan-Wigner transformation, and
the Hubbard model of two sites at U = 4, t = 1.
"""

import json

import numpy as np
import pytest

import massieu as ms
from massieu.cli.main import main
from massieu.errors import InputError
from massieu.physics.pauli import PauliSum
from massieu.physics.pauli_text import read

pytestmark = pytest.mark.quick

SHORT = "-0.5 [X0] +\n-1.0 [Z0 Z1] +\n0.5 [X1]"
HYDROGEN = """-0.8124750000000003 [] +
0.0226625 [X0 X1 X2 X3] +
-0.0226625 [X0 X1 Y2 Y3] +
0.0226625 [X0 Y1 X2 Y3] +
0.0226625 [X0 Y1 Y2 X3] +
0.0226625 [Y0 X1 X2 Y3] +
0.0226625 [Y0 X1 Y2 X3] +
-0.0226625 [Y0 Y1 X2 X3] +
0.0226625 [Y0 Y1 Y2 Y3] +
(0.17114999999999997+0j) [Z0] +
0.168625 [Z0 Z1] +
0.120575 [Z0 Z2] +
0.1659 [Z0 Z3] +
0.17114999999999997 [Z1] +
0.1659 [Z1 Z2] +
0.120575 [Z1 Z3] +
-0.222875 [Z2] +
0.17435 [Z2 Z3] +
-0.222875 [Z3]"""
HUBBARD = """2.0 [] +
-0.5 [X0 Z1 X2] +
-0.5 [Y0 Z1 Y2] +
-1.0 [Z0] +
1.0 [Z0 Z1] +
-0.5 [X1 Z2 X3] +
-0.5 [Y1 Z2 Y3] +
-1.0 [Z1] +
-1.0 [Z2] +
1.0 [Z2 Z3] +
-1.0 [Z3]"""
ZZ_AND_X = [
    "0.5 Z0 Z1\n-1.0 X2",
    "\ufeff0.5 Z0Z1  # a comment\n\n-1.0 X2\n",
    "0.5*Z0*Z1 - X(2)",
    "(0.5+0j) [Z0 Z1] +\n(-1+0j) [X2]",
    "0.5 [Z0 Z1] +\n-1.0 [X2]",
    "  (0.5) [Z0 Z1]\n+ (-1.0) [X2]",
    "0.5 * (Z(0) @ Z(1)) + -1.0 * X(2)",
    "(\n    0.5 * (Z(0) @ Z(1))\n  + -1.0 * X(2)\n)",
    "0.5 * PauliZ(wires=[0]) @ PauliZ(wires=[1]) @ Identity(wires=[2]) - qml.PauliX(2)",
    "0.5 * IZZ\n- 1.0 * XII",
    "SparsePauliOp(['IZZ', 'XII'],\n              coeffs=[ 0.5+0.j, -1. +0.j])",
    "SparsePauliOp(['IZZ', 'XII'], coeffs=[0.5, -1])",
    "[('IZZ', (0.5+0j)), ('XII', -1.0)]",
]


@pytest.mark.parametrize("text", ZZ_AND_X)
def test_every_notation_is_the_same_sum(text):
    assert read(text) == ([(0.5, {0: "Z", 1: "Z"}), (-1.0, {2: "X"})], 3)


@pytest.mark.parametrize(
    ("text", "terms", "n"),
    [
        ("0.5 X0 X0", [(0.5, {})], 1),
        ("0.5 I0\n1 Z2", [(0.5, {}), (1.0, {2: "Z"})], 3),
        ("0.5 * IIZ", [(0.5, {0: "Z"})], 3),
        ("1j X0 Y0 + Z1", [(-1.0, {0: "Z"}), (1.0, {1: "Z"})], 2),
        ("1j Z0 X0\n1 Z1", [(-1.0, {0: "Y"}), (1.0, {1: "Z"})], 2),
        ("1 Z0 X0 + 1 X0 Z0 + 2 [Z1]", [(0.0, {0: "Y"}), (2.0, {1: "Z"})], 2),
        ("1 X0 Y0 Z0 Z1 * 1j", [(-1.0, {1: "Z"})], 2),
        ("2 * (Z(0) + 0.5 * X(1)) @ Z(2)", [(2.0, {0: "Z", 2: "Z"}), (1.0, {1: "X", 2: "Z"})], 3),
        ("(0.5-1e-17j) [Z0 Z1] +\n(0+1e-12j) [X0]", [(0.5, {0: "Z", 1: "Z"}), (0.0, {0: "X"})], 2),
    ],
)
def test_products_are_reduced_with_their_phases(text, terms, n):
    assert read(text.replace("+ Z1", "+ Z(1)")) == (terms, n)


def test_random_products_are_those_of_matrices():
    one = {"I": np.eye(2), "X": np.array([[0, 1], [1, 0]]), "Y": np.array([[0, -1j], [1j, 0]]), "Z": np.diag([1, -1])}
    rng = np.random.default_rng(0)
    for _ in range(20):
        factors = [(rng.choice(list("IXYZ")), rng.integers(2)) for _ in range(6)]
        exact = np.eye(4)
        for kind, q in factors:
            exact = exact @ (np.kron(one[kind], np.eye(2)) if q == 0 else np.kron(np.eye(2), one[kind]))
        text = " ".join(f"{kind}{q}" for kind, q in factors)
        i = "" if np.allclose(exact, exact.conj().T) else "j"
        terms, _ = read(f"1{i} {text}\n0 Z1")
        np.testing.assert_allclose(PauliSum.from_terms(terms, 2).matrix(), exact * (1j if i else 1), atol=1e-14)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 Z0 Z1\n0.5 Z0 X0", "line 2 (0.5 Z0 X0): must be Hermitian, the coefficient of Y0 is 0+0.5j"),
        ("(0.5+0.01j) [Z0 Z1]", "the coefficient of Z0 Z1 is 0.5+0.01j"),
        ("0.5 [X0] 0.3 [X1]", "a sum with + or a new line between its terms, not 0.3"),
        ("0.5 [X0] [X1]", "a sum with + or a new line"),
        ("0.5 (Z0 Z1", "closed by )"),
        ("1 Z0 *", "not the end"),
        ("0.5 ZZI\n1 Z0", "labels alone"),
        ("0.5 ZZI\n1 ZZ", "labels of one length"),
        ("0.5 Z('a')", "factors such as X3 or Z(3), or labels such as ZZI, not Z"),
        ("<Hamiltonian: terms=2, wires=[0, 1]>", "factors such as X3"),
        ("SparsePauliOp(['ZZ', 'XX'], coeffs=[0.5+0.j, ..., 1.+0.j])", "all its labels and coefficients"),
        ("[('ZZ', 0.5), ('XQ', 1)]", "pairs such as ('ZZI', 0.5)"),
        ("1e999 Z0", "finite numbers, not 1e999"),
        ("1 Z99999", "qubits 0 to 9999"),
    ],
)
def test_what_cannot_be_read_says_what_was_expected(text, message):
    with pytest.raises(InputError) as caught:
        read(text)
    assert str(caught.value).startswith("hamiltonian") and message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "beta", "F"), [(SHORT, 2.0, -1.5993840220), (HYDROGEN, None, None)])
def test_free_energies_of_openfermion_s_text(text, beta, F, tmp_path, capsys):
    (tmp_path / "h.txt").write_text(text)
    command = ["reference", "qubits", "--hamiltonian", str(tmp_path / "h.txt"), "--beta", str(beta or 1.0), "--json"]
    assert main(command) == 0
    found = json.loads(capsys.readouterr().out)["F"]["value"]
    levels = np.linalg.eigvalsh(PauliSum.from_terms(*read(text)).matrix())
    assert found == pytest.approx(-np.log(np.sum(np.exp(-(beta or 1.0) * levels))) / (beta or 1.0), abs=1e-10)
    assert F is None or found == pytest.approx(F, abs=1e-9)


def test_levels_of_hydrogen_and_of_the_hubbard_model():
    """The singlet of two sites is at (U - sqrt(U^2 + 16 t^2))/2 = 2 - 2 sqrt 2."""
    hubbard = np.linalg.eigvalsh(ms.Qubits(hamiltonian_file=HUBBARD).hamiltonian.matrix())
    assert np.min(np.abs(hubbard - (2 - 2 * np.sqrt(2)))) < 1e-12
    hydrogen = np.linalg.eigvalsh(ms.Qubits(hamiltonian_file=HYDROGEN).hamiltonian.matrix())
    assert hydrogen[0] == pytest.approx(-1.85105, abs=1e-4)  # electronic energy near the equilibrium distance, Hartree


def test_terms_longer_than_a_file_name_may_be_are_terms():
    long = " + ".join(f"{c} [Z0 Z1]" for c in range(1, 60))
    assert ms.Qubits(hamiltonian_file=long).terms == ((1770.0, {0: "Z", 1: "Z"}),)


def test_messages_of_systems_are_one_line():
    with pytest.raises(InputError) as caught:
        ms.Qubits(hamiltonian_file="1 Z0\n" * 3)
    assert str(caught.value) == "hamiltonian = 1 Z0 ...: must be of 2 to 20 qubits"
