"""ln Z from both sides and by Bennett's acceptance ratio, against exact values."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
from flowjax.distributions import Normal

import massieu as ms
from massieu import statistics
from massieu.cli import main


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


def test_bounds_enclose_ln_z_of_a_field_with_a_barely_trained_flow():
    run = ms.minimize(ms.Phi4(l=4), steps=10, batch=64, samples=1000, reference=False)
    found = ms.log_partition_bounds(run, samples=3000, stages=100)
    _holds(found, 2.4051389616)  # transfer matrix


@pytest.fixture(scope="module")
def spins(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bounds") / "ising"
    options = ["--steps", "5", "--batch", "64", "--samples", "1000", "--density", "made"]
    assert main(["run", "ising", "--l", "4", "--beta", "0.3", *options, "--out", str(folder)]) == 0
    return folder


def test_command_writes_bounds_of_spins_around_the_exact_value(spins, capsys):
    assert main(["bounds", str(spins), "--samples", "20000", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == json.loads((spins / "bounds.json").read_text())
    exact = ms.Ising(l=4, beta=0.3).reference().best.lnZ.value
    assert shown["reference"]["value"] == pytest.approx(exact)
    fields = ms.bounds.Bounds._fields
    found = ms.bounds.Bounds(**{k: ms.Estimate(**v) if isinstance(v := shown[k], dict) else v for k in fields})
    _holds(found, exact)
    assert main(["bounds", str(spins), "--samples", "1000", "--stages", "50"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("lower bound") and len({line.find("  ") for line in lines}) > 1


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
    folder = tmp_path / "gas"
    gas = ["electron-gas", "--n", "2", "--theta", "0.5", "--cutoff", "9", "--mix", "4", "--remix", "0"]
    assert main(["run", *gas, "--steps", "1", "--batch", "16", "--samples", "200", "--out", str(folder)]) == 0
    refused(["bounds", str(folder)], "system = electron-gas: must be a classical one")


def test_exact_flows_carry_samples_without_any_spread_of_the_work():
    """Two oscillators: ln Z = d ln(2 pi/(beta kappa))/2, and the exact densities are Gaussians."""

    class Well(ms.CoulombTrap):
        pass

    near, far = (Well(n=1, dim=2, beta=2.0, kappa=k) for k in (1.0, 5.0))
    a, b = (
        ms.Target(s, Normal(jnp.zeros((1, 2)), jnp.full((1, 2), 1 / np.sqrt(4 * s.kappa))), 2.0) for s in (near, far)
    )
    found = ms.free_energy_difference(a, b, samples=1000, stages=20)
    assert found.targeted.value == pytest.approx(np.log(5.0), abs=1e-9) and found.targeted.error < 1e-9
    assert abs(statistics.z_score(found.plain, ms.Estimate(np.log(5.0)))) < 4.5 and found.plain.error > 1e-3


def test_flows_of_a_family_carry_one_field_theory_to_another():
    """Phi4 at lam = 6 and 8 with a barely trained flow: the map must not change the answer."""
    system = ms.Phi4(l=2)
    run = ms.minimize(system, steps=10, batch=64, samples=1000, range="lam:4:8", reference=False)
    other = dataclasses.replace(system, lam=5.0)
    found = ms.free_energy_difference(run, ms.Target(other, run.at(5.0), 1.0), samples=3000, stages=100)
    exact = _lnz(system) - _lnz(other)
    for estimate in (found.targeted, found.plain):
        assert abs(statistics.z_score(estimate, ms.Estimate(exact))) < 4.5


def _lnz(system):
    """2 x 2 sites on a grid: each pair of neighbours has two bonds, so that the ring is a trace of transfer matrices."""
    x = np.linspace(-2.5, 2.5, 101)
    site = np.exp(-0.5 * (system.m2 * x**2 + system.lam * x**4))
    bond = np.sqrt(np.outer(site, site)) * 0 + np.outer(site, site) * np.exp(-2 * (x[:, None] - x) ** 2)
    return np.log(np.trace(np.linalg.matrix_power(bond * (x[1] - x[0]), 4)))
