"""What cannot work is said before anything is computed, in one line that names both sides; no tracebacks."""

import jax.numpy as jnp
import pytest
from flowjax.distributions import Normal

import massieu as ms
from massieu.cli.main import main
from massieu.methods.method import method_of
from massieu.systems import SK, SYSTEMS, Ising, Phi4, Qubits

BAD = [
    (["run", "ising", "--beta", "1e300"], "beta = 1e+300: must be between 1e-30 and 1e+30"),
    (["run", "ising", "--beta", "1e-300"], "beta = 1e-300: must be between 1e-30 and 1e+30"),
    (["run", "sk", "--beta", "1e31"], "beta = 1e+31"),
    (["run", "ising", "--j", "1e308"], "j = 1e+308: must be between -1e+30 and 1e+30"),
    (["run", "ising", "--h=-1e200"], "h = -1e+200"),
    (["run", "phi4", "--lam", "1e300"], "lam = 1e+300"),
    (["run", "coulomb-trap", "--kappa", "1e300"], "kappa = 1e+300"),
    (["run", "tfim", "--gamma", "1e300"], "gamma = 1e+300"),
    (["run", "quantum-dot", "--kappa", "1e300"], "kappa = 1e+300"),
    (["run", "lj", "--rho", "1e300"], "rho = 1e+300"),
    (["run", "ising", "--learning-rate", "1e300"], "learning_rate = 1e+300"),
    (["run", "ising", "--beta-start", "1e-300"], "beta_start = 1e-300"),
    (["run", "ising", "--batch", "100000000"], "batch = 100000000: must be at most 16777216"),
    (["run", "ising", "--l", "64", "--batch", "16777216"], "batch = 16777216: must be at most "),
    (["run", "electron-gas", "--n", "5", "--batch", "100000000"], "batch = 100000000"),
    (["run", "ising", "--samples", "1000000000000"], "samples = 1000000000000: must be at most "),
    (["run", "ising", "--steps", "3000000000"], "steps = 3000000000: must be at most 2147483647"),
    (["run", "ising", "--width", "1000000"], "width = 1000000: must be at most"),
    (["sweep", "ising", "--beta", "0.3,1e300"], "beta = 1e+300"),
    (["reference", "ising", "--j", "1e308"], "j = 1e+308"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=lambda x: " ".join(x) if isinstance(x, list) else "")
def test_bad_input_is_one_clear_line_and_exit_code_two(arguments, message, refused):
    refused(arguments, message)


@pytest.mark.parametrize("name", SYSTEMS)
def test_no_default_is_refused(name):
    """The limits of numbers and of memory are far from what anybody runs."""
    kind = SYSTEMS[name]
    given = {"qubits": {"hamiltonian_file": "-1 [Z0 Z1]"}, "spins": {"couplings": [[0, 1], [1, 0]]}}.get(name, {})
    if name != "molecule":  # which needs a calculator
        method_of(kind).configure(kind(**given))


@pytest.mark.parametrize("name", SYSTEMS)
def test_first_positional_argument_is_what_the_system_is_made_of(name):
    import dataclasses

    first = next(field.name for field in dataclasses.fields(SYSTEMS[name]) if field.init and not field.kw_only)
    assert first in ("n", "l", "shape", "solvent", "atoms", "hamiltonian_file", "couplings_file")


def test_first_argument_of_qubits_is_the_hamiltonian():
    assert Qubits("1 [X0] + 1 [Z0 Z1]", beta=2.0).beta == 2.0
    with pytest.raises(ms.InputError, match="hamiltonian = X0"):
        ms.Qubits("X0", beta=1)


class Sum(ms.ClassicalSystem):
    """Of one's own: four numbers."""

    def energy(self, x):
        return jnp.sum(x * jnp.arange(4.0))


class Vector(ms.ClassicalSystem):
    """Not one number."""

    def energy(self, x):
        return x**2


DENSITIES = {
    "spins": (SK(n=16), lambda: ms.densities.MADE(n=9), r"MADE of shape \(9,\): must be of shape \(16,\).*of sk"),
    "lattice": (Ising(l=4), lambda: ms.densities.MADE(n=9), r"MADE of shape \(9,\): must be of shape \(16,\).*ising"),
    "field": (Phi4(l=2), lambda: Normal(jnp.zeros(4)), r"of shape \(4,\): must be of shape \(2, 2\).*of phi4"),
    "own": (Sum(), lambda: Normal(jnp.zeros(3)), r"of shape \(3,\): must be of a shape that the energy of Sum takes"),
    "no number": (Vector(), lambda: Normal(jnp.zeros(3)), r"energy = of shape \(3,\): must be one number"),
    "no density": (SK(n=4), lambda: 5, "density = int: must be one with shape"),
    "qubits": (Qubits("-1 [Z0 Z1]"), lambda: ms.densities.MADE(n=2), "MADE: must be a CircuitEnsemble for qubits"),
    "electrons": (ms.ElectronGas(n=3), lambda: ms.densities.MADE(n=2), "must be a DensityMatrix for electron-gas"),
}


@pytest.mark.parametrize(("system", "density", "message"), DENSITIES.values(), ids=DENSITIES)
def test_density_that_does_not_fit_is_refused_with_both_shapes(system, density, message, tmp_path):
    with pytest.raises(ms.InputError, match=message) as error:
        ms.minimize(system, density(), beta=1.0, out=tmp_path / "r")
    assert "\n" not in str(error.value) and not (tmp_path / "r").exists()


def test_damaged_table_of_metrics_is_one_line(tmp_path, capsys):
    folder = tmp_path / "r"
    options = ["--steps", "4", "--batch", "16", "--samples", "100"]
    assert main(["run", "ising", "--l", "2", *options, "--out", str(folder)]) == 0
    lines = (folder / "metrics.csv").read_text().splitlines(keepends=True)
    for content in ("", "".join(lines[:3]), "nonsense\n1\n2\n3\n4\n", lines[0]):
        (folder / "metrics.csv").write_text(content)
        capsys.readouterr()
        for command in (["evaluate", str(folder)], ["resume", str(folder), "--steps", "8"], ["report", str(folder)]):
            code, said = main(command), capsys.readouterr()
            assert (code == 2 and said.err.count("\n") == 1) or command[0] == "report"
            assert (folder / "metrics.csv").read_text() == content
