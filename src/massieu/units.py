"""Lengths, densities and temperatures of the electron gas, in Rydberg atomic units (a0, Ry, k_B = 1)."""

from __future__ import annotations

import math


def box_length(n: int, rs: float, dim: int) -> float:
    """Side (a0) of the square (pi rs^2 n = L^2) or cubic (4/3 pi rs^3 n = L^3) box of n electrons."""
    return rs * math.sqrt(math.pi * n) if dim == 2 else rs * (4 * math.pi * n / 3) ** (1 / 3)


def fermi_wavevector(rs: float, dim: int, majority: float = 1.0) -> float:
    """k_F (1/a0) of the infinite gas; majority: fraction of the electrons with the more frequent spin (1/2 to 1)."""
    if dim == 2:
        return 2 * math.sqrt(majority) / rs
    return (9 * math.pi / 2 * majority) ** (1 / 3) / rs


def fermi_temperature(rs: float, dim: int, majority: float = 1.0) -> float:
    """k_F^2 (Ry): the Fermi energy of the majority spin."""
    return fermi_wavevector(rs, dim, majority) ** 2


KELVIN_PER_RYDBERG = 157887.51240  # Ry/k_B (CODATA 2018)
GPA = 14710.507848  # Ry/a0^3 (CODATA 2018)
ANGSTROM = 0.529177210903  # a0 (CODATA 2018)
