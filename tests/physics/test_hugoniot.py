"""The Hugoniot solver on a published equation of state.

tests/data/hydrogen_lrdmc.csv: lattice-regularised diffusion Monte Carlo with finite-size corrections by Tenti, Nakano,
Tirelli, Sorella and Casula, Phys. Rev. B 110, L041107 (2024), from the repository giacomotenti/QMC_hugoniot; the shock
states below are those that its authors solve for with initial density 0.167 g/cm3 and energy -0.58380 Ha.
"""

from pathlib import Path

import numpy as np
import pytest

from massieu.cli import main
from massieu.errors import InputError
from massieu.observables.hugoniot import InitialState, Isotherm, density_of, hugoniot, read_table, rs_of

TABLE = Path(__file__).parents[1] / "data" / "hydrogen_lrdmc.csv"
SOLVED = {4000: (3.216, 17.2), 6000: (3.988, 28.9), 8000: (4.490, 38.5), 10000: (4.677, 48.0), 15000: (4.612, 65.8),
          20000: (4.536, 84.5), 35000: (4.385, 140.2)}  # fmt: skip


def test_published_shock_states():
    points = {p.temperature: p for p in hugoniot(read_table(TABLE), InitialState(0.167, -0.58380))}
    for temperature, (compression, pressure) in SOLVED.items():
        found = points[temperature]
        assert abs(found.compression.value - compression) < 2 * found.compression.error + 5e-4
        assert abs(found.pressure.value - pressure) < 2 * found.pressure.error + 0.05


def test_ideal_gas_shock_is_known():
    """E = 3/2 P V from rest at E0 = P0 = 0: the strong-shock limit rho/rho0 = 4."""
    rs = np.linspace(1.9, 2.3, 9)
    volume = 4 * np.pi / 3 * rs**3
    kT = 0.3  # Ha
    pressure = kT / volume * 29421.015697  # Ha/a0^3 in GPa
    one = Isotherm(1.0, rs, np.full(9, 1.5 * kT), np.full(9, 1e-6), pressure, 1e-6 * pressure)
    start = InitialState(density_of(2.1 * 4 ** (1 / 3)), 0.0)
    (point,) = hugoniot([one], start)
    assert point.rs.value == pytest.approx(2.1, abs=4e-3)
    assert point.compression.value == pytest.approx(4, rel=6e-3)


def test_errors_of_the_table_are_carried_through():
    isotherms = [i for i in read_table(TABLE) if i.temperature == 10000]
    wide = [i._replace(pressure_error=4 * i.pressure_error, energy_error=4 * i.energy_error) for i in isotherms]
    start = InitialState(0.167, -0.58380)
    narrow, broad = hugoniot(isotherms, start)[0], hugoniot(wide, start)[0]
    assert broad.pressure.error == pytest.approx(4 * narrow.pressure.error, rel=0.15)


def test_density_and_rs_are_inverse():
    assert rs_of(density_of(1.9)) == pytest.approx(1.9, rel=1e-12)
    assert density_of(2.0) == pytest.approx(0.674, abs=1e-3)  # deuterium at rs = 2 (Militzer and Ceperley 2000)


def test_command(tmp_path, capsys):
    out = tmp_path / "h.png"
    arguments = ["hugoniot", str(TABLE), "--density", "0.167", "--energy", "-0.5838", "--out", str(out)]
    assert main(arguments) == 0
    assert out.exists() and (tmp_path / "h.csv").read_text().count("\n") == 9
    assert "4.677" in capsys.readouterr().out


def test_bad_tables(tmp_path, capsys):
    with pytest.raises(InputError, match="columns"):
        (tmp_path / "a.csv").write_text("x,y\n1,2\n")
        read_table(tmp_path / "a.csv")
    assert main(["hugoniot", str(tmp_path / "none.csv")]) == 2
    assert main(["hugoniot", str(TABLE), "--density", "-1"]) == 2
    assert main(["hugoniot", str(TABLE), "--isotope", "x"]) == 2
    assert "isotope = x" in capsys.readouterr().err
