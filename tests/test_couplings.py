"""Couplings and fields of one's own: every format of file is the same Hamiltonian, and nothing given is discarded."""

import dataclasses
import json

import numpy as np
import pytest
import scipy.sparse

import massieu as ms
from massieu.cli.main import main
from massieu.errors import InputError
from massieu.exact.enumeration import enumerate_spins
from massieu.runs.directory import read_config
from massieu.systems.couplings import read_couplings, read_fields
from massieu.systems.table import SYSTEMS

J = np.array([[0, 0.5, 0, -1.25], [0.5, 0, 2, 0], [0, 2, 0, 0.1], [-1.25, 0, 0.1, 0]])
H = np.array([0.3, -0.2, 0.0, 1.0])
PAIRS = [(i, j, float(J[i, j])) for i, j in zip(*np.nonzero(np.triu(J)), strict=True)]
RUDY = "4 4\n" + "\n".join(f"{i + 1} {j + 1} {w}" for i, j, w in PAIRS) + "\n"
FROM_ZERO = "# i j J_ij\n" + "\n".join(f"{i}, {j}, {w}" for i, j, w in PAIRS)
BOTH_ORDERS = "\n".join(f"{i} {j} {w}\n{j} {i} {w}" for i, j, w in PAIRS)


def _text(text):
    return lambda path: path.write_text(text)


FILES = {
    "J.npy": lambda path: np.save(path, J),
    "single.npy": lambda path: np.save(path, (J + 1e-9 * np.triu(np.ones((4, 4)), 1)).astype(np.float32)),
    "upper.npy": lambda path: np.save(path, np.triu(J)),
    "lower.npy": lambda path: np.save(path, np.tril(J)),
    "complex.npy": lambda path: np.save(path, J.astype(complex)),
    "J.npz": lambda path: np.savez(path, J=J),
    "couplings.npz": lambda path: np.savez(path, couplings=J, log_likelihood=np.zeros(3)),
    "one.npz": lambda path: np.savez(path, J),
    "csr.npz": lambda path: scipy.sparse.save_npz(path, scipy.sparse.csr_matrix(J)),
    "coo.npz": lambda path: scipy.sparse.save_npz(path, scipy.sparse.coo_array(np.triu(J))),
    "rudy.txt": _text(RUDY),
    "windows.txt": _text("\ufeff" + RUDY.replace("\n", "\r\n")),
    "from_zero.txt": _text(FROM_ZERO),
    "both.txt": _text(BOTH_ORDERS),
    "dense.csv": lambda path: np.savetxt(path, J, delimiter=","),
}


@pytest.mark.parametrize("name", FILES)
def test_every_format_is_the_same_matrix(name, tmp_path):
    FILES[name](tmp_path / name)
    np.testing.assert_allclose(read_couplings("couplings", tmp_path / name).J, J, atol=1e-7)
    np.testing.assert_allclose(ms.SK(couplings=str(tmp_path / name)).couplings, J, atol=1e-7)


@pytest.mark.parametrize("kind", [bool, np.int8, np.uint8, np.float16])
def test_small_types_are_numbers(kind):
    ones = (1 - np.eye(3)).astype(kind)
    np.testing.assert_array_equal(ms.SK(couplings=ones).couplings, 1.0 - np.eye(3))


def test_unweighted_graphs_have_couplings_of_one(tmp_path):
    (tmp_path / "graph.txt").write_text("3 2\n1 2\n2 3\n")
    np.testing.assert_array_equal(
        read_couplings("couplings", tmp_path / "graph.txt").J, np.eye(3, k=1) + np.eye(3, k=-1)
    )


FIELDS = {
    "h.npy": lambda path: np.save(path, H),
    "column.npy": lambda path: np.save(path, H[:, None]),
    "h.npz": lambda path: np.savez(path, h=H),
    "h.txt": _text("# fields\n0.3\n-0.2\n0\n1\n"),
    "row.csv": _text("0.3, -0.2, 0.0, 1.0\n"),
}


@pytest.mark.parametrize("name", FIELDS)
def test_fields_of_every_format(name, tmp_path):
    FIELDS[name](tmp_path / name)
    np.testing.assert_allclose(read_fields("fields", tmp_path / name, 4), H)


def test_free_energy_of_couplings_and_fields_is_that_of_enumeration(tmp_path, capsys):
    exact = enumerate_spins(J, H, 0.7).F.value
    assert ms.SK(couplings=J, fields=H, beta=0.7).known().best.F.value == pytest.approx(exact, abs=1e-12)
    np.savez(tmp_path / "both.npz", J=J, h=H)
    (tmp_path / "J.txt").write_text(RUDY)
    (tmp_path / "h.txt").write_text("\n".join(map(str, H)))
    for files in (["--couplings", "both.npz"], ["--couplings", "J.txt", "--fields", "h.txt"]):
        given = [str(tmp_path / word) if "." in word else word for word in files]
        assert main(["reference", "sk", *given, "--beta", "0.7", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["F"]["value"] == pytest.approx(exact, abs=1e-12)
    uniform = ms.SK(couplings=J, fields="0.2")
    np.testing.assert_array_equal(uniform.field, np.full(4, 0.2))


def test_patterns_in_a_field():
    model = ms.Hopfield(n=4, fields=H)
    assert model.known().best.F.value == pytest.approx(enumerate_spins(model.couplings, H, model.beta).F.value)
    assert ms.Hopfield(n=4, fields=0.0).known().best.F.value == pytest.approx(ms.Hopfield(n=4).known().best.F.value)


BAD = [
    ({"couplings": J[:3]}, "a square matrix, not of shape (3, 4)"),
    ({"couplings": J, "n": 18}, "as n = 18 says"),
    ({"couplings": J + np.triu(J)}, "one triangle of it; J[1, 2] = 4 and J[2, 1] = 2"),
    ({"couplings": J + np.eye(4)}, "zero diagonal, not J[0, 0] = 1"),
    ({"couplings": 1j * J}, "an array of real numbers"),
    ({"couplings": [[0, 1], [1]]}, "an array of real numbers"),
    ({"couplings": [[0, np.inf], [np.inf, 0]]}, "free of NaN and infinity"),
    ({"couplings": scipy.sparse.coo_array((5000, 5000))}, "at most 2048 spins"),
    ({"couplings": J, "couplings_seed": 3}, "couplings_seed = 3: must be left out (None) beside other couplings"),
    ({"couplings": J, "fields": H[:3]}, "fields = array of shape (3,): must be of shape (4,)"),
    ({"couplings": J, "field": H}, "field = ndarray: must be left out, SK computes it from"),
    ({"fields": "no_such_file"}, "fields = no_such_file: must be a readable file (No such file or directory)"),
]


@pytest.mark.parametrize(("given", "message"), BAD, ids=lambda x: x if isinstance(x, str) else "")
def test_arrays_that_are_no_couplings_are_refused_by_name(given, message):
    with pytest.raises(InputError) as caught:
        ms.SK(**given)
    assert message in str(caught.value) and "\n" not in str(caught.value)


BAD_TEXTS = [
    ("", "something in it"),
    ("4 4\n1 2 1\n2 3 1\n", "of 4 lines 'i j J_ij' as its first line says, not 2"),
    ("3 1\n0 1 1\n", "of pairs of different spins 1 to 3, line 2 has 0 1"),
    ("3 1\n1 4 1\n", "line 2 has 1 4"),
    ("3 1\n2 2 1\n", "line 2 has 2 2"),
    ("1 2 1.0\n2 3 1.0\n", "begun with a line 'n m', or counted from 0"),
    ("0 1 1.0\n0 1 1.0\n", "line 2 has 0 1 again"),
    ("0 1 1.0\n1 0 1.0\n1 2 1.0\n", "each once, or all in both orders"),
    ("0 1 1.0\n1 0 2.0\n", "J[0, 1] = 1 and J[1, 0] = 2"),
    ("0 1 nan\n", "of finite numbers, line 1 has nan"),
    ("hello\n", "line 1 has hello; .npy, .npz with J and h"),
    ("0 1 1 1\n0 1\n", "of lines alike"),
    ("0 1 1\n1 0 1\n1 1 0\n", "line 3 has 1 1"),
    ("99999 1\n1 2 1\n", "at most 2048 spins"),
]


@pytest.mark.parametrize(("text", "message"), BAD_TEXTS, ids=lambda x: repr(x))
def test_texts_that_are_no_couplings_name_the_line(text, message, tmp_path, refused):
    (tmp_path / "J.txt").write_text(text)
    refused(["reference", "sk", "--couplings", "J.txt"], message)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: np.savez(path, A=J, B=J), "it has A, B"),
        (lambda path: np.savez(path, J=J, h=H[:2]), "h of J.npz: must be of shape (4,)"),
        (lambda path: path.write_bytes(b"PK\x03\x04 cut"), "readable file"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00\x01"), "readable file"),
    ],
)
def test_archives_that_are_no_couplings_are_refused(write, message, tmp_path, refused):
    write(tmp_path / "J.npz")
    refused(["reference", "sk", "--couplings", "J.npz"], message)


def test_what_a_file_and_an_argument_say_must_agree(tmp_path):
    np.savez(tmp_path / "J.npz", J=J, h=H)
    path = str(tmp_path / "J.npz")
    assert ms.SK(couplings=J, couplings_file=path).couplings_file == path
    for other in ({"couplings": 2 * J}, {"fields": 2 * H}, {"couplings": str(tmp_path / "other.npz")}):
        with pytest.raises(InputError, match="beside"):
            ms.SK(couplings_file=path, **other)


def test_replaced_parameters_keep_what_was_given():
    glass = ms.SK(couplings=J, fields=H)
    colder = dataclasses.replace(glass, beta=3.0)
    np.testing.assert_array_equal(colder.couplings, J)
    np.testing.assert_array_equal(colder.field, H)
    assert np.all(dataclasses.replace(ms.Ising(l=3), j=2.0).couplings == 2 * ms.Ising(l=3).couplings)
    with pytest.raises(InputError, match="couplings_seed = 1"):
        dataclasses.replace(ms.SK(n=4), couplings_seed=1)
    drawn = dataclasses.replace(ms.SK(n=4), couplings_seed=1, couplings=None)
    np.testing.assert_array_equal(drawn.couplings, ms.SK(n=4, couplings_seed=1).couplings)


@pytest.mark.parametrize("name", SYSTEMS)
def test_what_a_system_computes_is_no_argument(name):
    """A field that `__post_init__` computes is refused by name; it was discarded."""
    kind = SYSTEMS[name]
    computed = [field.name for field in dataclasses.fields(kind) if field.metadata.get("derived")]
    for field in computed:
        with pytest.raises(InputError, match=f"^{field} = float: must be left out, {kind.__name__} computes it"):
            kind(**{field: 1.0})
    others = [field.name for field in dataclasses.fields(kind) if field.init and "help" not in field.metadata]
    assert set(others) <= {"couplings", "fields", "hamiltonian"}


@pytest.mark.parametrize(("kind", "given"), [(ms.Ising, "field"), (ms.Ising, "couplings"), (ms.Hopfield, "couplings")])
def test_lattices_and_patterns_take_no_couplings(kind, given):
    with pytest.raises(InputError, match=f"^{given} = ndarray"):
        kind(**{given: J})


def test_a_run_keeps_the_arrays_that_it_was_given(tmp_path, capsys):
    np.save(tmp_path / "J.npy", J)
    run = ms.minimize(ms.SK(couplings=J, fields=H), steps=2, batch=16, samples=100, out=tmp_path / "run")
    of_file = ["run", "sk", "--couplings", str(tmp_path / "J.npy"), "--steps", "2", "--batch", "16", "--samples", "100"]
    assert main([*of_file, "--out", str(tmp_path / "of_file")]) == 0
    (tmp_path / "J.npy").unlink()
    for folder, field in (("run", H), ("of_file", np.zeros(4))):
        system, _, _ = read_config(tmp_path / folder)
        np.testing.assert_array_equal(system.couplings, J)
        np.testing.assert_array_equal(system.field, field)
        assert main(["resume", str(tmp_path / folder), "--steps", "4"]) == 0
    assert run.F.value > ms.SK(couplings=J, fields=H).known().best.F.value - 5 * run.F.error
    np.save(tmp_path / "J.npy", 2 * J)
    capsys.readouterr()
    assert main(["resume", str(tmp_path / "of_file")]) == 2 and "couplings_file" in capsys.readouterr().err
    (tmp_path / "run" / "given.npz").write_text("")
    assert main(["resume", str(tmp_path / "run")]) == 2 and "given.npz" in capsys.readouterr().err
