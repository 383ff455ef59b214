"""Path-integral Monte Carlo of the electron gas, fermions with their sign: beside exact values and a trained run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from massieu.errors import at_least, one_of, require
from massieu.exact.gas_pimc import FEWEST, Box, GasPaths, default_slices, gas_pimc
from massieu.exact.thermodynamics import Thermodynamics
from massieu.principle import Estimate
from massieu.statistics import mixed, unmixed
from massieu.systems.electron_gas import ElectronGas
from massieu.systems.inheritance import holds
from massieu.text import columns

METHODS = ("pimc",)
NAMES = {"F": "F", "E": "E", "S": "S", "kinetic_energy": "K", "potential_energy": "V"}
SLICES, CHAINS, SWEEPS = None, 128, 1000
MOST_ELECTRONS = 150
LEAST_SIGN = 0.01


class GasBaseline(NamedTuple):
    """Totals, the average sign, and what they cost: chains of `sweeps` sweeps each."""

    values: GasPaths
    n: int
    chains: int
    sweeps: int
    seconds: float

    @property
    def resolved(self) -> bool:
        """Whether the sign leaves anything to report."""
        return math.isfinite(self.values.E.value)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, None where the sign is not resolved."""
        found = {k: getattr(self.values, name) for k, name in NAMES.items()}
        totals = {k: e.as_dict() if math.isfinite(e.value) else None for k, e in found.items()}
        effort = {name: getattr(self.values, name) for name in ("slices", "tau", "acceptance", "r_hat")}
        rest = {name: getattr(self, name) for name in ("chains", "sweeps", "seconds")}
        return {"method": "pimc", **totals, "sign": self.values.sign.as_dict(), **effort, **rest}


def serves(kind: type) -> bool:
    """Whether path integrals know the Hamiltonian of a class: that of the electron gas, not redefined."""
    return issubclass(kind, ElectronGas) and holds(kind, "reference")


def path_integral(
    gas: ElectronGas, method: str, slices: int | None, chains: int, sweeps: int, seed: int,
    say: Callable[[str], None] = lambda text: None,
) -> GasBaseline:  # fmt: skip
    """Sample the gas at its temperature; InputError for what path integrals cannot do."""
    one_of("method", method, METHODS)
    require(gas.theta > 0, "theta", gas.theta, "> 0 for path integrals")
    here = len(gas.twist_vectors) == 1 and not np.any(gas.twist_vectors)
    require(here, "twist", gas.twist, "0 for path integrals, whose weights are complex at others")
    require(gas.cutoff is None, "cutoff", gas.cutoff, "left out: path integrals hold all plane waves")
    require(gas.n <= MOST_ELECTRONS, "n", gas.n, f"at most {MOST_ELECTRONS} for path integrals")
    if slices is not None:
        at_least("slices", slices, FEWEST)
        require(slices % 2 == 0, "slices", slices, "even")
    at_least("chains", chains, 8)
    at_least("sweeps", sweeps, 20)
    began, ideal = time.monotonic(), gas.ideal()
    box = Box(gas.spins, gas.dim, gas.length, gas.rs, gas.beta, float(gas.interacting))
    slices = slices or default_slices(box)
    found = gas_pimc(box, ideal.F.value, slices=slices, chains=chains, sweeps=sweeps, seed=seed, say=say)
    return GasBaseline(found, gas.n, chains, sweeps, time.monotonic() - began)


def physical(gas: ElectronGas) -> dict[str, Any]:
    """The parameters that a run must share to be compared: all but those of its ansatz."""
    return {name: value for name, value in gas.parameters().items() if name not in ("cutoff", "mix")}


def totals(summary: dict[str, Any]) -> dict[str, dict[str, float]]:
    """F, E, S, kinetic and potential energy of a run, each with value and error."""
    own = {name: summary[name] for name in ("F", "E", "S")}
    return own | {name: summary["observables"][name] for name in ("kinetic_energy", "potential_energy")}


def table(found: GasBaseline, exact: Thermodynamics | None, run: dict[str, dict[str, float]] | None) -> str:
    """F, E, S, K and V (Ry) as text, totals and per electron, the exact value and a run's beside, and remarks."""
    rows = [["Ry, k_B", "F", "E", "S", "K", "V"]]
    if found.resolved:
        values = [getattr(found.values, name) for name in NAMES.values()]
        rows.append(["pimc", *(_shown(e) for e in values)])
        rows.append(["  per electron", *(_shown(Estimate(e.value / found.n, e.error / found.n)) for e in values)])
    if exact is not None:
        rows.append(["exact", *(_shown(e) for e in (exact.F, exact.E, exact.S)), "", exact.method])
    if run is not None:
        rows.append(["run", *(str(Estimate(**run[name])) for name in NAMES), "F is an upper bound"])
    parts = [columns(rows)] if len(rows) > 1 else []
    return "\n".join([*parts, *_remarks(found)])


def _shown(estimate: Estimate | None) -> str:
    return "" if estimate is None else str(estimate) if math.isfinite(estimate.value) else "not resolved"


def _remarks(found: GasBaseline) -> list[str]:
    sign, values = found.values.sign, found.values
    lines = [f"average sign {sign}; {found.chains} chains of {found.sweeps} sweeps, {found.seconds:.1f} s"]
    if not found.resolved:
        lines.append(
            "the sign is not resolved: it is below three of its errors, so that nothing is known of the fermions;"
            " a higher temperature, a larger rs, fewer electrons or more sweeps bring it back"
        )
        return lines
    if not mixed(values.r_hat):
        lines.append(
            f"WARNING {unmixed(values.r_hat)}: values may be off by more than their errors;"
            " fewer slices, more sweeps or a higher temperature"
        )
    if sign.value < LEAST_SIGN:
        lines.append(f"WARNING the sign is below {LEAST_SIGN}: errors of a ratio so small cannot be trusted")
    if not math.isfinite(values.F.value):
        lines.append("F and S: the sign is not resolved at a weaker coupling, where electrons exchange more")
    lines.append(f"{values.slices} slices, tau = {values.tau:.4g}: the errors leave out the time step; double --slices")
    return lines
