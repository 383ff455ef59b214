"""The plane waves that all twists of a run share: those that any of them needs."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from massieu.physics import momentum_shells
from massieu.physics.fermi_gas import free_energy


class PlaneWaves(NamedTuple):
    """Integer momenta (M, dim) by rising energy at the mean twist.

    error: of F of the ideal gas, mean over the twists (Ry).
    """

    vectors: np.ndarray
    error: float


class Gas(NamedTuple):
    """Electrons of each spin in a box of side `length` (a0) at kT (Ry), at twists ((t_x, ..), ..)."""

    spins: tuple[int, ...]
    dim: int
    length: float
    twists: tuple[tuple[float, ...], ...]
    temperature: float


@lru_cache(maxsize=64)
def shared_basis(gas: Gas, cutoff: int | None, tolerance: float, determinants: int) -> PlaneWaves:
    """The union over the twists of the lowest levels that each one needs, in whole shells.

    cutoff: that many at each twist; else up to an error of F of `tolerance` kT per particle, and as many as give at
    most so many `determinants`.
    """
    most, levels = max(gas.spins), [_levels(gas, np.array(twist), cutoff or 0) for twist in gas.twists]
    needed: dict[tuple[int, ...], None] = {}
    for vectors, energies in levels:
        if cutoff is not None:
            kept = min(cutoff, len(energies))
        else:
            kept = momentum_shells.choose_cutoff(energies, most, gas.temperature, tolerance)[0]
            if determinants:
                kept = max(kept, momentum_shells.most_levels(energies, gas.spins, determinants))
        needed.update(dict.fromkeys(map(tuple, vectors[:kept].tolist())))
    found = np.array(list(needed))
    centre = np.mean(gas.twists, axis=0)
    found = found[np.argsort(np.round(np.sum((found + centre) ** 2, axis=1), 9), kind="stable")]
    errors = [_error(gas, found + np.array(twist), all_) for twist, (_, all_) in zip(gas.twists, levels, strict=True)]
    return PlaneWaves(found, float(np.mean(errors)))


def _levels(gas: Gas, twist: np.ndarray, fewest: int) -> tuple[np.ndarray, np.ndarray]:
    n = max(*gas.spins, fewest)
    return momentum_shells.complete_levels(n, gas.dim, gas.length, twist, gas.temperature)


def _error(gas: Gas, momenta: np.ndarray, all_levels: np.ndarray) -> float:
    """F of the ideal gas in the plane waves kept less that in all (Ry)."""
    if gas.temperature == 0:
        return 0.0
    kept = np.sort((2 * np.pi / gas.length) ** 2 * np.sum(momenta**2, axis=1))
    beta = 1 / gas.temperature
    return sum(
        free_energy(kept, c, beta, len(kept)) - free_energy(all_levels, c, beta, len(all_levels))
        for c in gas.spins
        if c
    )
