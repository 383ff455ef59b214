"""Systems of one's own: the same door as the library's, no references that are not theirs, no mistaken identity."""

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
import yaml

import massieu as ms
from massieu.baselines.chains import baseline
from massieu.baselines.path_integrals import serves
from massieu.cli.main import main
from massieu.errors import InputError
from massieu.methods.method import method_of
from massieu.runs.directory import fingerprint, prepare, read_config
from massieu.systems.inheritance import holds
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


class Tripled:
    def energy(self, x):
        return 3 * jnp.sum(x)


class ByMixin(Tripled, ms.SK):
    """The Hamiltonian comes from a class that is no system itself."""


class QuarticTrap(ms.CoulombTrap):
    def energy(self, x):
        return jnp.sum(x**4)


class SteeperSites(ms.systems.Phi4):
    """The Hamiltonian changes in a method that `energy` calls."""

    def _site(self, x):
        return super()._site(x) + x**6


class HiddenEnergy(ms.SK):
    """The energy is a field that hides the method."""

    energy: Callable = eqx.field(kw_only=True, default=lambda x: -jnp.sum(x))


class OtherDefault(ms.systems.CoulombTrap):
    """The same Hamiltonian at another parameter."""

    kappa: float = ms.parameter(2.0, "stiffness")


class OtherField(ms.systems.IsingDual):
    def energy(self, x):
        return jnp.sum(x**4)


class ScreenedHydrogen(ms.systems.Hydrogen):
    def potential(self, protons, x):
        return self.screened_energy(protons) + self.screened_energy(x)


class OtherSpins(ms.systems.Heisenberg):
    def __post_init__(self):
        self._set([(1.0, {0: "X", 1: "X"})], 2, "n", 2)


class OtherMolecule(ms.systems.Molecule):
    def energy(self, x):
        return jnp.sum(x**2)


class OtherDimer(ms.systems.Dimer):
    def _repulsion(self, x, soft):
        return jnp.zeros(())


class OtherGas(ms.ElectronGas):
    def potential(self, x):
        return -super().potential(x)


class Heavier(ms.ElectronGas):
    @property
    def kinetic_scale(self):
        return 0.5 * super().kinetic_scale


@pytest.mark.parametrize("name", PLACES)
def test_the_library_s_own_references_hold(name):
    assert holds(SYSTEMS[name], "reference", "exact")


REDEFINED = [YukawaDot, OtherEnergy, OtherCouplings, ByMixin, QuarticTrap, SteeperSites, HiddenEnergy, OtherField,
             ScreenedHydrogen, OtherSpins, OtherMolecule, OtherDimer, OtherGas, Heavier]  # fmt: skip


@pytest.mark.parametrize("kind", REDEFINED)
def test_redefined_hamiltonian_has_no_inherited_reference(kind):
    assert not holds(kind, "reference", "exact")
    if kind is not OtherMolecule:  # which needs a calculator
        assert kind().known() is None


@pytest.mark.parametrize("kind", [Renamed, OtherDefault])
def test_unchanged_hamiltonian_keeps_its_reference(kind):
    assert holds(kind, "reference", "exact")


def test_crystal_of_another_energy_keeps_a_reference_that_is_made_from_it():
    class Stiffer(ms.systems.LennardJones):
        def energy(self, x):
            return 2 * super().energy(x)

    assert holds(Stiffer, "reference", "exact")


def test_what_is_measured_is_not_named_after_the_parent_s_hamiltonian():
    """Parts of an energy, minima, the virial pressure and exact transformations belong to the parent."""
    x = jnp.linspace(-1.0, 1.0, 6).reshape(3, 2)
    assert "coulomb_energy" in OtherDefault(n=3).observables(x) and not QuarticTrap(n=3).observables(x)
    field = OtherField(l=2)
    assert field.derived_observables(None) == {} and "spin_energy" not in field.observables(x[:2])
    assert Heavier(n=3).derived_observables(None) == {}
    assert ms.systems.Hydrogen(n=2).has_pressure and not ScreenedHydrogen(n=2).has_pressure
    with pytest.raises(InputError, match="one of none"):
        OtherEnergy(l=2).conjugate("j")


@pytest.mark.acceptance
def test_hydrogen_with_a_potential_of_its_own_has_no_virial_pressure(tmp_path):
    run = ms.minimize(ScreenedHydrogen(n=2), **TINY)
    assert "pressure" not in run.result.observables and "P" not in run.metrics[0]
    assert run.report(tmp_path / "run").exists() and not (tmp_path / "run" / "figures" / "pressure.png").exists()


@pytest.mark.parametrize("kind", REDEFINED)
def test_run_of_a_redefined_hamiltonian_is_its_own(kind, tmp_path):
    """The directory says whose it is, whatever kind of matter: evaluate and resume refuse it as the parent's."""
    if kind is OtherMolecule:
        pytest.skip("needs a calculator")
    system = kind()
    folder = prepare(tmp_path / "run", system, 1.0, method_of(system).configure(system))
    with pytest.raises(InputError, match=f"run of {kind.__name__} "):
        read_config(folder)


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
    assert fingerprint(ms.Ising(j=0.3), 1.0) == fingerprint(ms.Ising(j=0.3), 1.0)
    assert fingerprint(ms.Ising(j=0.3), 1.0) != fingerprint(ms.Ising(j=0.30000000000000004), 1.0)
    assert fingerprint(ms.Ising(j=0.3), 1.0) != fingerprint(ms.Ising(j=0.3), 2.0)
    assert fingerprint(ms.Ising(j=0.3), 1.0) == fingerprint(Renamed(j=0.3), 1.0)


def test_a_run_at_another_beta_than_the_system_s_is_read_again(tmp_path):
    folder = tmp_path / "run"
    ms.minimize(ms.SK(n=4, beta=0.4), beta=0.3, out=folder, **TINY)
    system, beta, _ = read_config(folder)
    assert beta == 0.3 and system.n == 4
    assert main(["evaluate", str(folder)]) == 0


def test_a_reference_that_fails_costs_no_training(tmp_path):
    class Unlucky(ms.SK):
        def reference(self, seed=0):
            raise ValueError("no luck")

    run = ms.minimize(Unlucky(n=4), out=tmp_path / "run", **TINY)
    assert run.reference is None and (tmp_path / "run" / "summary.json").exists()


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
    charge: float = ms.parameter(1.0, "not an option of any kind of matter")
    range: float = ms.parameter(1.0, "an option of another kind of matter")

    def potential(self, x):
        return 0.5 * (x**2).sum()

class Other(ms.SK):
    depth: int = ms.parameter(1, "an option of its own kind of matter")

    def energy(self, x):
        return 3 * super().energy(x)

class Third(ms.SK):
    def energy(self, x):
        return 3 * super().energy(x)
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package on the path whose metadata has entry points, as pip leaves it."""
    (tmp_path / "soft_dots.py").write_text(SOURCE)
    info = tmp_path / "soft_dots-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: soft-dots\nVersion: 1.0\n")
    names = {"soft-dot": "Soft", "ising": "Soft", "broken": "Nothing", "other-sk": "Other"}
    lines = "[massieu.systems]\n" + "".join(f"{name} = soft_dots:{kind}\n" for name, kind in names.items())
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


def test_parameter_with_the_name_of_an_option_is_refused_in_one_line(installed, capsys):
    assert main(["run", "other-sk", "--n", "4", "--dry-run"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "depth" in error


def test_sweep_of_another_class_is_not_taken_for_one_s_own(installed, tmp_path, capsys, monkeypatch):
    folder = str(tmp_path / "sweep")
    assert main(["sweep", "sk", "--n", "4", "--beta", "0.3,0.5", *FLAGS, "--out", folder]) == 0
    monkeypatch.setitem(SYSTEMS.installed, "third", EntryPoint("third", "soft_dots:Third", "massieu.systems"))
    assert main(["sweep", "third", "--n", "4", "--beta", "0.3,0.5", *FLAGS, "--out", folder]) == 2
    assert "its system is" in capsys.readouterr().err


def test_installed_package_takes_no_name_of_the_library(installed):
    assert Table()["ising"] is ms.Ising
