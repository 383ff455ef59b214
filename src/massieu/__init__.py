"""massieu: the thermodynamics of interacting matter by minimising a variational free energy."""

from massieu import densities, estimators, systems
from massieu.bounds import Target, free_energy_difference, log_partition_bounds
from massieu.errors import InputError, RunError
from massieu.inverse import infer as inverse_ising
from massieu.learning import fit
from massieu.principle import Estimate
from massieu.run import Run, minimize
from massieu.systems import (
    SK,
    ClassicalSystem,
    CoulombTrap,
    ElectronGas,
    Heisenberg,
    Hopfield,
    Ising,
    IsingDual,
    PairwiseSpins,
    Phi4,
    QuantumDot,
    QuantumSystem,
    Qubits,
    QubitSystem,
    TransverseIsing,
)
from massieu.version import __version__

__all__ = [
    "SK",
    "ClassicalSystem",
    "CoulombTrap",
    "ElectronGas",
    "Estimate",
    "Heisenberg",
    "Hopfield",
    "InputError",
    "Ising",
    "IsingDual",
    "PairwiseSpins",
    "Phi4",
    "QuantumDot",
    "QuantumSystem",
    "QubitSystem",
    "Qubits",
    "Run",
    "RunError",
    "Target",
    "TransverseIsing",
    "__version__",
    "densities",
    "estimators",
    "fit",
    "free_energy_difference",
    "inverse_ising",
    "log_partition_bounds",
    "minimize",
    "systems",
]
