"""The quantum dot against the exact pair, independent diagonalisation, the canonical gas and the virial theorem."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import massieu as ms
from massieu.cli.main import main
from massieu.densities.occupation import Occupation
from massieu.exact.trapped_gas import ideal_gas
from massieu.exact.trapped_pair import pair
from massieu.methods.method import method_of
from massieu.methods.particles.figures_trap import in_frame_of_one
from massieu.statistics import z_score

pytestmark = pytest.mark.acceptance

# exact diagonalisation in Jacobi oscillator coordinates, centre of mass exact: F, E, S of one spin (errors 5e-5)
THREE = {(2.0, 10.0): (8.320104, 8.321184, 0.010802), (2.0, 2.0): (7.852534, 9.160246, 2.615424)}
ONE = (2.0, 1.0, 5.798903912640341)  # of three, the same way: kappa, beta, F
PAIRS = {  # radial grids; parity: F, E, S
    (2.0, 10.0, "odd"): (4.072428014, 4.141842786, 0.694147719),
    (1.0, 2.0, "both"): (2.567581451, 3.685142497, 2.235122090),
    (2.0, 2.0, "even"): (3.473076115, 4.281413768, 1.616675305),
    (0.0, 1.0, "odd"): (1.098675613, 4.790023985, 3.691348372),
}


@pytest.mark.parametrize(("kappa", "beta", "parity"), PAIRS)
def test_pair_agrees_with_independent_values(kappa, beta, parity):
    found = pair(2, beta, kappa, parity)
    for mine, exact in zip((found.F, found.E, found.S), PAIRS[kappa, beta, parity], strict=True):
        assert mine.value == pytest.approx(exact, abs=1e-7)


def test_pair_on_a_line_and_in_space():
    assert pair(1, 1.0, 1.0, "odd").F.value == pytest.approx(1.9338530881990783, abs=1e-8)
    assert pair(3, 1.0, 0.0, "odd").F.value == pytest.approx(1.0449980734650322, abs=1e-9)
    for dim in (1, 2, 3):
        for parity, statistics in (("odd", "fermi"), ("even", "bose"), ("both", "boltzmann")):
            lnZ, E = ideal_gas(2, dim, 0.8, statistics)
            found = pair(dim, 0.8, 0.0, parity)
            assert found.lnZ.value == pytest.approx(lnZ, abs=1e-8) and found.E.value == pytest.approx(E, abs=1e-7)
    assert pair(2, math.inf, 1.0, "both").E.value == pytest.approx(3.0, abs=1e-10)  # Taut, Phys. Rev. A 48, 3561 (1993)


@pytest.mark.parametrize(
    ("options", "beta"),
    [
        ({"n": 2}, 1.0),
        ({"n": 6}, 2.0),
        ({"n": 10}, 2.0),
        ({"n": 10}, 10.0),
        ({"n": 4, "polarised": False}, 2.0),
        ({"n": 4, "statistics": "bose"}, 1.0),
        ({"n": 3, "statistics": "boltzmann"}, 2.0),
        ({"n": 5, "dim": 1}, 1.0),
        ({"n": 3, "dim": 3}, 2.0),
    ],
)
def test_without_repulsion_every_sample_has_the_free_energy_of_the_canonical_gas(options, beta):
    system = ms.QuantumDot(kappa=0.0, beta=beta, **options)
    rho = system.default_ansatz(method_of(system).configure(system))
    p = rho.p
    label, log_p = jax.jit(jax.vmap(p.sample_and_log_prob))(jax.random.split(jax.random.key(0), 200))
    quanta = np.asarray(rho.psi.orbitals).sum(axis=1)
    energy = quanta[np.asarray(label)[:, 1:]].sum(axis=1) + 0.5 * system.dim * system.n
    F = energy + np.asarray(log_p) / beta
    np.testing.assert_allclose(F, F[0], atol=1e-9)
    assert 0 <= F[0] - system.ideal().F.value + 1e-9 < 6e-4 * system.n / beta
    np.testing.assert_allclose(jax.vmap(p.log_prob)(label), log_p, atol=1e-10)


def test_bosons_share_levels_and_their_density_is_normalised():
    levels = np.array([0.0, 1.0, 1.0, 2.0])
    numbers = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    p = Occupation(numbers[None] * 1.0, -levels[None], (3,), bosons=True, key=jax.random.key(0))
    sets = [(a, b, c) for a in range(4) for b in range(a, 4) for c in range(b, 4)]
    log_p = jax.vmap(p.log_prob)(jnp.array([[0, *s] for s in sets]))
    assert float(jnp.sum(jnp.exp(log_p))) == pytest.approx(1.0, abs=1e-12)


def test_singlet_of_two_electrons_has_energy_three():
    system = ms.QuantumDot(n=2, polarised=False, kappa=1.0, beta=math.inf)
    run = ms.minimize(system, states="flow", steps=200, samples=8000, seed=0)
    assert abs(run.E.value - 3.0) < 0.003 + 4 * run.E.error
    assert run.result.observables["fraction_not_bijective"] == 0


def _is_met(run, F, E, S):
    """F is a bound within 0.1 % of the exact value, E and S are within 0.5 and 1 %."""
    assert -4 * run.F.error < run.F.value - F < 1e-3 * abs(F) + 4 * run.F.error
    assert run.E.value == pytest.approx(E, rel=5e-3, abs=4 * run.E.error)
    assert run.S.value == pytest.approx(S, rel=1e-2, abs=1e-3 + 4 * run.S.error)


@pytest.mark.parametrize(
    "options",
    [
        {"kappa": 2.0, "beta": 10.0},
        pytest.param({"kappa": 1.0, "beta": 2.0, "polarised": False}, marks=pytest.mark.validation),
        pytest.param({"kappa": 3.0, "beta": 2.4, "dim": 1}, marks=pytest.mark.validation),
        pytest.param({"kappa": 1.7, "beta": 1.3, "dim": 3}, marks=pytest.mark.validation),
        pytest.param({"kappa": 1.0, "beta": math.inf, "polarised": False}, marks=pytest.mark.validation),
    ],
)
def test_correlated_states_of_a_pair_meet_the_exact_values(options):
    system = ms.QuantumDot(n=2, **options)
    exact = system.reference().best
    run = ms.minimize(system, samples=100_000, seed=1)
    _is_met(run, exact.F.value, exact.E.value, exact.S.value if exact.S else 0.0)


@pytest.mark.validation
@pytest.mark.parametrize(("kappa", "beta"), [(2.0, 10.0), (2.0, 2.0)])
def test_correlated_states_of_three_meet_the_exact_values(kappa, beta):
    run = ms.minimize(ms.QuantumDot(n=3, kappa=kappa, beta=beta), samples=100_000, seed=1)
    _is_met(run, *THREE[kappa, beta])
    found = run.result.observables
    by_oscillator = found["centre_of_mass_squared"]  # of N R^2, dim/2 coth(beta/2)
    assert abs(by_oscillator["value"] - 1 / math.tanh(beta / 2)) < 4 * by_oscillator["error"]


@pytest.fixture(scope="module")
def three():
    return ms.minimize(ms.QuantumDot(n=3, kappa=2.0, beta=2.0), states="flow", steps=150, samples=8000, seed=0)


@pytest.mark.validation
def test_three_electrons_are_near_and_not_below_the_exact_free_energy(three):
    exact = THREE[2.0, 2.0]
    assert -4 * three.F.error < three.F.value - exact[0] < 0.025 + 4 * three.F.error
    assert three.E.value == pytest.approx(exact[1], abs=0.06 + 4 * three.E.error)
    assert three.S.value == pytest.approx(exact[2], abs=0.12 + 4 * three.S.error)


@pytest.mark.validation
def test_samples_are_in_equilibrium(three):
    """Kinetic energy by parts; the centre of mass is an oscillator, whose virial vanishes exactly."""
    found = three.result.observables
    by_parts, direct = (ms.Estimate(*found[k].values()) for k in ("kinetic_energy_from_gradient", "kinetic_energy"))
    assert abs(z_score(by_parts, direct)) < 4
    centre = found["centre_of_mass_virial"]
    assert abs(centre["value"]) < 4 * centre["error"]
    assert abs(found["virial"]["value"]) < 0.1 + 4 * found["virial"]["error"]


def test_an_electron_sees_the_others_away_from_it():
    plane = np.array([[[0.0, 2.0], [0.0, -1.0]], [[-3.0, 0.0], [1.0, 0.0]]])
    others, radius = in_frame_of_one(plane)
    np.testing.assert_allclose(others, [[-1.0, 0.0], [-1.0, 0.0]], atol=1e-12)
    assert radius == 2.5


def test_run_from_the_command_line(tmp_path, capsys):
    out = tmp_path / "dot"
    assert main(["run", "quantum-dot", "--n", "2", "--steps", "2", "--samples", "200", "--out", str(out)]) == 0
    assert "measuring the Hamiltonian between" in capsys.readouterr().out
    assert main(["evaluate", str(out), "--samples", "100"]) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["reference"]["F"]["value"] == pytest.approx(3.5271750814)
    assert {p.name for p in (out / "figures").iterdir()} >= {"densities.png", "pair_density.png", "energies.png"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--n", "0"], "n = 0"),
        (["--n", "3", "--polarised", "false"], "polarised = False"),
        (["--kappa", "-1"], "kappa = -1.0"),
        (["--beta", "0"], "beta = 0.0"),
        (["--beta", "0.01"], "beta = 0.01"),
        (["--statistics", "bose", "--polarised", "false"], "polarised = False"),
        (["--statistics", "para"], "statistics = para"),
        (["--shells", "1"], "shells = 1"),
        (["--sampler", "mala"], "sampler = mala"),
        (["--density", "made"], "density = made"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, message, refused):
    refused(["run", "quantum-dot", *arguments], message)
