"""The table of systems: the library's own, and those that installed packages add; classes are imported when asked for.

A package adds systems by entry points of the group `massieu.systems`, in its pyproject.toml:

    [project.entry-points."massieu.systems"]
    yukawa-gas = "my_package.module:YukawaGas"
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from massieu.errors import InputError

GROUP = "massieu.systems"
PLACES = {
    "ising": "massieu.systems.ising:Ising",
    "ising-dual": "massieu.systems.ising_dual:IsingDual",
    "sk": "massieu.systems.sk:SK",
    "spins": "massieu.systems.spins:Spins",
    "ea": "massieu.systems.edwards_anderson:EdwardsAnderson",
    "hopfield": "massieu.systems.hopfield:Hopfield",
    "potts": "massieu.systems.potts:Potts",
    "clock": "massieu.systems.clock:Clock",
    "xy": "massieu.systems.xy:XY",
    "coulomb-trap": "massieu.systems.coulomb_trap:CoulombTrap",
    "phi4": "massieu.systems.phi4:Phi4",
    "lj": "massieu.systems.lennard_jones:LennardJones",
    "mw": "massieu.systems.water:MonatomicWater",
    "dimer": "massieu.systems.dimer:Dimer",
    "molecule": "massieu.systems.molecule:Molecule",
    "electron-gas": "massieu.systems.electron_gas:ElectronGas",
    "quantum-dot": "massieu.systems.quantum_dot:QuantumDot",
    "tfim": "massieu.systems.qubits:TransverseIsing",
    "heisenberg": "massieu.systems.qubits:Heisenberg",
    "qubits": "massieu.systems.qubits:Qubits",
    "hydrogen": "massieu.systems.hydrogen:Hydrogen",
}


def parameters(kind: Any) -> dict[str, dataclasses.Field]:
    """The parameters of a class of systems, or of one, by the names that users see."""
    return {f.metadata["flag"] or f.name: f for f in dataclasses.fields(kind) if "help" in f.metadata}


class Table(Mapping[str, Any]):
    """Name to class of the systems."""

    @cached_property
    def installed(self) -> dict[str, EntryPoint]:
        """Entry points by name; the library's own names cannot be taken."""
        return {point.name: point for point in entry_points(group=GROUP) if point.name not in PLACES}

    def __getitem__(self, name: str) -> Any:
        if name in PLACES:
            module, _, kind = PLACES[name].partition(":")
            return getattr(importlib.import_module(module), kind)
        point = self.installed[name]
        try:
            kind = point.load()
        except Exception as error:  # a package that is not ours may fail in any way
            raise InputError(f"{name}: must be a class of an installed package; {point.value}: {error}") from None
        if not (isinstance(kind, type) and hasattr(kind, "own_beta")):
            raise InputError(f"{name}: must be a class of systems, {point.value} is none")
        return kind

    def __iter__(self) -> Iterator[str]:
        yield from PLACES
        yield from self.installed

    def __len__(self) -> int:
        return len(PLACES) + len(self.installed)

    def name_of(self, kind: type) -> str | None:
        """The name of a class in the table, or None; imports nothing."""
        place = place_of(kind)
        for name, own in PLACES.items():
            if own == place:
                return name
        return next((name for name, point in self.installed.items() if point.value.split()[0] == place), None)


def place_of(kind: type) -> str:
    """Module and qualified name of a class, module:Class."""
    return f"{kind.__module__}:{kind.__qualname__}"


SYSTEMS = Table()
