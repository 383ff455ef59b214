"""The shock Hugoniot of an equation of state, E - E0 + (P + P0)(V - V0)/2 = 0 (Rankine and Hugoniot), with errors.

Along an isotherm E and P are given at a few densities with error bars.  The left-hand side and P are smooth functions
of rs; a parabola is fitted to each by least squares, all densities alike, and the root is found on it.  Errors are
those of independent normal deviates of all E and P, carried through fit and root, as many times larger as the points
scatter more about the parabolas than their errors say (Birge's ratio, where it is above one).
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy

from massieu.errors import InputError, positive, require
from massieu.principle import Estimate
from massieu.units import GPA

DEUTERON, PROTON = 3670.48296788, 1836.15267343  # electron masses
GRAM_PER_CM3 = 9.1093837015e-28 / (5.29177210903e-9) ** 3  # electron masses per a0^3
COLUMNS = ("T_K", "rs", "E_Ha_per_atom", "E_err", "P_GPa", "P_err")
RESAMPLES = 400
DEGREE = 2


class InitialState(NamedTuple):
    """Before the shock: density (g/cm3), energy (Ha per atom, in the zero of the equation of state), pressure (GPa)."""

    density: float
    energy: float
    pressure: float = 0.0


class Isotherm(NamedTuple):
    """E (Ha per atom) and P (GPa) with errors at densities rs, one temperature (K)."""

    temperature: float
    rs: np.ndarray
    energy: np.ndarray
    energy_error: np.ndarray
    pressure: np.ndarray
    pressure_error: np.ndarray


class ShockPoint(NamedTuple):
    """A point of the Hugoniot: temperature (K), rs, compression rho/rho0, pressure (GPa)."""

    temperature: float
    rs: Estimate
    compression: Estimate
    pressure: Estimate


def density_of(rs: float, mass: float = DEUTERON) -> float:
    """g/cm3 of atoms with one electron each and nuclei of `mass` (electron masses; the electron's own included)."""
    return (mass + 1) * GRAM_PER_CM3 / (4 * math.pi / 3 * rs**3)


def rs_of(density: float, mass: float = DEUTERON) -> float:
    """The inverse of `density_of`."""
    return ((mass + 1) * GRAM_PER_CM3 / (4 * math.pi / 3 * density)) ** (1 / 3)


def hugoniot(isotherms: list[Isotherm], start: InitialState, mass: float = DEUTERON, seed: int = 0) -> list[ShockPoint]:
    """The root of each isotherm; those whose densities do not enclose it are left out.

    InputError for a density that is not positive.
    """
    positive("density", start.density)
    volume = 4 * math.pi / 3 * rs_of(start.density, mass) ** 3
    rng = np.random.default_rng(seed)
    points = []
    for isotherm in sorted(isotherms, key=lambda i: i.temperature):
        best = _root(isotherm, start, volume)
        if best is None:
            continue
        wide = _with_misfit(isotherm)
        drawn = [_root(_perturbed(wide, rng), start, volume) for _ in range(RESAMPLES)]
        spread = np.array([[*found, found[0] ** -3] for found in drawn if found is not None]).std(axis=0, ddof=1)
        rs, pressure = best
        compression = (rs_of(start.density, mass) / rs) ** 3
        relative = spread[2] * rs**3
        points.append(
            ShockPoint(
                isotherm.temperature,
                Estimate(rs, spread[0]),
                Estimate(compression, compression * relative),
                Estimate(pressure, spread[1]),
            )
        )
    return points


def _root(isotherm: Isotherm, start: InitialState, volume: float) -> tuple[float, float] | None:
    """rs and P where the Hugoniot function vanishes between the lowest and highest density, or None."""
    middle = isotherm.rs.mean()
    of_excess, of_pressure = (_parabola(isotherm.rs, y) for y in (_excess(isotherm, start, volume), isotherm.pressure))
    low, high = float(isotherm.rs.min() - middle), float(isotherm.rs.max() - middle)
    if np.polyval(of_excess, low) * np.polyval(of_excess, high) > 0:
        return None
    root = float(scipy.optimize.brentq(lambda rs: np.polyval(of_excess, rs), low, high, xtol=1e-12))
    return root + middle, float(np.polyval(of_pressure, root))


def _excess(isotherm: Isotherm, start: InitialState, volume: float) -> np.ndarray:
    """E - E0 + (P + P0)(V - V0)/2 (Ha per atom) at every density."""
    shrunk = 4 * math.pi / 3 * isotherm.rs**3 - volume
    return isotherm.energy - start.energy + 0.5 * (isotherm.pressure + start.pressure) / (2 * GPA) * shrunk


def _parabola(rs: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Coefficients by rs less its mean."""
    return np.polyfit(rs - rs.mean(), y, min(DEGREE, len(rs) - 1))


def _with_misfit(isotherm: Isotherm) -> Isotherm:
    """The same with errors that the distances from the parabolas bear out."""
    rs, freedom = isotherm.rs, len(isotherm.rs) - DEGREE - 1
    if freedom < 1:
        return isotherm

    def scaled(y: np.ndarray, error: np.ndarray) -> np.ndarray:
        apart = (y - np.polyval(_parabola(rs, y), rs - rs.mean())) / error
        return error * max(1.0, math.sqrt(float(np.sum(apart**2)) / freedom))

    return isotherm._replace(
        energy_error=scaled(isotherm.energy, isotherm.energy_error),
        pressure_error=scaled(isotherm.pressure, isotherm.pressure_error),
    )


def _perturbed(isotherm: Isotherm, rng: np.random.Generator) -> Isotherm:
    return isotherm._replace(
        energy=isotherm.energy + isotherm.energy_error * rng.normal(size=len(isotherm.rs)),
        pressure=isotherm.pressure + isotherm.pressure_error * rng.normal(size=len(isotherm.rs)),
    )


def read_table(path: Path, kind: str | None = None) -> list[Isotherm]:
    """Isotherms of a .csv file with the columns COLUMNS, and `set` where it holds several; InputError otherwise.

    Lines that begin with "#" are comments; blanks around names and numbers, and a byte-order mark, do not count.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = [line for line in file if line.strip(" \t\r\n,") and not line.lstrip().startswith("#")]
        table = [[word.strip() for word in row] for row in csv.reader(lines)]
        rows = [dict(zip(table[0], row, strict=False)) for row in table[1:]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"table = {path}: must be a readable .csv file ({error})") from None
    missing = [name for name in COLUMNS if not rows or name not in rows[0]]
    require(not missing, "table", path, f"a table with the columns {', '.join(COLUMNS)}")
    sets = sorted({row.get("set", "") or "" for row in rows})
    if kind is None:
        require(len(sets) == 1, "set", kind, f"one of {', '.join(sets)}")
        kind = sets[0]
    require(kind in sets, "set", kind, f"one of {', '.join(sets)}")
    try:
        values = np.array([[float(row[name]) for name in COLUMNS] for row in rows if (row.get("set") or "") == kind])
    except KeyError as error:
        raise InputError(f"table = {path}: must hold numbers ({error} is missing in a row)") from None
    except ValueError as error:
        raise InputError(f"table = {path}: must hold numbers ({error})") from None
    return isotherms(values, path)


def isotherms(values: np.ndarray, source: Path) -> list[Isotherm]:
    """Isotherms with at least two densities from rows (M, 6) as COLUMNS has them; InputError names their source."""
    sane = np.all(np.isfinite(values)) and np.all(values[:, [0, 1, 3, 5]] > 0)
    require(bool(sane), "table", source, "of finite numbers, with temperatures, rs and errors > 0")
    places = {(row[0], row[1]) for row in values.tolist()}
    require(len(places) == len(values), "table", source, "one without two rows of the same temperature and rs")
    found = []
    for temperature in np.unique(values[:, 0]):
        at = values[values[:, 0] == temperature]
        at = at[np.argsort(at[:, 1])]
        if len(at) > 1:
            found.append(Isotherm(float(temperature), *at[:, 1:].T))
    require(bool(found), "table", source, "one with at least two values of rs at one temperature")
    return found
