"""Path-integral Monte Carlo of a quantum dot, without an ansatz: beside the exact value and beside a trained run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from massieu.errors import one_of, require
from massieu.exact.pimc import PathEnsemble, trap_pimc
from massieu.exact.thermodynamics import Thermodynamics
from massieu.principle import Estimate
from massieu.systems.inheritance import holds
from massieu.systems.quantum_dot import QuantumDot
from massieu.text import columns

METHODS = ("pimc",)
SLICES, CHAINS, SWEEPS = 32, 256, 1000
NAMES = {"F": "F", "E": "E", "S": "S", "r_squared": "r2"}


class PathBaseline(NamedTuple):
    """Totals of the dot's own statistics, nan where the sign is not resolved; the average sign, 1 but for fermions.

    chains of `sweeps` sweeps each; acceptance: of displacements and bridges, and swaps of pairs in a sweep.
    """

    values: PathEnsemble
    sign: Estimate
    slices: int
    tau: float
    chains: int
    sweeps: int
    acceptance: tuple[float, float, float]
    seconds: float

    @property
    def resolved(self) -> bool:
        """Whether the sign leaves anything to report."""
        return math.isfinite(self.values.F.value)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, None where the sign is not resolved."""
        totals = {k: getattr(self.values, name).as_dict() if self.resolved else None for k, name in NAMES.items()}
        rest = {name: getattr(self, name) for name in ("slices", "tau", "chains", "sweeps", "acceptance", "seconds")}
        return {"method": "pimc", **totals, "sign": self.sign.as_dict(), **rest}


def serves(kind: type) -> bool:
    """Whether path integrals know the Hamiltonian of a class: that of the quantum dot, not redefined."""
    return issubclass(kind, QuantumDot) and holds(kind, "reference")


def sampled_statistics(dot: QuantumDot) -> str:
    """The statistics to sample; InputError for more than two electrons of both spins.

    One electron up and one down are labelled by their spins: boltzmann is exact for them.
    """
    if dot.polarised:
        return dot.statistics
    require(dot.n == 2, "polarised", "false", f"true for method pimc and n = {dot.n}; false for n = 2 alone")
    return "boltzmann"


def path_integral(
    dot: QuantumDot, method: str, slices: int, chains: int, sweeps: int, seed: int,
    say: Callable[[str], None] = lambda text: None,
) -> PathBaseline:  # fmt: skip
    """Sample the dot at its beta; InputError for what path integrals cannot do."""
    one_of("method", method, METHODS)
    statistics = sampled_statistics(dot)
    require(dot.shells is None, "shells", dot.shells, "left out: path integrals hold all shells")
    began = time.monotonic()
    found = trap_pimc(
        dot.n, dot.dim, dot.beta, dot.kappa, statistics, slices=slices, chains=chains, sweeps=sweeps, seed=seed
    )
    sign = found.sign if statistics == "fermi" else Estimate(1.0)
    effort = (found.slices, found.tau, chains, sweeps, found.acceptance)
    return PathBaseline(getattr(found, statistics), sign, *effort, time.monotonic() - began)


def physical(dot: QuantumDot) -> dict[str, Any]:
    """The parameters that a run must share to be compared: all but the cut-off of its ansatz."""
    return {name: value for name, value in dot.parameters().items() if name != "shells"}


def totals(summary: dict[str, Any]) -> dict[str, dict[str, float]]:
    """F, E, S and <sum r^2> of a run, each with value and error."""
    own = {name: summary[name] for name in ("F", "E", "S")}
    return own | {"r_squared": summary["observables"]["r_squared"]}


def table(found: PathBaseline, exact: Thermodynamics | None, run: dict[str, dict[str, float]] | None) -> str:
    """F, E, S and <sum r^2> as text, the exact value and a run's (as `totals`) beside, and how far to trust them."""
    rows = [["", "F", "E", "S", "<sum r^2>"]]
    if found.resolved:
        rows.append(["pimc", *(str(getattr(found.values, name)) for name in NAMES.values())])
    if exact is not None:
        rows.append(["exact", *(str(e) for e in (exact.F, exact.E, exact.S)), "", exact.method])
    if run is not None:
        rows.append(["run", *(str(Estimate(**run[name])) for name in NAMES), "F is an upper bound"])
    parts = [columns(rows)] if len(rows) > 1 else []
    return "\n".join([*parts, *_remarks(found)])


def _remarks(found: PathBaseline) -> list[str]:
    effort = f"{found.chains} chains of {found.sweeps} sweeps, {found.seconds:.1f} s"
    lines = [f"average sign {found.sign}; {effort}"]
    if not found.resolved:
        lines.append(
            "the sign is not resolved: it is below three of its errors, so that F, E and S of the fermions are unknown;"
            " more chains and sweeps, a higher temperature or fewer particles bring them back"
        )
    else:
        lines.append(
            f"{found.slices} slices, tau = {found.tau:.4g}: the errors leave out the time step; double --slices"
        )
    return lines
