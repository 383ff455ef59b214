"""Molecules: the volume of their frame against a quadrature, energies from the host, and what is refused."""

import os
import subprocess
import sys

import numpy as np
import pytest

import massieu as ms
from massieu.errors import InputError
from massieu.physics.molecules import frame, host_energy, relaxed
from massieu.systems import Molecule

LENGTHS, STIFFNESS = np.array([1.0, 1.1, 1.7]), np.array([30.0, 20.0, 10.0])
PAIRS = np.array([[0, 1], [0, 2], [1, 2]])


def springs(_=None):
    """U = sum k (r - a)^2 over the three distances of a triangle of atoms; forces by hand."""

    def function(x):
        apart = x[PAIRS[:, 0]] - x[PAIRS[:, 1]]
        r = np.linalg.norm(apart, axis=1)
        pull = -2 * (STIFFNESS * (r - LENGTHS) / r)[:, None] * apart
        forces = np.zeros((3, 3))
        np.add.at(forces, PAIRS[:, 0], pull)
        np.add.at(forces, PAIRS[:, 1], -pull)
        return np.sum(STIFFNESS * (r - LENGTHS) ** 2), forces

    return function


def _quadrature(beta):
    """ln of 8 pi^2 int r1 r2 r3 exp(-beta U) over the three sides of all triangles."""
    axes = [np.linspace(a - 8 / np.sqrt(2 * beta * k), a + 8 / np.sqrt(2 * beta * k), 161) for a, k in
            zip(LENGTHS, STIFFNESS, strict=True)]  # fmt: skip
    r = np.stack(np.meshgrid(*axes, indexing="ij"))
    triangle = (r[0] + r[1] > r[2]) & (r[0] + r[2] > r[1]) & (r[1] + r[2] > r[0]) & np.all(r > 0, axis=0)
    weight = np.prod(r, axis=0) * np.exp(-beta * np.tensordot(STIFFNESS, (r - LENGTHS[:, None, None, None]) ** 2, 1))
    return np.log(8 * np.pi**2 * np.sum(weight[triangle]) * np.prod([a[1] - a[0] for a in axes]))


@pytest.fixture
def triangle(monkeypatch):
    """The molecule of three springs, through the interface for functions of users."""
    monkeypatch.setitem(sys.modules, "springs", sys.modules[__name__])
    return lambda temperature: Molecule(atoms="H2O", calculator="springs:springs", temperature=temperature)


@pytest.mark.parametrize("beta", [5.0, 20.0])
@pytest.mark.acceptance
def test_free_energy_of_a_triangle_of_springs_is_its_quadrature(triangle, beta):
    system = triangle(1 / (8.617333262e-5 * beta))
    run = ms.minimize(system, steps=60, samples=4000, learning_rate=0.01)
    exact = _quadrature(beta)
    lnZ = run.result.importance["lnZ"]
    assert abs(lnZ["value"] - exact) < 4.5 * lnZ["error"] + 1e-4 < 0.05
    assert -4 * run.F.error < run.F.value + exact / beta < 0.1 / beta
    assert run.result.importance["ess"] > 0.8


def test_cold_molecule_is_harmonic(triangle):
    beta = 2000.0
    assert triangle(1 / (8.617333262e-5 * beta)).harmonic() == pytest.approx(-_quadrature(beta) / beta, abs=1e-3 / beta)


def test_density_is_the_same_for_every_place_and_orientation(triangle):
    import jax

    system = triangle(3000.0)
    density = system.default_density(0)
    x, log_prob = jax.jit(lambda key: density._sample_and_log_prob(key))(jax.random.key(1))
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turn = turn * np.linalg.det(turn)  # a rotation
    of = jax.jit(lambda x: density._log_prob(x))
    np.testing.assert_allclose([of(x), of(x @ turn.T + 3.0)], log_prob, rtol=1e-9)


def test_volume_of_the_frame_is_the_determinant_of_the_map():
    """d x/d(centroid, rotation, q) by differences, about a deformed molecule of four atoms."""
    import jax
    import jax.numpy as jnp
    from jax.scipy.spatial.transform import Rotation

    rng = np.random.default_rng(3)
    place = rng.normal(size=(4, 3))
    place -= place.mean(axis=0)

    def function(x):
        return 0.5 * np.sum((x - place) ** 2), place - x

    found = frame(function, place)
    q = 0.3 * rng.normal(size=6)

    def positions(y):
        turn = Rotation.from_rotvec(y[3:6]).as_matrix()
        inside = found.positions + (found.modes @ y[6:]).reshape(4, 3)
        return (inside @ turn.T + y[None, :3]).ravel()

    start = jnp.concatenate([jnp.zeros(3), jnp.full(3, 1e-9), jnp.asarray(q)])
    jacobian = jax.jacfwd(positions)(start)
    volume = found.log_volume(jnp.asarray(found.positions + (found.modes @ q).reshape(4, 3)))
    np.testing.assert_allclose(volume, np.linalg.slogdet(jacobian)[1], rtol=1e-6)


def test_energy_of_the_host_in_batches_with_its_forces():
    import jax

    function, rng = springs(), np.random.default_rng(0)
    x = rng.normal(size=(2, 4, 3, 3))
    value, gradient = jax.jit(jax.vmap(jax.vmap(jax.value_and_grad(host_energy(function, (3, 3))))))(x)
    for index in np.ndindex(2, 4):
        energy, forces = function(x[index])
        np.testing.assert_allclose(value[index], energy, rtol=1e-12)
        np.testing.assert_allclose(gradient[index], -forces, rtol=1e-12)


def test_energy_of_the_host_is_in_double_precision_where_its_thread_has_single():
    """As in a script or a notebook: the thread of a callback does not know of the context of the program."""
    code = """
import jax, numpy as np
from massieu.physics.molecules import host_energy
energy = host_energy(lambda x: (float(x.sum()), -np.ones((2, 3))), (2, 3))
with jax.enable_x64(True):
    x = jax.numpy.full((5, 2, 3), 1 / 3)
    program = jax.jit(jax.vmap(jax.value_and_grad(energy))).lower(x).compile()
value, slope = program(x)
assert value.dtype == slope.dtype == np.float64, value.dtype
assert np.abs(np.asarray(value) - 2).max() < 1e-14, value
assert energy(jax.numpy.full((2, 3), 0.5)).dtype == np.float32
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"JAX_ENABLE_X64": "0"})


def test_water_of_ase_is_relaxed():
    system = Molecule()
    _, forces = _emt()(system.frame.positions)
    assert np.abs(forces).max() < 1e-3 and system.frame.modes.shape == (9, 3)
    assert system.reference().approximations["harmonic"].F.value == pytest.approx(system.harmonic())


def _emt():
    from ase.build import molecule
    from ase.calculators.emt import EMT

    from massieu.systems.molecule import _of_ase

    return _of_ase(molecule("H2O"), EMT())


@pytest.mark.acceptance
def test_shapes_outside_the_frame_are_not_counted_twice(triangle):
    """Hot springs fold over: those samples have no weight, and ln Z keeps to the quadrature."""
    import jax

    beta = 0.5
    system = triangle(1 / (8.617333262e-5 * beta))
    density = system.default_density(0)
    x, log_prob = jax.jit(lambda key: density.sample_and_log_prob(key, (100000,)))(jax.random.key(0))
    folded = np.asarray(jax.vmap(system.frame.folded)(x))
    assert 0.005 < folded.mean() < 0.5
    energy = np.array([springs()(one)[0] for one in np.asarray(x)])
    weight = np.exp(-beta * energy - np.asarray(log_prob))
    exact, error = np.exp(_quadrature(beta)), weight.std() / np.sqrt(len(weight))
    assert abs(weight.mean() - exact) < 4.5 * error < 0.1 * exact


def late(atoms):
    """Springs that break in the evaluation: relaxation and training take 51 calls."""
    function, calls = springs(), []

    def failing(x):
        calls.append(1)
        if len(calls) > 100:
            raise RuntimeError("no convergence")
        return function(x)

    return failing


@pytest.mark.acceptance
def test_run_resumes_and_a_failing_calculator_is_told_in_one_line(triangle, tmp_path, capsys):
    import json

    from massieu.cli.main import main

    options = ["--steps", "4", "--batch", "8", "--samples", "100"]
    command = ["run", "molecule", "--calculator", "springs:springs", *options, "--out", str(tmp_path / "a")]
    assert main(command) == 0
    assert main(["evaluate", str(tmp_path / "a"), "--samples", "200"]) == 0
    assert main(["resume", str(tmp_path / "a"), "--steps", "6"]) == 0
    assert json.loads((tmp_path / "a" / "summary.json").read_text())["steps"] == 6
    capsys.readouterr()
    command = ["run", "molecule", "--calculator", "springs:late", *options, "--out", str(tmp_path / "b")]
    assert main(command) == 1
    message = capsys.readouterr().err
    assert "no convergence" in message and "resume" in message and message.count("\n") == 1


def _wrong(atoms):
    return lambda x: (0.5 * np.sum(x**2), x)


def _shapeless(atoms):
    return lambda x: (0.0, np.zeros(5))


def _not_a_number(atoms):
    return lambda x: (np.nan, np.zeros((3, 3)))


@pytest.mark.parametrize("name", ["_wrong", "_shapeless", "_not_a_number"])
def test_calculators_whose_forces_cannot_be_right_are_refused(triangle, name):
    with pytest.raises(InputError, match=r"^calculator = "):
        Molecule(calculator=f"springs:{name}")


@pytest.mark.parametrize(
    ("bad", "name"),
    [
        (lambda: Molecule(temperature=0.0), "temperature"),
        (lambda: Molecule(atoms="no-such-thing"), "atoms"),
        (lambda: Molecule(atoms="CO2"), "atoms"),
        (lambda: Molecule(calculator="no-such-thing"), "calculator"),
        (lambda: Molecule(calculator="no_such_module:f"), "calculator"),
        (lambda: Molecule(calculator="math:sin"), "calculator"),
        (lambda: Molecule(atoms="SiH4"), "calculator"),
    ],
)
def test_what_cannot_be_a_molecule_is_named(bad, name):
    with pytest.raises(InputError, match=rf"^{name} = "):
        bad()


@pytest.mark.parametrize("name", ["water.xyz", "water.extxyz", "water.pdb"])
def test_files_of_ase_are_the_molecule_that_was_written(name, tmp_path):
    """In angstrom: the harmonic F of the relaxed molecule is that of the same molecule by name."""
    ase_build, ase_io = pytest.importorskip("ase.build"), pytest.importorskip("ase.io")
    ase_io.write(tmp_path / name, ase_build.molecule("H2O"))
    found = Molecule(atoms=str(tmp_path / name)).harmonic()
    assert found == pytest.approx(Molecule(atoms="H2O").harmonic(), abs=1e-4)


@pytest.mark.parametrize("name", ["POSCAR", "water.extxyz"])
def test_periodic_cells_are_refused_in_one_line(name, tmp_path):
    ase_build, ase_io = pytest.importorskip("ase.build"), pytest.importorskip("ase.io")
    water = ase_build.molecule("H2O", vacuum=5.0)
    water.pbc = True
    ase_io.write(tmp_path / name, water)
    with pytest.raises(InputError, match=r"^atoms = .*: must be a molecule in free space, without a periodic cell$"):
        Molecule(atoms=str(tmp_path / name))


def test_relaxation_that_finds_no_minimum_is_refused():
    with pytest.raises(ValueError, match="no minimum"):
        relaxed(lambda x: (np.abs(x).sum(), -np.sign(x)), np.eye(3) + 0.1)
