"""The systems: one module each, and this table, which the command line reads."""

from massieu.systems.base import Approximation, ClassicalSystem, PairwiseSpins, Reference
from massieu.systems.coulomb_trap import CoulombTrap
from massieu.systems.hopfield import Hopfield
from massieu.systems.ising import Ising
from massieu.systems.sk import SK

SYSTEMS: dict[str, type[ClassicalSystem]] = {system.name: system for system in (Ising, SK, Hopfield, CoulombTrap)}

__all__ = [
    "SK",
    "SYSTEMS",
    "Approximation",
    "ClassicalSystem",
    "CoulombTrap",
    "Hopfield",
    "Ising",
    "PairwiseSpins",
    "Reference",
]
