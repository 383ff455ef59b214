"""ln Z from both sides and by Bennett's acceptance ratio, against exact values."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flowjax.distributions import Normal

import massieu as ms
from massieu import statistics
from massieu.baselines.bounds import Bounds, _maps
from massieu.cli.main import main
from massieu.methods.particles.options import ParticleOptions
from massieu.runs.directory import prepare


def _works(rng, shape_a, shape_b, shift=1.2, width=0.7):
    """A = exp(-x^2/2), B = exp(-(x - shift)^2/(2 width^2)): -ln(Z_B/Z_A) = -ln width."""

    def change(x):
        return 0.5 * ((x - shift) / width) ** 2 - 0.5 * x**2

    return change(rng.normal(size=shape_a)), -change(shift + width * rng.normal(size=shape_b))


@pytest.mark.parametrize("sizes", [((400,), (400,)), ((800,), (100,))])
def test_bennetts_error_is_calibrated(sizes):
    rng = np.random.default_rng(0)
    found = [statistics.bar(*_works(rng, *sizes)) for _ in range(400)]
    z = [(e.value + np.log(0.7)) / e.error for e in found]
    assert abs(np.mean(z)) < 0.25 and np.std(z) == pytest.approx(1, abs=0.12)


def test_bennetts_error_counts_correlated_chains_by_their_effective_number():
    """Every sample four times over: the error of a quarter of the samples."""
    rng = np.random.default_rng(1)
    forward, reverse = _works(rng, (20, 64), (20, 64))
    once = statistics.bar(forward.ravel(), reverse.ravel())
    held = statistics.bar(np.repeat(forward, 4, axis=1), np.repeat(reverse, 4, axis=1))
    assert held.value == pytest.approx(once.value, abs=0.3 * once.error)
    assert held.error == pytest.approx(once.error, rel=0.3)


def test_bennett_beats_reweighting_either_way():
    rng = np.random.default_rng(2)
    both = [_works(rng, (300,), (300,)) for _ in range(100)]
    errors = [
        np.std([estimate(*works) for works in both])
        for estimate in (
            lambda f, r: statistics.bar(f, r).value,
            lambda f, r: statistics.log_mean_weight(-f).value,
            lambda f, r: statistics.log_mean_weight(-r).value,
        )
    ]
    assert errors[0] < min(errors[1:])


def _holds(found, exact):
    """The bounds enclose the exact value, and the two estimates agree with it."""
    assert found.lower.value - 4.5 * found.lower.error < exact < found.upper.value + 4.5 * found.upper.error
    assert found.gap.value > 0 and found.r_hat < 1.05
    for estimate in (found.bar, found.importance):
        assert abs(statistics.z_score(estimate, ms.Estimate(exact))) < 4.5
    assert found.bar.error < found.importance.error


@pytest.fixture(scope="module")
def field():
    """Four sites with their fresh flow, moved a little: far from exact, and no training to wait for."""

    def of(lam, moved):
        system = ms.Phi4(l=2, lam=lam)
        return ms.Target(system, moved(system.default_density(0), 0.01), 1.0)

    return of


def test_bounds_enclose_ln_z_of_a_field(field, moved):
    target = field(8.0, moved)
    _holds(ms.log_partition_bounds(target, samples=1000, stages=50), _lnz(target.system))


@pytest.fixture(scope="module")
def spins(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bounds") / "ising"
    options = ["--steps", "5", "--batch", "64", "--samples", "1000", "--density", "made"]
    assert main(["run", "ising", "--l", "4", "--beta", "0.3", *options, "--out", str(folder)]) == 0
    return folder


def test_command_writes_bounds_of_spins_around_the_exact_value(spins, capsys, told):
    assert main(["bounds", str(spins), "--samples", "10000", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == json.loads((spins / "bounds.json").read_text())
    exact = ms.Ising(l=4, beta=0.3).reference().best.lnZ.value
    assert shown["reference"]["value"] == pytest.approx(exact)
    fields = Bounds._fields
    found = Bounds(**{k: ms.Estimate(**v) if isinstance(v := shown[k], dict) else v for k in fields})
    _holds(found, exact)
    assert main(["bounds", str(spins), "--samples", "1000", "--stages", "50"]) == 0
    told(capsys.readouterr().out, "reading", "1000 samples", "chains of the system, 50", "ln p of", "lower bound")


def test_bounds_refuse_what_they_cannot_bound(refused, spins):
    refused(["bounds", "/no/such/place"], "must be a run directory")
    refused(["bounds", str(spins), "--samples", "10"], "samples = 10")
    refused(["bounds", str(spins), "--stages", "1"], "stages = 1")
    target = ms.Target(ms.Ising(l=2), ms.densities.MADE(4), 0.9)
    with pytest.raises(ms.InputError, match=r"beta = 0\.9"):
        ms.log_partition_bounds(target)
    with pytest.raises(ms.InputError, match="equilibrium"):
        ms.log_partition_bounds(target, equilibrium=np.ones((2, 10, 3)))
    with pytest.raises(ms.InputError, match="density = MADE"):
        ms.free_energy_difference(target, target)


def test_a_run_of_electrons_is_refused(tmp_path, refused):
    gas = ms.ElectronGas(n=2, theta=0.5, cutoff=9)
    prepare(tmp_path / "gas", gas, gas.beta, ParticleOptions())
    refused(["bounds", str(tmp_path / "gas")], "system = electron-gas: must be a classical one")


def test_exact_flows_carry_samples_without_any_spread_of_the_work():
    """Two oscillators: ln Z = d ln(2 pi/(beta kappa))/2, and the exact densities are Gaussians."""

    near, far = (ms.CoulombTrap(n=1, dim=2, beta=2.0, kappa=k) for k in (1.0, 5.0))
    a, b = (
        ms.Target(s, Normal(jnp.zeros((1, 2)), jnp.full((1, 2), 1 / np.sqrt(4 * s.kappa))), 2.0) for s in (near, far)
    )
    found = ms.free_energy_difference(a, b, samples=1000, stages=20)
    assert found.targeted.value == pytest.approx(np.log(5.0), abs=1e-9) and found.targeted.error < 1e-9
    assert abs(statistics.z_score(found.plain, ms.Estimate(np.log(5.0)))) < 4.5 and found.plain.error > 1e-3


def test_a_map_between_field_theories_does_not_change_the_answer(field, moved):
    """The bases of the flows alone, Gaussian fields: however good the map is."""
    a, b = (target._replace(density=target.density.base) for target in (field(8.0, moved), field(4.0, moved)))
    found = ms.free_energy_difference(a, b, samples=3000, stages=100)
    exact = _lnz(a.system) - _lnz(b.system)
    for estimate in (found.targeted, found.plain):
        assert abs(statistics.z_score(estimate, ms.Estimate(exact))) < 4.5 and estimate.error < 0.05


def test_a_flow_makes_a_point_from_its_latent_point(field, moved):
    flow = field(8.0, moved).density.for_evaluation()
    to_latent, from_latent, law = _maps(flow)
    x = jax.random.normal(jax.random.key(0), (5, 2, 2))
    z, back = jax.jit(jax.vmap(lambda x: (z := to_latent(x), from_latent(z))))(x)
    np.testing.assert_allclose(back, x, atol=1e-6)
    assert jnp.abs(z - x).max() > 0.1 and law == (2, 2)


def _lnz(system):
    """2 x 2 sites on a grid: a ring with two bonds between neighbours, a trace of transfer matrices."""
    x = np.linspace(-2.5, 2.5, 101)
    site = np.exp(-0.5 * (system.m2 * x**2 + system.lam * x**4))
    bond = np.outer(site, site) * np.exp(-2 * (x[:, None] - x) ** 2)
    return np.log(np.trace(np.linalg.matrix_power(bond * (x[1] - x[0]), 4)))
