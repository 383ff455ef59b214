"""Finite-size corrections: the density response, its limits, exchange by another route, and exact tables."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import j0

from massieu.cli.main import main
from massieu.physics import finite_size as fs
from massieu.physics.ewald import madelung
from massieu.physics.lindhard import chemical_potential, energies, infinite_gas, response
from massieu.principle import Estimate
from massieu.systems import ElectronGas
from massieu.units import box_length, fermi_temperature

DATA = json.loads((Path(__file__).parents[1] / "data" / "electron_gas.json").read_text())["interacting"]


def _box(n, dim, rs, theta):
    return fs.Box((n,), dim, box_length(n, rs, dim), theta * fermi_temperature(rs, dim))


def _fermi(p, mu, T):
    return 1 / (np.exp(np.minimum((p**2 - mu) / T, 700)) + 1)


@pytest.mark.parametrize("T", [0.02, 1.0])
def test_response_in_three_dimensions_is_the_integral_over_the_fermi_function(T):
    density = 0.03
    gas = infinite_gas((density,), 3, T)
    mu = gas.potentials[0]
    top = math.sqrt(max(mu, 0) + 40 * T)
    for k in (0.2, 1.0, 3.0):
        for w in (0.0, 2 * math.pi * T, 60 * math.pi * T):

            def integrand(p, k=k, w=w):
                return (
                    p * _fermi(p, mu, T) * math.log(((k**2 + 2 * p * k) ** 2 + w**2) / ((k**2 - 2 * p * k) ** 2 + w**2))
                )

            inner = sorted([k / 2, math.sqrt(max(mu, 0))])
            slow = -quad(integrand, 0, top, points=inner, limit=500, epsabs=1e-14)[0] / (8 * math.pi**2 * k)
            assert response(gas, np.array([k]), np.array([w]))[0, 0] == pytest.approx(slow, rel=2e-8)


@pytest.mark.parametrize("dim", [2, 3])
def test_static_response_of_long_waves_is_the_compressibility(dim):
    T, n = 0.1, 0.02
    slope = 2e-3 * n / (chemical_potential(1.001 * n, dim, T) - chemical_potential(0.999 * n, dim, T))
    gas = infinite_gas((n,), dim, T)
    assert response(gas, np.array([1e-4]), np.zeros(1))[0, 0] == pytest.approx(-slope, rel=1e-6)


def test_ground_state_energies_of_the_infinite_gas():
    """2/rs^2 (2D, polarised) and 2.2099/rs^2 Ry (3D, unpolarised) per electron."""
    for dim, spins, known in ((2, (1.0,), 2.0), (3, (0.5, 0.5), 2.20992)):
        n = 1 / (math.pi if dim == 2 else 4 * math.pi / 3)
        assert energies(infinite_gas(tuple(n * s for s in spins), dim, 0.0))[1] / n == pytest.approx(known, rel=1e-5)


def test_structure_factor_is_that_of_debye_and_hueckel_in_hot_plasmas():
    n = 3 / (4 * math.pi)
    T = 200 * fermi_temperature(1.0, 3)
    screening = math.sqrt(8 * math.pi * n / T)
    k = np.array([0.2, 1.0, 5.0]) * screening
    found = fs.structure_factor(infinite_gas((n,), 3, T), k)
    np.testing.assert_allclose(found, k**2 / (k**2 + screening**2), atol=1e-4)


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("T", [0.0, 0.1, 1.0])
def test_structure_factor_goes_from_zero_to_one(dim, T):
    found = fs.structure_factor(infinite_gas((0.02, 0.01), dim, T), np.array([1e-4, 0.3, 1.0, 3.0, 30.0]))
    assert found[0] < 1e-3 and np.all(np.diff(found) > 0)
    assert found[-1] == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(("dim", "T"), [(2, 0.0), (2, 0.3), (3, 0.0), (3, 0.3)])
def test_potential_energy_is_the_derivative_of_the_free_energy_by_the_coupling(dim, T, monkeypatch):
    gas, k, values = infinite_gas((0.02, 0.01), dim, T), np.array([0.05, 0.5, 2.0]), []
    potential = fs.excess(gas, k)[1]
    for factor in (1.001, 0.999):
        monkeypatch.setattr(fs, "COUPLING", 2 * factor)
        values.append(fs.excess(gas, k)[0])
    np.testing.assert_allclose((values[0] - values[1]) / 0.002, potential, rtol=1e-5)


@pytest.mark.parametrize("theta", [0.25, 0.0])
def test_potential_energy_of_large_boxes_lacks_the_zero_point_energy_of_one_plasmon(theta):
    """omega_p/4 coth(omega_p/2T), 3D (Chiesa et al. 2006; Brown et al. 2013); at T = 0 the kinetic energy too."""
    rs, box = 5.0, _box(500, 3, 5.0, theta)
    plasmon = math.sqrt(12 / rs**3)
    thermal = math.tanh(plasmon / (2 * box.temperature)) if theta else 1.0
    free, potential = fs._corrections(box, box.temperature)
    assert potential == pytest.approx(plasmon / 4 / thermal, rel=0.01)
    if theta == 0:
        assert free - potential == pytest.approx(plasmon / 4, rel=0.15)


def test_ground_state_is_the_limit_of_low_temperatures():
    cold = fs._corrections(_box(5, 2, 5.0, 0.0), 0.0)
    box = _box(5, 2, 5.0, 0.003)
    np.testing.assert_allclose(fs._corrections(box, box.temperature), cold, rtol=1e-4)


def test_first_order_is_the_exchange_energy_of_the_infinite_gas_less_that_of_the_box():
    """Infinite gas in real space, box by sums over momenta at a grid of twists (which has no shell effects)."""
    n, rs, theta = 5, 1e-5, 1.0
    box = _box(n, 2, rs, theta)
    T, L = box.temperature, box.length
    mu = chemical_potential(n / L**2, 2, T)
    top = math.sqrt(max(mu, 0) + 40 * T)
    p, w = np.polynomial.legendre.leggauss(200)
    p, w = 0.5 * top * (p + 1), 0.5 * top * w
    r, wr = np.polynomial.legendre.leggauss(400)
    r, wr = 30 * rs * (r + 1), 30 * rs * wr
    density_matrix = (w * p * _fermi(p, mu, T)) @ j0(np.outer(p, r)) / (2 * math.pi)
    infinite = -2 * math.pi * L**2 * float(wr @ density_matrix**2)
    axis = np.arange(-8, 9)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    apart = np.linalg.norm(grid[:, None] - grid[None], axis=-1)
    v = np.where(apart > 0, 4 * math.pi / np.where(apart > 0, apart, 1.0) * L / (2 * math.pi), 0.0)
    finite = []
    for twist in np.stack(np.meshgrid(*[(np.arange(4) + 0.5) / 4 - 0.5] * 2), axis=-1).reshape(-1, 2):
        f = _fermi(2 * math.pi / L * np.linalg.norm(grid + twist, axis=1), mu, T)
        finite.append(-0.5 / L**2 * f @ v @ f + n * madelung(2) / L)
    exchange = infinite - np.mean(finite)
    np.testing.assert_allclose(fs._corrections(box, T), exchange, rtol=1e-4)


@pytest.mark.parametrize(("rs", "theta", "gain"), [(1.0, 0.5, 8), (1.0, 0.25, 5), (5.0, 0.5, 1.1)])
@pytest.mark.acceptance
def test_corrections_bring_exact_results_of_few_electrons_together(rs, theta, gain):
    """F, E and S per electron of 3 to 5 electrons in two dimensions, twist 0: their spread shrinks."""
    plain, corrected = [], []
    for row in DATA:
        if (row["dim"], row["rs"], row["theta"], row["twist"]) == (2, rs, theta, 0.0) and row["n"] > 2:
            system = ElectronGas(n=row["n"], rs=rs, theta=theta)

            class Result:
                F, E, S = (Estimate(row[name], 0.1) for name in "FES")

            found = system.finite_size(Result)["finite_size"]
            plain.append([row[name] / row["n"] for name in "FES"])
            corrected.append([found["corrected"][name]["value"] for name in "FES"])
            assert found["corrected"]["F"]["error"] == 0.1 / row["n"]
    assert len(plain) == 3
    before, after = np.ptp(plain, axis=0), np.ptp(corrected, axis=0)
    assert after[0] < before[0] / gain and np.all(after < before)


def test_kinetic_and_potential_energy_and_entropy_add_up():
    found = fs.interaction(_box(3, 2, 5.0, 0.5))
    assert found.kinetic + found.potential == pytest.approx(found.E)
    assert found.E - _box(3, 2, 5.0, 0.5).temperature * found.S == pytest.approx(found.F)
    cold = fs.interaction(_box(3, 2, 5.0, 0.0))
    assert cold.S == 0 and cold.E == cold.F


@pytest.mark.acceptance
def test_corrections_are_stated_only_on_request_and_change_no_result(tmp_path, capsys):
    values = {"n": 2, "interacting": "false", "steps": 1, "batch": 8, "samples": 100}
    flags = [word for name, value in values.items() for word in (f"--{name}", str(value))]
    assert main(["run", "electron-gas", *flags, "--out", str(tmp_path / "a")]) == 0
    plain = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert "finite_size" not in plain["observables"]
    assert "infinite system" not in capsys.readouterr().out
    assert main(["evaluate", str(tmp_path / "a"), "--finite-size"]) == 0
    found = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert "infinite system - box" in capsys.readouterr().out
    assert "Finite-size corrections" in (tmp_path / "a" / "report.html").read_text()
    assert [found[name] for name in "FES"] == [plain[name] for name in "FES"]
    one, two = (found["observables"]["finite_size"][kind] for kind in ("one_particle", "interaction"))
    corrected = found["observables"]["finite_size"]["corrected"]["E"]["value"]
    assert corrected == pytest.approx((plain["E"]["value"] + one["E"] + two["E"]) / 2)
