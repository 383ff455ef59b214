"""The ideal gas of a harmonic trap exactly, at fixed particle number: labelled particles, bosons and fermions.

Recursion of Borrmann and Franke, J. Chem. Phys. 98, 2484 (1993), in as many digits as the fermions' sum needs.
"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

from massieu.errors import one_of


def ideal_gas(n: int, dim: int, beta: float, statistics: str) -> tuple[float, float]:
    """ln Z and E without repulsion: Z_N = 1/N sum_k (+-1)^(k-1) z(k beta) Z_{N-k} for bosons and fermions."""
    one_of("statistics", statistics, ("boltzmann", "bose", "fermi"))
    lnz, energy = -dim * (beta / 2 + math.log(-math.expm1(-beta))), 0.5 * dim / math.tanh(beta / 2)
    if statistics == "boltzmann":
        return n * lnz, n * energy
    sign = 1 if statistics == "bose" else -1
    with localcontext() as context:
        context.prec = 50 + int(beta * n * n)  # the fermions' sum cancels to exp(-beta (E_F - E_B))
        decay = [(-Decimal(beta) * k).exp() for k in range(1, n + 1)]
        z = [(d.sqrt() / (1 - d)) ** dim for d in decay]
        slope = [-k * dim * (1 + d) / (1 - d) / 2 * one for k, d, one in zip(range(1, n + 1), decay, z, strict=True)]
        Z, dZ = [Decimal(1)], [Decimal(0)]
        for m in range(1, n + 1):
            Z.append(sum(sign ** (k - 1) * z[k - 1] * Z[m - k] for k in range(1, m + 1)) / Decimal(m))
            terms = (sign ** (k - 1) * (slope[k - 1] * Z[m - k] + z[k - 1] * dZ[m - k]) for k in range(1, m + 1))
            dZ.append(sum(terms) / Decimal(m))
        return float(Z[n].ln()), float(-dZ[n] / Z[n])
