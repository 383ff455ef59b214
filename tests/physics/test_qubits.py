"""Thermal states of quantum spins: bounds, entropies and levels against dense matrices and independent values."""

import json
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import pytest

import massieu as ms
from massieu.cli.main import main
from massieu.errors import InputError
from massieu.exact.qubits import ising_ring_in_a_field, levels, thermal
from massieu.methods.method import method_of
from massieu.methods.qubits.train import _over_all, _over_samples
from massieu.principle import trainable
from massieu.states.ensemble import all_spins

ENTRIES = json.loads((Path(__file__).parents[1] / "data" / "quantum_spins.json").read_text())["entries"]
CHAIN = "-1 Z0 Z1\n-1 Z1 Z2\n-0.7 X0\n-0.7 X1\n-0.7 X2\n0.3 Y0 Z2"


@pytest.mark.parametrize(
    "entry", [e for e in ENTRIES if e["key"].startswith("tfim1d.periodic")], ids=lambda e: e["key"]
)
def test_free_fermions_solve_the_ising_ring_in_a_field(entry):
    _, _, n, rest = entry["key"].split(".", 3)
    gamma, beta = rest.removeprefix("G").split(".beta")
    found = ising_ring_in_a_field(int(n[1:]), float(beta), float(gamma))
    assert found.lnZ.value == pytest.approx(entry["lnZ"], rel=1e-9)
    assert found.E.value == pytest.approx(entry["E"], rel=1e-9)
    assert found.C.value == pytest.approx(entry["C"], rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("n", [3, 4, 5])
@pytest.mark.parametrize(("gamma", "j"), [(0.6, 1.0), (1.0, 1.0), (1.3, -0.8), (0.5, -1.0), (-2.0, 1.0), (-1.0, -1.0)])
def test_free_fermions_agree_with_diagonalisation_for_odd_rings_and_antiferromagnets(n, gamma, j):
    system = ms.TransverseIsing(shape=str(n), gamma=gamma, j=j, beta=1.7)
    exact = thermal(levels(system.hamiltonian), 1.7)
    found = ising_ring_in_a_field(n, 1.7, gamma, j)
    for name in "FESC":
        assert getattr(found, name).value == pytest.approx(getattr(exact, name).value, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("gamma", "beta"), [(0.2, 20.0), (0.7, 40.0), (0.7, 50.0), (0.7, 400.0), (0.0, 30.0)])
def test_frustrated_ring_in_the_cold_has_the_entropy_of_its_levels(gamma, beta):
    """Odd and antiferromagnetic: the lowest state of one parity is not a level, and sums of cosh and sinh cancel."""
    system = ms.TransverseIsing(shape="9", gamma=gamma, j=-1.0, beta=beta)
    exact, found = thermal(levels(system.hamiltonian), beta), ising_ring_in_a_field(9, beta, gamma, -1.0)
    for name in "FESC":
        assert getattr(found, name).value == pytest.approx(getattr(exact, name).value, rel=1e-9, abs=1e-9)


def test_frustrated_ring_of_thirteen():
    """By diagonalisation."""
    cold, colder = ising_ring_in_a_field(13, 20.0, 0.2, -1.0), ising_ring_in_a_field(13, 50.0, 0.7, -1.0)
    assert (cold.F.value, cold.S.value) == pytest.approx((-11.59099, 1.7402), abs=5e-5)
    assert (colder.F.value, colder.S.value) == pytest.approx((-14.04769, 0.0336), rel=1e-3)


@pytest.mark.parametrize("offset", [1e9, -1e12])
def test_entropy_does_not_depend_on_a_multiple_of_the_identity(offset):
    plain, moved = (ms.Qubits(hamiltonian_file=CHAIN + more, beta=1.3).reference() for more in ("", f"\n{offset!r}"))
    for of in ("best", "ideal"):
        first, second = getattr(plain, of), getattr(moved, of)
        assert second.S.value == pytest.approx(first.S.value, abs=1e-12)
        assert second.C.value == pytest.approx(first.C.value, abs=1e-12)
        assert second.F.value == pytest.approx(first.F.value + offset, rel=1e-14)


@pytest.fixture(scope="module")
def trained():
    """The 2 x 2 lattice of the published example, gamma = 2, beta = 2."""
    return ms.minimize(ms.TransverseIsing(shape="2x2", boundary="open", gamma=2.0, beta=2.0), steps=200, seed=1)


@pytest.mark.acceptance
def test_published_two_by_two_lattice(trained):
    assert trained.F.value == pytest.approx(-8.551118, abs=2e-3)
    assert trained.F.value >= -8.551118 - 1e-6
    assert trained.result.observables["purity"]["value"] == pytest.approx(0.9687, rel=0.01)
    for mine, exact in zip((trained.E, trained.S, trained.result.C), (-8.509638, 0.08296, 0.2841), strict=True):
        assert mine.value == pytest.approx(exact, rel=0.02)


def test_entropy_and_energy_are_those_of_the_dense_density_matrix(trained):
    rho, system = trained.density, trained.system
    u = np.asarray(rho.circuit.matrix())
    energy = rho.all_levels(system.hamiltonian).energy
    p = np.exp(np.asarray(rho.all_log_prob(energy, trained.beta)))
    dense, h = (u * p) @ u.conj().T, system.hamiltonian.matrix()
    w = np.linalg.eigvalsh(dense)
    assert trained.S.value == pytest.approx(-np.sum(w * np.log(w)), abs=1e-10)
    assert trained.E.value == pytest.approx(np.trace(dense @ h).real, abs=1e-10)
    z0z1 = ms.Qubits(hamiltonian_file="1 Z0 Z1\n0 Z3").hamiltonian.matrix()
    measured = trained.result.observables["zz"]["value"][1]
    assert measured == pytest.approx(np.trace(dense @ z0z1).real, abs=1e-10)


def test_levels_are_exact_ones_at_the_minimum(trained):
    found, exact = (trained.result.observables[k]["value"] for k in ("levels", "exact_levels"))
    np.testing.assert_allclose(found[:4], exact[:4], rtol=0.02)


@pytest.mark.parametrize("circuit", ["general", "real", "hardware-efficient", "qaoa"])
@pytest.mark.acceptance
def test_every_circuit_lowers_a_free_energy_that_stays_above_the_exact_one(circuit):
    system = ms.TransverseIsing(shape="4", beta=1.0)
    run = ms.minimize(system, steps=60, circuit=circuit, depth=2)
    exact = system.reference().best.F.value
    first = next(row for row in run.metrics if row["beta"] == run.beta)
    assert exact - 1e-9 <= run.F.value < first["F"]


def test_heisenberg_ring_of_four_by_exchange_gates():
    run = ms.minimize(ms.Heisenberg(shape="4", beta=1.0), steps=150)
    exact = run.reference.best
    assert 0 <= run.F.value - exact.F.value < 1e-3 * abs(exact.F.value)


def test_any_sum_of_pauli_matrices_from_text():
    system = ms.Qubits(hamiltonian_file=CHAIN, beta=1.5)
    assert system.symmetries() == ("general",)
    run = ms.minimize(system, steps=200)
    exact = run.reference.best.F.value
    assert -1e-9 <= run.F.value - exact < 2e-3 * abs(exact)


@pytest.mark.acceptance
def test_sampled_gradient_is_that_of_the_exact_sum():
    system = ms.TransverseIsing(shape="3", beta=1.3)
    rho = system.default_ansatz(method_of(system).configure(system, density="made", depth=1))
    params, static = trainable(rho)
    leaves, treedef = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(4), len(leaves))
    params = jax.tree.unflatten(treedef, [x + 0.3 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys)])

    def gradient(loss, key):
        return jax.grad(lambda p: loss(eqx.combine(p, static), system, 1.3, key, 64)[0])(params)

    exact = gradient(_over_all, jax.random.key(0))
    many = jax.jit(lambda keys: jax.lax.map(lambda k: gradient(_over_samples, k), keys))(
        jax.random.split(jax.random.key(1), 400)
    )
    for a, b in zip(jax.tree.leaves(exact), jax.tree.leaves(many), strict=True):
        error = np.std(b, axis=0) / np.sqrt(len(b))
        z = (np.mean(b, axis=0) - np.asarray(a)) / (error + 1e-9)
        assert np.abs(z).max() < 5, "the mean of the sampled gradients"


@pytest.mark.acceptance
def test_samples_of_p_give_the_sums_within_errors():
    system = ms.TransverseIsing(shape="11", beta=0.4)
    run = ms.minimize(system, steps=3, depth=1, batch=8, samples=300)
    assert abs(run.F.value - run.metrics[-1]["F"]) < 5 * np.hypot(run.F.error, run.metrics[-1]["F_error"]) + 0.5
    assert run.F.value > ising_ring_in_a_field(11, 0.4, 1.0).F.value - 4 * run.F.error


def test_spins_are_numbered_as_states():
    assert all_spins(2).tolist() == [[1, 1], [1, -1], [-1, 1], [-1, -1]]


@pytest.mark.acceptance
def test_run_resume_and_report_from_the_command_line(tmp_path, capsys):
    (tmp_path / "h.txt").write_text(CHAIN)
    out = tmp_path / "run"
    assert main(["run", "qubits", "--hamiltonian", str(tmp_path / "h.txt"), "--steps", "4", "--out", str(out)]) == 0
    (tmp_path / "h.txt").unlink()
    assert main(["resume", str(out), "--steps", "6"]) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["steps"] == 6 and summary["n"] == 3 and summary["reference"]["F"]["value"] < summary["F"]["value"]
    assert {p.name for p in (out / "figures").iterdir()} >= {"levels.png", "correlations.png", "free_energy.png"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["qubits"], "hamiltonian = nothing"),
        (["qubits", "--hamiltonian", "missing.txt"], "hamiltonian = missing.txt"),
        (["qubits", "--hamiltonian", "1 Z0"], "hamiltonian = 1 Z0"),
        (["tfim", "--width", "4"], "width = 4"),
        (["tfim", "--shape", "30"], "shape = 30"),
        (["tfim", "--beta", "-1"], "beta = -1"),
        (["tfim", "--circuit", "number"], "circuit = number"),
        (["tfim", "--shape", "12", "--density", "table"], "density = table"),
        (["heisenberg", "--boundary", "twisted"], "boundary = twisted"),
        (["heisenberg", "--sampler", "mala"], "sampler = mala"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, message, refused):
    refused(["run", *arguments], message)


def test_hot_start_above_beta_is_only_beta():
    with pytest.raises(InputError, match="beta_start"):
        ms.minimize(ms.TransverseIsing(shape="3"), beta_start=-1.0)


@pytest.mark.parametrize("circuit", ["real", "general", "qaoa"])
def test_gradient_of_the_free_energy_is_that_of_differences(circuit):
    system = ms.TransverseIsing(shape="3", beta=1.3)
    rho = system.default_ansatz(method_of(system).configure(system, circuit=circuit, depth=2))
    params, static = trainable(rho)

    @jax.jit
    def free_energy(step):
        moved = jax.tree.map(lambda a: a + 0.3 + step * np.cos(np.arange(a.size)).reshape(a.shape), params)
        return _over_all(eqx.combine(moved, static), system, 1.3, None, 0)[0]

    slope = (free_energy(1e-5) - free_energy(-1e-5)) / 2e-5
    np.testing.assert_allclose(jax.grad(free_energy)(0.0), slope, rtol=1e-7)
