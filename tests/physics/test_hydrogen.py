"""Dense hydrogen: ideal limits, Coulomb energy, the atom, chains that follow, commands."""

import json
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import massieu as ms
from massieu.cli.main import main
from massieu.densities.protons import ProtonFlow
from massieu.errors import InputError
from massieu.methods.atoms import chains as electron_chains
from massieu.methods.method import method_of
from massieu.systems import Hydrogen
from massieu.systems.hydrogen import MASSES
from massieu.units import GPA, KELVIN_PER_RYDBERG


@pytest.fixture(scope="module", autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def test_identity_flow_has_the_entropy_of_the_ideal_gas():
    """S/N = ln(4 pi N/3) - ln N!/N + 3/2 (1 + ln(m T rs^2/4 pi)); the N! is there."""
    system = Hydrogen(n=14, rs=1.25, temperature=6000.0)
    kT = 6000 / KELVIN_PER_RYDBERG
    expected = math.log(4 * math.pi * 14 / 3) - math.lgamma(15) / 14
    expected += 1.5 * (1 + math.log(MASSES["h"] * kT * 1.25**2 / (4 * math.pi)))
    assert pytest.approx(expected, rel=1e-12) == system.ideal_ions().S / 14
    z = jax.random.uniform(jax.random.key(0), (4, 14, 3))
    log_prob = electron_chains.log_probs(method_of(system).ansatz(system, method_of(system).configure(system)), z)
    np.testing.assert_allclose(log_prob, 0.0, atol=1e-12)  # so that S of the run is the ideal one


def test_sackur_tetrode_limit():
    n = 128
    system = Hydrogen(n=n, rs=2.0, temperature=1e5, isotope="d")
    kT, volume = 1e5 / KELVIN_PER_RYDBERG, 4 * math.pi / 3 * 8.0
    wavelength = math.sqrt(4 * math.pi / (MASSES["d"] * kT))
    tetrode = math.log(volume / wavelength**3) + 2.5
    assert system.ideal_ions().S / n == pytest.approx(tetrode - 0.5 * math.log(2 * math.pi * n) / n, abs=1e-5)
    assert pytest.approx(system.ideal_ions().E - kT * system.ideal_ions().S, rel=1e-12) == system.ideal_ions().F


def test_ideal_pressure_is_the_slope_of_f():
    system = Hydrogen(n=14, rs=1.25)
    free = lambda length: Hydrogen(n=14, box=length).ideal_ions().F  # noqa: E731
    h = 1e-4
    slope = -(free(system.length + h) - free(system.length - h)) / (2 * h) / (3 * system.length**2)
    assert system.pressure(0.0, 0.0) == pytest.approx(GPA * slope, rel=1e-6)


def test_caesium_chloride():
    """A proton and an electron half a diagonal apart: Madelung constant 1.762674773 (nearest neighbours)."""
    system = Hydrogen(n=1, box=4.0, clamped=True)
    energy = system.potential(jnp.zeros((1, 3)), jnp.full((1, 3), 0.5))
    assert energy == pytest.approx(-2 * 1.762674773 / (4.0 * math.sqrt(3) / 2), rel=1e-8)


@pytest.mark.acceptance
def test_one_atom_in_a_large_box():
    """-1 Ry, and the polarisation of its images: -4 pi/3 <r^2>/L^3 = -0.0016 Ry in a box of 20 a0."""
    run = ms.minimize(Hydrogen(n=1, box=20.0, clamped=True), steps=200, batch=256, samples=10_000)
    assert abs(run.E.value + 1.0016) < 4 * run.E.error + 5e-4
    assert run.E.value > -1.0016 - 4 * run.E.error
    assert run.result.F_var < 0.01
    kinetic = (run.result.observables[k] for k in ("kinetic_energy", "kinetic_energy_from_gradient"))
    a, b = (ms.Estimate(k["value"], k["error"]) for k in kinetic)
    assert abs(a.value - b.value) < 5 * math.hypot(a.error, b.error)


def test_electrons_follow_protons():
    """Warped electrons stay with their protons, and a shift of all protons shifts all electrons."""
    before = jnp.array([[0.1, 0.1, 0.1], [0.6, 0.6, 0.6]])
    x = before + 0.01
    moved = electron_chains.warped(before, before.at[0, 0].add(0.05), x)
    np.testing.assert_allclose(moved[0] - x[0], [0.05, 0, 0], atol=5e-3)
    np.testing.assert_allclose(moved[1], x[1], atol=5e-3)
    np.testing.assert_allclose(electron_chains.warped(before, before + 0.2, x), x + 0.2, atol=1e-12)


def test_chains_of_protons_keep_their_density():
    """Base points after many hops are uniform: mean position and S(k) of the identity flow."""
    system = Hydrogen(n=2, rs=2.0)
    rho = method_of(system).ansatz(system, method_of(system).configure(system, width=4))
    walkers = electron_chains.start(system, rho, 256, 1, jax.random.key(9))
    step = jax.jit(lambda w, k: electron_chains.follow(system, rho, w, k, "metropolis", 1)[0])
    for i in range(10):
        walkers = step(walkers, jax.random.key(i))
    wave = np.asarray(jnp.exp(2j * jnp.pi * walkers.protons[..., 0]).sum(axis=1))
    assert abs(np.mean(np.abs(wave) ** 2) / 2 - 1) < 4 / math.sqrt(len(wave))
    np.testing.assert_allclose(walkers.protons, walkers.z, atol=1e-12)


def test_lattices_and_molecules():
    sites = Hydrogen(n=16, rs=1.31, clamped=True).sites()
    d = sites[:, None] - sites
    distance = np.sqrt(np.sum((d - np.round(d)) ** 2, axis=-1)) + np.eye(16)
    np.testing.assert_allclose(distance.min(axis=1), math.sqrt(3) / 4)
    assert np.all(np.sum(np.isclose(distance, math.sqrt(3) / 4), axis=1) == 8)
    pair = Hydrogen(n=2, box=20.0, clamped=True, bond=1.4)
    assert np.linalg.norm(pair.sites()[0] - pair.sites()[1]) * 20 == pytest.approx(1.4)
    assert pair.molecular_fraction(jnp.asarray(pair.sites())) == 1
    assert Hydrogen(n=16, rs=1.31).molecular_fraction(jnp.asarray(sites)) == 0


@pytest.mark.parametrize("bad", [
    {"n": 3}, {"n": 0}, {"n": 14, "clamped": True}, {"rs": -1.0}, {"rs": math.nan}, {"temperature": -5.0},
    {"temperature": 0.0}, {"temperature": math.inf}, {"isotope": "he"}, {"electrons": "cold"}, {"bond": 1.4},
    {"box": 0.0}, {"twist": "0.7"}, {"twist": "average", "twists": "grid:0"},
    {"electrons": "thermal", "clamped": True, "n": 2, "temperature": 0.0},
    {"electrons": "thermal", "temperature": 1e9}, {"rs": 1.3, "box": 10.0}, {"temperature": 1e-300},
    {"n": 2, "clamped": True, "bond": 1e-9}, {"twist": "[0.1,0.2,0.3"},
])  # fmt: skip
def test_bad_input_names_the_field(bad):
    with pytest.raises(InputError) as error:
        Hydrogen(**bad)
    assert "must be" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(("system", "options"), [
    ({"n": 2}, {"sampler": "direct"}), ({"n": 2}, {"walkers": 1}), ({"n": 2}, {"determinants": 0}),
    ({"n": 2}, {"batch": 8}), ({"n": 2, "electrons": "thermal"}, {"width": 8, "states": "flow"}),
    ({"n": 2, "electrons": "thermal"}, {"states": "best"}), ({"n": 2}, {"states": "flow"}),
    ({"n": 2, "electrons": "thermal"}, {"walkers": 2}),
    ({"n": 2, "electrons": "thermal"}, {"determinants": 2}), ({"n": 2}, {"beta": 1.0}),
])  # fmt: skip
def test_bad_options_are_refused_before_anything_runs(system, options, tmp_path):
    with pytest.raises(InputError, match=f"^{next(iter(options))} = .*: must be"):
        ms.minimize(Hydrogen(**system), out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_negative_twist_is_a_value(capsys):
    assert main(["run", "hydrogen", "--n", "2", "--twist", "-0.3,0.1,0.2", "--dry-run"]) == 0
    assert "twist: -0.3,0.1,0.2" in capsys.readouterr().out


@pytest.mark.acceptance
def test_chains_of_a_trained_density_keep_it():
    """ln p(S) of base points that walked has the mean and variance of fresh ones, for a flow that is no identity."""
    flow = ProtonFlow(2)
    drawn = iter(jax.random.split(jax.random.key(3), 50))

    def moved(leaf):
        return leaf + 1.0 * jax.random.normal(next(drawn), leaf.shape) if isinstance(leaf, jax.Array) else leaf

    flow = jax.tree.map(moved, flow)
    system = Hydrogen(n=2, rs=2.0)
    rho = eqx.tree_at(
        lambda r: r.protons, method_of(system).ansatz(system, method_of(system).configure(system, width=4)), flow
    )
    walkers = electron_chains.start(system, rho, 512, 2, jax.random.key(9))
    step = jax.jit(lambda w, k: electron_chains.follow(system, rho, w, k, "metropolis", 1)[0])
    for i in range(10):
        walkers = step(walkers, jax.random.key(i))
    walked = np.asarray(electron_chains.log_probs(rho, walkers.z))
    fresh = np.asarray(electron_chains.log_probs(rho, jax.random.uniform(jax.random.key(4), (4096, 2, 3))))
    assert fresh.std() > 0.1
    for of in (lambda v: v, lambda v: (v - fresh.mean()) ** 2):
        a, b = of(walked), of(fresh)
        assert abs(a.mean() - b.mean()) < 4 * math.hypot(a.std() / math.sqrt(len(a)), b.std() / math.sqrt(len(b)))


@pytest.mark.acceptance
def test_command_resumes_bit_for_bit(tmp_path, capsys):
    """Six steps at once, and three with three more after an interruption; report, extended XYZ, table."""
    common = ["--n", "2", "--rs", "1.6", "--batch", "32", "--samples", "600", "--checkpoint-every", "3", "--width", "6"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(["run", "hydrogen", *common, "--steps", "6", "--out", str(whole)]) == 0
    text = capsys.readouterr().out
    assert "pressure" in text and "lag of electrons" in text
    assert (whole / "report.html").exists() and (whole / "figures" / "pair_correlations.png").exists()
    assert "Lattice=" in (whole / "samples.extxyz").read_text()
    parts.mkdir()
    (parts / "checkpoints").mkdir()
    (parts / "config.yaml").write_bytes((whole / "config.yaml").read_bytes())
    saved = next((whole / "checkpoints").glob("*3.npz"))
    (parts / "checkpoints" / saved.name).write_bytes(saved.read_bytes())
    rows = (whole / "metrics.csv").read_text().splitlines()
    (parts / "metrics.csv").write_text("\n".join(rows[:4]) + "\n")
    assert main(["resume", str(parts)]) == 0
    ours, theirs = ([r.split(",")[:-1] for r in (d / "metrics.csv").read_text().splitlines()] for d in (parts, whole))
    assert ours == theirs
    summary = json.loads((whole / "summary.json").read_text())
    assert summary["observables"]["fraction_not_bijective"] == 0


@pytest.mark.acceptance
def test_thermal_electrons_to_the_end():
    """Clamped protons: all of S and of C is that of the electrons; both kinetic estimators agree."""
    system = Hydrogen(n=2, rs=1.9, electrons="thermal", temperature=100_000.0, clamped=True)
    run = ms.minimize(system, steps=4, batch=64, samples=2000)
    entropy, heat = run.result.observables["S_electrons"], run.result.C
    assert entropy["value"] > 0.5 and run.S.value == pytest.approx(entropy["value"])
    assert heat.value > 5 * heat.error > 0
    kinetic = (run.result.observables[k] for k in ("kinetic_energy", "kinetic_energy_from_gradient"))
    a, b = (ms.Estimate(k["value"], k["error"]) for k in kinetic)
    assert abs(a.value - b.value) < 4.5 * math.hypot(a.error, b.error)


@pytest.mark.acceptance
def test_thermal_step_is_compiled_once():
    system = Hydrogen(n=2, rs=1.6, electrons="thermal", temperature=20_000.0)
    config = method_of(system).configure(system, batch=16, tune=False)
    problem = method_of(system).problem(system, method_of(system).ansatz(system, config), system.beta, config)
    state = problem.start
    for _ in range(3):
        state, metrics = problem.step(state)
    assert problem.step._cache_size() == 1
    assert np.isfinite(metrics["F"])
    assert eqx.tree_equal(state.walkers.twist, problem.start.walkers.twist)
