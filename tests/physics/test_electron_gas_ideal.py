"""The canonical ideal Fermi gas and Ewald sums against reference tables, and how the textbook recursion fails."""

import json
import math
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from massieu.physics.ewald import Ewald, madelung
from massieu.physics.fermi_gas import ideal_gas, log_symmetric, sample_occupied
from massieu.physics.momentum_shells import choose_cutoff, complete_levels, cutoff_error
from massieu.systems import ElectronGas

DATA = json.loads((Path(__file__).parents[1] / "data" / "electron_gas.json").read_text())
KEY = re.compile(r"ifg\.(\d)d\.(pol|unpol)\.N(\d+)\.Theta([\d.]+?)\.(?:(gamma|twist0\.25)\.)?rs(\d+)")


@pytest.mark.parametrize("entry", DATA["ideal"], ids=lambda e: e["key"])
def test_ideal_gas_agrees_with_700_digits(entry):
    dim, kind, n, theta, twist, rs = KEY.fullmatch(entry["key"]).groups()
    gas = ElectronGas(
        n=int(n), dim=int(dim), rs=float(rs), theta=float(theta), polarised=kind == "pol",
        twist="0.25" if twist == "twist0.25" else "0",
    )  # fmt: skip
    ideal = gas.ideal()
    entropy = entry.get("S_per_N_kB", entry.get("S_per_N"))
    assert ideal.F.value / gas.n == pytest.approx(entry["F_per_N"], rel=1e-10)
    assert ideal.E.value / gas.n == pytest.approx(entry["E_per_N"], rel=1e-10)
    assert ideal.S.value / gas.n == pytest.approx(entropy, rel=1e-9, abs=1e-10)


def _borrmann_franke(levels, n, beta):
    """Z_N = 1/N sum_k (-1)^(k+1) z(k beta) Z_{N-k} in float64: alternating signs."""
    z = [np.exp(-beta * k * (levels - levels.min())).sum() for k in range(n + 1)]
    Z = [1.0]
    for m in range(1, n + 1):
        Z.append(sum((-1) ** (k + 1) * z[k] * Z[m - k] for k in range(1, m + 1)) / m)
    return Z[n]


def test_alternating_recursion_loses_all_digits_where_positive_terms_do_not():
    gas = ElectronGas(n=29, theta=0.0625, rs=1.0)
    _, levels = complete_levels(29, 2, gas.length, np.zeros(2), gas.temperature)
    exact = -gas.beta * (ideal_gas(levels, 29, gas.beta).F - 29 * levels.min())
    alternating = _borrmann_franke(levels, 29, gas.beta)
    assert not (alternating > 0 and abs(math.log(alternating) - exact) < 1.0)
    mild = _borrmann_franke(levels, 3, 0.05)
    assert math.log(mild) == pytest.approx(-0.05 * (ideal_gas(levels, 3, 0.05).F - 3 * levels.min()), abs=1e-10)


def test_occupations_sum_to_n_and_heat_capacity_is_the_slope_of_the_energy():
    levels, beta = np.array([0.0, 1.0, 1.0, 1.5, 2.0, 4.0]), 1.3
    gas = ideal_gas(levels, 3, beta)
    assert gas.occupations.sum() == pytest.approx(3, abs=1e-12)
    step = 1e-4
    slope = (ideal_gas(levels, 3, 1 / (1 / beta + step)).E - ideal_gas(levels, 3, 1 / (1 / beta - step)).E) / (2 * step)
    assert pytest.approx(slope, rel=1e-6) == gas.C


def test_exact_sampling_of_the_ideal_gas():
    levels, beta = np.array([0.0, 0.5, 0.5, 1.0, 1.7]), 1.1
    log_w = -beta * jnp.asarray(levels)
    table = log_symmetric(log_w, 2)
    keys = jax.random.split(jax.random.key(0), 40000)
    sets = np.asarray(jax.vmap(lambda key: sample_occupied(key, table, log_w))(keys))
    assert np.all(sets[:, 0] < sets[:, 1])
    found = np.bincount(sets.ravel(), minlength=5) / len(sets)
    exact = ideal_gas(levels, 2, beta).occupations
    assert np.all(np.abs(found - exact) < 4.5 * np.sqrt(exact * (1 - exact) / len(sets)))


def test_cutoff_keeps_its_promise():
    gas = ElectronGas(n=5, theta=0.5, rs=2.0)
    _, levels = complete_levels(5, 2, gas.length, np.zeros(2), gas.temperature)
    kept, error = choose_cutoff(levels, 5, gas.temperature, 1e-4)
    assert 0 < error <= 1e-4 * 5 * gas.temperature
    assert levels[kept] > levels[kept - 1]  # whole shells
    assert cutoff_error(levels, kept, 5, gas.temperature) == error


@pytest.mark.parametrize("entry", DATA["ewald"], ids=lambda e: e["key"])
def test_ewald_sum_agrees_with_lattice_sums(entry):
    if "selfimage" in entry["key"]:
        assert madelung(3 if "cubic" in entry["key"] else 2) == pytest.approx(entry["value"]["c"], abs=1e-10)
        return
    dim = int(entry["key"][-2])
    positions = jnp.asarray(np.random.default_rng(42).random((6, dim)))
    charges = jnp.array([1.0, 1, 1, -1, -1, -1]) if "neutral" in entry["key"] else None
    assert float(Ewald(dim).energy(positions, charges)) == pytest.approx(entry["value"]["E_total"], abs=1e-9)


def test_ewald_energy_does_not_change_under_translation_and_lattice_vectors():
    x = jax.random.uniform(jax.random.key(1), (5, 3))
    moved = x + 0.37 + jnp.array([0, 1, -2, 0, 3])[:, None]
    assert float(Ewald(3).energy(moved)) == pytest.approx(float(Ewald(3).energy(x)), abs=1e-10)
