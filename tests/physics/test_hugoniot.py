"""The Hugoniot solver on a published equation of state.

tests/data/hydrogen_lrdmc.csv: lattice-regularised diffusion Monte Carlo with finite-size corrections by Tenti, Nakano,
Tirelli, Sorella and Casula, Phys. Rev. B 110, L041107 (2024), from the repository giacomotenti/QMC_hugoniot; the shock
states below are those that its authors solve for with initial density 0.167 g/cm3 and energy -0.58380 Ha.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from massieu.cli.main import main
from massieu.errors import InputError
from massieu.methods.atoms.options import AtomOptions
from massieu.observables.hugoniot import COLUMNS, InitialState, Isotherm, density_of, hugoniot, read_table, rs_of
from massieu.runs.directory import prepare
from massieu.systems import Hydrogen
from massieu.units import GPA

TABLE = Path(__file__).parents[1] / "data" / "hydrogen_lrdmc.csv"
SOLVED = {4000: (3.216, 17.2), 6000: (3.988, 28.9), 8000: (4.490, 38.5), 10000: (4.677, 48.0), 15000: (4.612, 65.8),
          20000: (4.536, 84.5), 35000: (4.385, 140.2)}  # fmt: skip


def test_published_shock_states():
    points = {p.temperature: p for p in hugoniot(read_table(TABLE), InitialState(0.167, -0.58380))}
    for temperature, (compression, pressure) in SOLVED.items():
        found = points[temperature]  # to the last digit printed there
        assert abs(found.compression.value - compression) < 7e-4
        assert abs(found.pressure.value - pressure) < 0.07


def test_ideal_gas_shock_is_known():
    """E = 3/2 P V from rest at E0 = P0 = 0: the strong-shock limit rho/rho0 = 4."""
    rs = np.linspace(1.9, 2.3, 9)
    volume = 4 * np.pi / 3 * rs**3
    kT = 0.3  # Ha
    pressure = kT / volume * 29421.015697  # Ha/a0^3 in GPa
    one = Isotherm(1.0, rs, np.full(9, 1.5 * kT), np.full(9, 1e-6), pressure, 1e-6 * pressure)
    start = InitialState(density_of(2.1 * 4 ** (1 / 3)), 0.0)
    (point,) = hugoniot([one], start)
    assert abs(point.rs.value - 2.1) < 4 * point.rs.error < 1e-2  # the errors know that the curve is no parabola
    assert abs(point.compression.value - 4) < 4 * point.compression.error


def test_errors_of_the_table_are_carried_through():
    """Points on parabolas: errors are those of the input alone."""
    rs = np.linspace(1.8, 2.0, 5)
    pressure = 50 - 200 * (rs - 1.9) + 100 * (rs - 1.9) ** 2
    shrunk = 4 * np.pi / 3 * (rs**3 - rs_of(0.167) ** 3)
    energy = -0.5838 - 0.5 * pressure * shrunk / (2 * GPA) + 0.3 * (rs - 1.9)
    one = Isotherm(10_000.0, rs, energy, np.full(5, 1e-4), pressure, np.full(5, 0.1))
    wide = one._replace(pressure_error=4 * one.pressure_error, energy_error=4 * one.energy_error)
    narrow, broad = (hugoniot([i], InitialState(0.167, -0.58380))[0] for i in (one, wide))
    assert narrow.rs.value == pytest.approx(1.9, abs=1e-9)
    assert broad.pressure.error == pytest.approx(4 * narrow.pressure.error, rel=0.15)


def _finished(folder: Path, system: Hydrogen, energy: float, pressure: float) -> None:
    """A directory such as a finished run leaves it."""
    prepare(folder, system, system.beta, AtomOptions())
    summary = {"status": "finished", "system": "hydrogen", "E": {"value": energy, "error": 1e-3},
               "observables": {"pressure": {"value": pressure, "error": 0.1}}}  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(summary))


def test_sweeps_of_different_systems_are_not_mixed(tmp_path, capsys):
    """Energies of the ideal gas of the test above, four boxes of atoms; then another number of atoms beside them."""
    kT = 0.3
    for rs in (1.9, 2.0, 2.1, 2.2):
        pressure = kT / (4 * np.pi / 3 * rs**3) * 2 * GPA
        _finished(tmp_path / f"rs-{rs}", Hydrogen(n=2, rs=rs, temperature=10_000.0), 2 * 2 * 1.5 * kT, pressure)
    density = str(density_of(2.1 * 4 ** (1 / 3)))
    assert main(["hugoniot", str(tmp_path), "--density", density, "--energy", "0"]) == 0
    assert "4.0" in capsys.readouterr().out
    _finished(tmp_path / "other", Hydrogen(n=4, rs=2.3, temperature=10_000.0), 1.0, 1.0)
    assert main(["hugoniot", str(tmp_path), "--density", density, "--energy", "0"]) == 2
    assert "n=2" in capsys.readouterr().err


def test_density_and_rs_are_inverse():
    assert rs_of(density_of(1.9)) == pytest.approx(1.9, rel=1e-12)
    assert density_of(2.0) == pytest.approx(0.674, abs=1e-3)  # deuterium at rs = 2 (Militzer and Ceperley 2000)


def test_command(tmp_path, capsys):
    out = tmp_path / "h.png"
    arguments = ["hugoniot", str(TABLE), "--density", "0.167", "--energy", "-0.5838", "--out", str(out)]
    assert main(arguments) == 0
    assert out.exists() and (tmp_path / "h.csv").read_text().count("\n") == 9
    assert "4.677" in capsys.readouterr().out


@pytest.mark.parametrize(
    "written",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace(",", ", "),
        lambda text: "# lattice-regularised diffusion Monte Carlo\n" + text.replace("\n", "\n\n", 1) + "# end\n,,,\n",
        lambda text: "\ufeff# of a spreadsheet\n" + text.replace(",", " , ").replace("\n", "\r\n"),
    ],
    ids=["byte-order mark", "blanks", "comments", "all of it"],
)
def test_tables_of_other_programs_are_the_same_table(written, tmp_path):
    (tmp_path / "table.csv").write_bytes(written(TABLE.read_text()).encode())
    for found, known in zip(read_table(tmp_path / "table.csv"), read_table(TABLE), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(found, known, strict=True))


def test_bad_tables(tmp_path, capsys):
    with pytest.raises(InputError, match="columns"):
        (tmp_path / "a.csv").write_text("x,y\n1,2\n")
        read_table(tmp_path / "a.csv")
    head = ",".join(COLUMNS) + "\n"
    for rows in ("4000,2,1\n", "4000,2,1,0.1,1,0.1\n" * 2, "4000,2,nan,0.1,1,0.1\n", "4000,2,1,0.1,1,0.1\n"):
        (tmp_path / "b.csv").write_text(head + rows)
        with pytest.raises(InputError, match=r"^table = .*: must"):
            read_table(tmp_path / "b.csv")
    assert main(["hugoniot", str(tmp_path / "none.csv")]) == 2
    assert main(["hugoniot", str(TABLE), "--density", "100"]) == 2
    assert main(["hugoniot", str(TABLE), "--out", str(tmp_path / "x.foo")]) == 2
    assert main(["hugoniot", str(TABLE), "--density", "-1"]) == 2
    assert main(["hugoniot", str(TABLE), "--isotope", "x"]) == 2
    assert "isotope = x" in capsys.readouterr().err
