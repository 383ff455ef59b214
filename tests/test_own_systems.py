"""Systems of one's own: the same door as the library's, no references that are not theirs, no mistaken identity."""

import sys

import jax.numpy as jnp
import numpy as np
import pytest
import yaml

import massieu as ms
from massieu.baselines.chains import baseline
from massieu.baselines.path_integrals import serves
from massieu.cli.main import main
from massieu.errors import InputError
from massieu.runs.directory import fingerprint, read_config
from massieu.systems.base import holds
from massieu.systems.table import PLACES, SYSTEMS, Table

TINY = {"steps": 2, "batch": 16, "samples": 200}
FLAGS = ["--steps", "2", "--batch", "16", "--samples", "200"]


class YukawaGas(ms.PeriodicElectrons):
    screening: float = ms.parameter(2.0, "screening length (a0)")

    def potential(self, x):
        r = self.pair_distances(x)
        return jnp.sum(2 * jnp.exp(-r / self.screening) / r)


class YukawaDot(ms.QuantumDot):
    def potential(self, x):
        r = self.pair_distances(x)
        return 0.5 * jnp.sum(x**2) + jnp.sum(jnp.exp(-r) / r)


class FreeGas(ms.PeriodicElectrons):
    def potential(self, x):
        return jnp.zeros(())


class OtherEnergy(ms.Ising):
    def energy(self, x):
        return -super().energy(x)


class OtherCouplings(ms.Ising):
    def __post_init__(self):
        super().__post_init__()
        self.couplings = -self.couplings


class Renamed(ms.Ising):
    """The same Hamiltonian: what is known of it stays."""


class Known(OtherEnergy):
    def reference(self, seed=0):
        return ms.Ising(l=self.l, j=-self.j).known(seed)


class QuarticTrap(ms.CoulombTrap):
    def energy(self, x):
        return jnp.sum(x**4)


@pytest.mark.parametrize("name", PLACES)
def test_the_library_s_own_references_hold(name):
    assert holds(SYSTEMS[name], "reference", "exact")


@pytest.mark.parametrize("kind", [YukawaDot, OtherEnergy, OtherCouplings, QuarticTrap])
def test_redefined_hamiltonian_has_no_inherited_reference(kind):
    assert kind().known() is None


def test_reference_of_one_s_own_is_used_and_an_unchanged_hamiltonian_keeps_it():
    small = {"l": 2, "beta": 0.3}
    assert Renamed(**small).known().best.F == ms.Ising(**small).known().best.F
    assert Known(**small).known() is not None


def test_redefined_hamiltonian_has_no_inherited_baseline_or_correction():
    with pytest.raises(InputError, match="path"):
        baseline(QuarticTrap(n=2), "ais")
    with pytest.raises(InputError, match="path"):
        baseline(OtherEnergy(l=2), "ais")
    assert serves(ms.QuantumDot) and not serves(YukawaDot)
    with pytest.raises(InputError, match="finite_size"):
        ms.minimize(YukawaGas(n=3), finite_size=True, **TINY)


@pytest.mark.parametrize("system", [YukawaGas(n=2, polarised=False, theta=0.3), YukawaDot(n=2, beta=2.0)], ids=str)
def test_potential_is_all_that_a_quantum_system_needs(system, tmp_path):
    run = ms.minimize(system, **TINY)
    assert run.reference is None and np.isfinite(run.F.value) and run.S.value > 0
    assert run.report(tmp_path / "run").exists() and (tmp_path / "run" / "figures" / "energies.png").exists()


def test_electrons_without_a_potential_are_the_ideal_gas():
    """The density matrix of a user's system starts, and without forces stays, at the canonical ideal gas."""
    gas = FreeGas(n=3, theta=0.3, twist="0.25")
    run = ms.minimize(gas, steps=2, batch=64, samples=4000, depth=1)
    assert abs(run.F.value - gas.ideal().F.value) < 4 * run.F.error + 0.02 * abs(gas.ideal().F.value)


# ---- identity


@pytest.mark.parametrize("system", [OtherEnergy(l=2, beta=0.3), YukawaDot(n=2, beta=2.0)], ids=str)
def test_run_of_another_class_is_not_read_as_its_parent(system, tmp_path, capsys):
    folder = tmp_path / "run"
    ms.minimize(system, out=folder, **TINY).report(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for command in ("evaluate", "resume"):
        assert main([command, str(folder)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and type(system).__name__ in error
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_changed_parameters_are_noticed(tmp_path, capsys):
    folder = tmp_path / "run"
    assert main(["run", "ising", "--l", "2", *FLAGS, "--out", str(folder)]) == 0
    content = yaml.safe_load((folder / "config.yaml").read_text())
    content["parameters"]["j"] = -1.0
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    assert main(["evaluate", str(folder)]) == 2
    assert "its parameters differ" in capsys.readouterr().err


def test_fingerprint_counts_every_digit_of_what_is_given_and_nothing_else():
    assert fingerprint(ms.Ising(beta=0.3)) == fingerprint(ms.Ising(beta=0.3))
    assert fingerprint(ms.Ising(beta=0.3)) != fingerprint(ms.Ising(beta=0.30000000000000004))
    assert fingerprint(ms.Ising(beta=0.3)) == fingerprint(Renamed(beta=0.3))


def test_directory_of_version_0_1_0_still_loads(tmp_path):
    """It names no class, and its options are those of all kinds of matter."""
    folder = tmp_path / "run"
    assert main(["run", "ising", "--l", "2", *FLAGS, "--out", str(folder)]) == 0
    content = yaml.safe_load((folder / "config.yaml").read_text())
    del content["class"], content["parameters_hash"]
    content["config"] |= {"attention": 0, "circuit": "auto", "walkers": 8, "sampler": "direct"}
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    system, beta, options = read_config(folder)
    assert (system.parameters(), beta, options.steps) == (ms.Ising(l=2).parameters(), ms.Ising().beta, 2)
    assert main(["evaluate", str(folder)]) == 0


# ---- installed packages

SOURCE = """
import massieu as ms

class Soft(ms.TrappedElectrons):
    def potential(self, x):
        return 0.5 * (x**2).sum()
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package on the path whose metadata has entry points, as pip leaves it."""
    (tmp_path / "soft_dots.py").write_text(SOURCE)
    info = tmp_path / "soft_dots-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: soft-dots\nVersion: 1.0\n")
    lines = "[massieu.systems]\nsoft-dot = soft_dots:Soft\nising = soft_dots:Soft\nbroken = soft_dots:Nothing\n"
    (info / "entry_points.txt").write_text(lines)
    monkeypatch.syspath_prepend(tmp_path)
    SYSTEMS.__dict__.pop("installed", None)
    yield
    SYSTEMS.__dict__.pop("installed", None)
    sys.modules.pop("soft_dots", None)


def test_installed_package_adds_systems_to_the_command_line(installed, tmp_path, capsys):
    folder = tmp_path / "run"
    assert main(["run", "soft-dot", "--n", "2", "--beta", "2", *FLAGS, "--out", str(folder)]) == 0
    assert yaml.safe_load((folder / "config.yaml").read_text())["system"] == "soft-dot"
    assert main(["evaluate", str(folder)]) == 0
    assert main(["list"]) == 0
    assert "soft-dot" in capsys.readouterr().out
    assert main(["run", "broken"]) == 2
    assert "broken" in capsys.readouterr().err


def test_installed_package_takes_no_name_of_the_library(installed):
    assert Table()["ising"] is ms.Ising
