"""Orthonormal families of states Psi_n: what the density matrix rho = sum_n p(n) |Psi_n><Psi_n| is made of."""

from massieu.states.density_matrix import DensityMatrix
from massieu.states.fermion_flow import FermionFlow
from massieu.states.pair_flow import PairFlow
from massieu.states.slater import Reference

__all__ = ["DensityMatrix", "FermionFlow", "PairFlow", "Reference"]
