"""The systems: one module each, and this table, which the command line reads."""

from massieu.systems.base import Approximation, ClassicalSystem, PairwiseSpins, Reference
from massieu.systems.coulomb_trap import CoulombTrap
from massieu.systems.dimer import Dimer
from massieu.systems.electron_gas import ElectronGas
from massieu.systems.hopfield import Hopfield
from massieu.systems.hydrogen import Hydrogen
from massieu.systems.ising import Ising
from massieu.systems.ising_dual import IsingDual
from massieu.systems.lennard_jones import LennardJones
from massieu.systems.molecule import Molecule
from massieu.systems.phi4 import Phi4
from massieu.systems.quantum import QuantumSystem
from massieu.systems.quantum_dot import QuantumDot
from massieu.systems.qubits import Heisenberg, Qubits, QubitSystem, TransverseIsing
from massieu.systems.sk import SK
from massieu.systems.water import MonatomicWater

System = ClassicalSystem | QuantumSystem | QubitSystem | Hydrogen
SYSTEMS: dict[str, type[ClassicalSystem] | type[QuantumSystem] | type[QubitSystem] | type[Hydrogen]] = {
    system.name: system
    for system in (
        Ising,
        IsingDual,
        SK,
        Hopfield,
        CoulombTrap,
        Phi4,
        LennardJones,
        MonatomicWater,
        Dimer,
        Molecule,
        ElectronGas,
        QuantumDot,
        TransverseIsing,
        Heisenberg,
        Qubits,
        Hydrogen,
    )
}

GROUPS = {QuantumSystem: "particles", QubitSystem: "qubits", Hydrogen: "atoms"}


def group_of(kind: type[System]) -> str:
    """Which options of the configuration a system has a use for: those of classical, particles, qubits or atoms."""
    return next((name for group, name in GROUPS.items() if issubclass(kind, group)), "classical")


__all__ = [
    "SK",
    "SYSTEMS",
    "Approximation",
    "ClassicalSystem",
    "CoulombTrap",
    "Dimer",
    "ElectronGas",
    "Heisenberg",
    "Hopfield",
    "Hydrogen",
    "Ising",
    "IsingDual",
    "LennardJones",
    "Molecule",
    "MonatomicWater",
    "PairwiseSpins",
    "Phi4",
    "QuantumDot",
    "QuantumSystem",
    "QubitSystem",
    "Qubits",
    "Reference",
    "System",
    "TransverseIsing",
    "group_of",
]
