"""Baselines against exact values, their errors against their own spread, and the command."""

import json

import jax
import numpy as np
import pytest

import massieu as ms
from massieu.baselines.chains import baseline
from massieu.cli.main import main
from massieu.errors import InputError
from massieu.exact.population import sequential_monte_carlo

EXACT = {
    "ising": (ms.Ising(l=3, beta=0.5), None),
    "phi4": (ms.Phi4(l=4), 2.4051389616),  # transfer matrix
    "coulomb-trap": (ms.CoulombTrap(n=2), None),
}


@pytest.mark.parametrize("method", ["ais", "smc"])
@pytest.mark.parametrize("name", EXACT)
def test_annealing_finds_ln_z_within_its_error(name, method):
    system, lnZ = EXACT[name]
    exact = system.reference().best
    lnZ = exact.lnZ.value if lnZ is None else lnZ
    found = baseline(system, method, walkers=800, stages=100, seed=3).values
    assert abs(found.lnZ.value - lnZ) < 4.5 * found.lnZ.error < 0.5
    assert abs(found.E.value - exact.E.value) < 4.5 * np.hypot(found.E.error, exact.E.error)


@pytest.mark.parametrize(("name", "method"), [("ising", "metropolis"), ("phi4", "hmc"), ("phi4", "metropolis"),
                                              ("coulomb-trap", "hmc"), ("coulomb-trap", "metropolis")])  # fmt: skip
def test_chains_have_the_exact_energy(name, method):
    system = EXACT[name][0]
    exact, found = system.reference().best.E, baseline(system, method, stages=200, seed=1)
    energy = found.observables["energy"]
    assert abs(energy["value"] - exact.value) < 4.5 * np.hypot(energy["error"], exact.error)
    assert found.details["r_hat"] < 1.1


def test_resampling_keeps_z_unbiased_and_its_error_honest():
    """Gaussian weights of walkers that never move: ln <w> = sum of variances/2 without resampling to a single one."""
    values = []
    for seed in range(40):
        rng = np.random.default_rng(seed)

        def carry(x, segment, rng=rng):
            return x, rng.normal(0, 0.8, len(x))

        found = sequential_monte_carlo(np.zeros(400), carry, lambda x, i: x[i], 5, 8, 50, np.random.default_rng(seed))
        assert found.resampled > 0
        values.append((found.log_ratio.value - 5 * 0.32) / found.log_ratio.error)
    assert abs(np.mean(values)) < 0.8 and 0.6 < np.std(values) < 2.0


def test_a_method_that_does_not_fit_is_named():
    for method, name in (("hmc", "method"), ("gibbs", "method")):
        with pytest.raises(InputError, match=rf"^{name} = "):
            baseline(ms.Ising(l=3), method)
    with pytest.raises(InputError, match=r"^walkers = "):
        baseline(ms.Ising(l=3), "ais", walkers=3)


def test_command_sets_methods_beside_a_run(tmp_path, monkeypatch, capsys, told):
    monkeypatch.chdir(tmp_path)
    with jax.enable_x64(True):
        ms.minimize(ms.Ising(l=3), steps=4, samples=1000, out=tmp_path / "run")
    command = ["baseline", "ising", "--l", "3", "--method", "ais,metropolis", "--stages", "20,40"]
    assert main([*command, "--run", "run", "--out", "compared.png"]) == 0
    shown = capsys.readouterr().out
    told(shown, "ais, 20 stages", "ais, 40", "metropolis, 20", "metropolis, 40", "computing the reference of ising")
    assert "network, reweighted" in shown and "in the same time" in shown and (tmp_path / "compared.png").exists()
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(row["method"], row["stages"]) for row in found] == [
        ("ais", 20), ("ais", 40), ("metropolis", 20), ("metropolis", 40)
    ]  # fmt: skip
    assert main(["baseline", "ising", "--l", "4", "--run", "run"]) == 2
    assert main(["baseline", "hydrogen", "--n", "2"]) == 2


def test_frozen_chains_are_not_called_mixed():
    """Heat bath at beta = 12 from random starts: domains stand still, and no error bar knows it."""
    found = baseline(ms.Ising(l=4, beta=12.0), "metropolis", stages=10)
    assert found.warnings and not found.as_dict()["trusted"]
    assert "energy" in found.warnings[0] and found.details["r_hat"] > 1.05
