"""A molecule whose energy and forces a calculator gives: one of ASE's, or any function on the host."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.densities.molecule import InFrame, molecular_flow
from massieu.errors import InputError, positive, require
from massieu.physics.molecules import Frame, HostFunction, NoFrame, checked_call, frame, host_energy, relaxed
from massieu.principle import Estimate
from massieu.systems.base import Approximation, ClassicalSystem, Reference, derived, parameter

BOLTZMANN = 8.617333262e-5  # eV/K (CODATA 2018)
PROBE = 1e-3  # angstrom, of the step that checks forces against energies


class Molecule(ClassicalSystem):
    """Z = int d^{3n}x exp(-beta U) per volume of 1 angstrom^3, atoms labelled; classical nuclei, U from a calculator.

    The molecule keeps its shape: place and orientation are integrated exactly, the 3n - 6 others move about the
    nearest minimum.  InputError for linear molecules, and for calculators that fail.
    """

    name: ClassVar[str] = "molecule"
    summary: ClassVar[str] = "a molecule with energies and forces from ASE or from a function of yours"
    source: ClassVar[str] = "harmonic molecule (not a bound)"
    reference_beside: ClassVar[bool] = False  # one calculator serves both
    units: ClassVar[dict[str, str]] = {"energy": "eV", "length": "angstrom"}

    atoms: str = parameter(
        "H2O", "FILE that ASE reads (xyz, extxyz, pdb ..; angstrom), or the name of a molecule of its g2 collection"
    )
    calculator: str = parameter("emt", "name of an ASE calculator, or MODULE:FUNCTION, in eV and angstrom")
    temperature: float = parameter(300.0, "temperature (K)")
    beta: float = derived()
    frame: Frame = derived()
    host: Any = derived()

    def __post_init__(self) -> None:
        positive("temperature", self.temperature)
        self.beta = 1 / (BOLTZMANN * self.temperature)
        atoms = _atoms(self.atoms)
        function = _function(self.calculator, atoms)
        try:
            _check_forces(function, atoms.get_positions())
            positions = relaxed(function, atoms.get_positions())
            self.frame = frame(function, positions)
        except NoFrame as error:
            raise InputError(f"atoms = {self.atoms}: must be another molecule, {error}") from None
        except Exception as error:  # whatever a calculator raises
            raise InputError(f"calculator = {self.calculator}: must be one for {self.atoms}, {error!r}") from None
        self.host = host_energy(function, self.frame.positions.shape)

    @property
    def configuration(self) -> tuple[int, ...]:
        return (self.size, 3)

    @property
    def size(self) -> int:
        return len(self.frame.positions)

    def energy(self, x: Array) -> Array:
        return self.host(x)

    def observables(self, x: Array) -> dict[str, Array]:
        """Distances between all pairs of atoms (angstrom), and whether the molecule has folded out of its frame."""
        first, second = np.triu_indices(self.size, 1)
        distances = jnp.sqrt(jnp.sum((x[first] - x[second]) ** 2, axis=1))
        return {"distances": distances, "folded": jnp.where(self.frame.folded(x), 1.0, 0.0)}

    def default_density(self, seed: int) -> InFrame:
        return molecular_flow(self.frame, self.beta, key=jax.random.key(seed))

    def training_defaults(self) -> dict[str, Any]:
        return {"gradient": "pathwise", "anneal": 0.0, "steps": 200, "batch": 64, "samples": 5000}

    def harmonic(self) -> float:
        """F (eV) of the harmonic molecule that rotates rigidly."""
        lowest, stiffness = float(self.host(jnp.asarray(self.frame.positions))), self.frame.stiffness
        turned = float(self.frame.log_volume(jnp.asarray(self.frame.positions))) + math.log(8 * math.pi**2)
        return lowest - (turned + 0.5 * float(np.sum(np.log(2 * math.pi / (self.beta * stiffness))))) / self.beta

    def reference(self, seed: int = 0) -> Reference:
        return Reference(None, {"harmonic": Approximation(Estimate(self.harmonic()), "not a bound")}, None)


def _atoms(name: str) -> Any:
    """ASE's Atoms of a file or of a molecule of the g2 collection."""
    try:
        import ase.build
        import ase.io
    except ImportError:
        raise InputError(f"atoms = {name}: must wait until ASE is there: pip install 'massieu[molecules]'") from None
    if Path(name).exists():
        try:
            read: Any = ase.io.read(name)
        except Exception as error:  # each format of ASE raises its own
            raise InputError(f"atoms = {name}: must be a file that ASE can read ({error})") from None
        require(not read.pbc.any(), "atoms", name, "a molecule in free space, without a periodic cell")
        return read
    try:
        return ase.build.molecule(name)
    except (KeyError, NotImplementedError):
        raise InputError(f"atoms = {name}: must be a file, or a molecule of ASE's g2 collection") from None


def _function(name: str, atoms: Any) -> HostFunction:
    """positions (n, 3) -> (energy, forces (n, 3)), in eV and angstrom."""
    if ":" not in name:
        from ase.calculators.calculator import get_calculator_class

        try:
            return _of_ase(atoms, get_calculator_class(name)())
        except Exception as error:  # an unknown name, or one that needs a program or arguments
            raise InputError(f"calculator = {name}: must be a calculator of ASE that starts ({error!r})") from None
    module, _, function = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        made = getattr(importlib.import_module(module), function)(atoms)
    except Exception as error:  # of the user's own code
        raise InputError(
            f"calculator = {name}: must be a FUNCTION(atoms) in an importable MODULE ({error!r})"
        ) from None
    if callable(getattr(made, "get_potential_energy", None)):
        return _of_ase(atoms, made)
    require(
        callable(made), "calculator", name, "a FUNCTION(atoms) that returns a calculator or a function of positions"
    )
    return made


def _check_forces(function: HostFunction, positions: np.ndarray) -> None:
    """ValueError unless energy and forces are finite, of the right shapes, and one the slope of the other."""
    energy, forces = checked_call(function, positions)
    if not (math.isfinite(energy) and np.all(np.isfinite(forces))):
        raise ValueError("energy or forces are not finite")
    way = np.random.default_rng(0).normal(size=positions.shape)
    way *= PROBE / np.linalg.norm(way)
    (up, after), (down, before) = (checked_call(function, positions + s * way) for s in (1, -1))
    slope, work = up - down, -np.sum((after + before) * way)
    if abs(slope - work) > 0.05 * (abs(slope) + abs(work)) + 1e-6:
        raise ValueError(f"the energy changes by {slope:.4g} where the forces say {work:.4g}")


def _of_ase(atoms: Any, calculator: Any) -> HostFunction:
    own = atoms.copy()
    own.calc = calculator

    def function(positions: np.ndarray) -> tuple[float, np.ndarray]:
        own.set_positions(positions)
        return own.get_potential_energy(), own.get_forces()

    return function
