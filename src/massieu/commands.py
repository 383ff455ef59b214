"""The commands that train no run: list, reference, baseline, bounds, hugoniot, inverse-ising, fit, report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np

from massieu import arguments as flags
from massieu.arguments import Parser, checked, checked_list, named_system, system_parser
from massieu.errors import InputError, finite, one_of, require
from massieu.systems import SYSTEMS, ClassicalSystem, QuantumDot

if TYPE_CHECKING:
    from massieu.learning import Fit


def list_systems(arguments: list[str]) -> int:
    """The systems with their parameters."""
    Parser(prog="massieu list", description="systems, one line each").parse(arguments)
    for name, kind in SYSTEMS.items():
        defaults = {flag: field.default for flag, field in flags.parameters(kind).items()}
        parameters = ", ".join(name if value is None else f"{name} ({value})" for name, value in defaults.items())
        print(f"{name:13s} {kind.summary}; {parameters.replace('_', '-')}; {kind.source}")
    return 0


def reference(arguments: list[str]) -> int:
    """Exact or independent values."""
    from massieu.run_directory import reference_dict

    kind, rest = named_system(arguments, "reference")
    parser = system_parser(kind, "reference")
    parser.add_argument("--seed", type=checked("seed", int), default=0, help="seed of the sampling methods")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    values = vars(parser.parse(rest))
    system = flags.make(kind, values)
    with jax.enable_x64(True):
        found = reference_dict(system, system.reference(values["seed"])) or {}
    if values["json"]:
        print(json.dumps(found, indent=2))
        return 0
    from massieu.text_tables import reference_table

    print(reference_table(system, found) if found else f"no exact or independent values are known for {kind.name}")
    return 0


def baseline(arguments: list[str]) -> int:
    """Markov chains and annealing, or path integrals of a quantum dot, beside each other and beside a run."""
    from massieu import comparison
    from massieu.baselines import METHODS
    from massieu.baselines import baseline as run_baseline

    kind, rest = named_system(arguments, "baseline")
    if kind is QuantumDot:
        return _path_integral(rest)
    parser = system_parser(kind, "baseline")
    parser.add_argument("--method", default="ais", help=f"{', '.join(METHODS)}, or several with commas")
    integers = checked_list("stages", int)
    parser.add_argument("--stages", type=integers, default=500, help="stages of annealing, with commas for several")
    parser.add_argument("--walkers", type=checked("walkers", int), default=1000, help="walkers of annealing, in all")
    parser.add_argument("--seed", type=checked("seed", int), default=0)
    parser.add_argument("--run", metavar="DIR", help="a finished run of the same system to set beside")
    parser.add_argument("--out", metavar="FILE", help="figure of F and of the error of ln Z against time, a .png file")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    values = vars(parser.parse(rest))
    system = flags.make(kind, values)
    if not isinstance(system, ClassicalSystem):
        raise InputError(
            f"{kind.name}: must be a classical system or quantum-dot; that of the others is `massieu reference`"
        )
    efforts = values["stages"] if isinstance(values["stages"], tuple) else (values["stages"],)
    trained = comparison.network(Path(values["run"]), kind.name, system.parameters()) if values["run"] else None
    results = [
        (stages, run_baseline(system, method, values["walkers"], stages, values["seed"]))
        for method in values["method"].split(",")
        for stages in efforts
    ]
    if values["json"]:
        print(json.dumps([{"stages": stages} | found.as_dict() for stages, found in results], indent=2))
        return 0
    with jax.enable_x64(True):
        known = system.reference(values["seed"])
    reference = known.best.F if known is not None and known.best is not None else None
    rows = comparison.rows_of(results, trained)
    print(comparison.table(rows, reference))
    print(*comparison.at_equal_time(rows), sep="\n")
    if values["out"]:
        comparison.figure(rows, trained, reference, kind.units["energy"]).savefig(values["out"], dpi=130)
        print(f"figure: {values['out']}")
    return 0


def _path_integral(arguments: list[str]) -> int:
    """F, E, S and the average sign of a quantum dot by path-integral Monte Carlo, beside exact values and a run."""
    from massieu import baseline_dot, comparison

    parser = system_parser(QuantumDot, "baseline")
    parser.add_argument("--method", default="pimc", help="pimc, path-integral Monte Carlo (default)")
    parser.add_argument("--slices", type=checked("slices", int), default=32, help="time steps of beta (default: 32)")
    parser.add_argument("--chains", type=checked("chains", int), default=256, help="walkers (default: 256)")
    parser.add_argument("--sweeps", type=checked("sweeps", int), default=1000, help="of each chain (default: 1000)")
    parser.add_argument("--seed", type=checked("seed", int), default=0)
    parser.add_argument("--run", metavar="DIR", help="a finished run of the same system to set beside")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    values = vars(parser.parse(arguments))
    given = {name: values[name] for name in flags.parameters(QuantumDot) if values[name] is not None}
    dot, run = QuantumDot(**given), None
    same = baseline_dot.physical(dot)
    if values["run"]:
        run = baseline_dot.totals(comparison.network(Path(values["run"]), dot.name, same)["summary"])
    effort = (values[name] for name in ("method", "slices", "chains", "sweeps", "seed"))
    found, exact = baseline_dot.path_integral(dot, *effort), dot.reference().best
    if values["json"]:
        known = None if exact is None else {name: getattr(exact, name).as_dict() for name in ("F", "E", "S")}
        plain = {"system": dot.name, "parameters": same, **found.as_dict(), "reference": known, "run": run}
        print(json.dumps(plain, indent=2))
    else:
        print(baseline_dot.table(found, exact, run))
    return 0


def bounds(arguments: list[str]) -> int:
    """ln Z from both sides, from a run and from chains of its system."""
    from massieu.bounds import bounds_of_folder, table

    parser = Parser(prog="massieu bounds", description="bounds on ln Z from both sides, and Bennett's acceptance ratio")
    parser.add_argument("dir", metavar="DIR", help="run directory of a classical system; bounds.json is written there")
    parser.add_argument(
        "--samples", type=checked("samples", int), default=10000, help="of the density and of the chains"
    )
    parser.add_argument("--stages", type=checked("stages", int), default=500, help="chains make 20 times as many moves")
    parser.add_argument("--seed", type=checked("seed", int), default=0)
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    values = parser.parse(arguments)
    found = bounds_of_folder(Path(values.dir), values.samples, values.stages, values.seed)
    print(json.dumps(found, indent=2) if values.json else table(found))
    return 0


def report(arguments: list[str]) -> int:
    """Figures and report.html of a run."""
    from massieu.report import write_report

    parser = Parser(prog="massieu report", description="figures and report.html of a run or a fit")
    parser.add_argument("dir", metavar="DIR")
    folder = Path(parser.parse(arguments).dir)
    if is_fit(folder):
        return continue_fit(folder)
    print(write_report(folder))
    return 0


def inverse_ising(arguments: list[str]) -> int:
    """Couplings from configurations."""
    from massieu.exact.inverse_ising import Couplings
    from massieu.inverse import infer
    from massieu.systems.base import read_array, read_couplings

    parser = Parser(prog="massieu inverse-ising", description="couplings (times beta) of an Ising model from its spins")
    parser.add_argument("data", metavar="DATA.npy", help="configurations (M, n) of +1 and -1")
    parser.add_argument("--fields", type=checked("fields", bool), default=True, help="infer fields too (default: true)")
    parser.add_argument("--truth", metavar="FILE.npy", help="the couplings (n, n), times beta, to compare with")
    parser.add_argument("--steps", type=checked("steps", int), default=40)
    parser.add_argument("--batch", type=checked("batch", int), help="samples of the model a step (default: M/8)")
    parser.add_argument("--seed", type=checked("seed", int), default=0)
    parser.add_argument("--out", metavar="FILE.npz", help="J, h and the log likelihood of every step")
    values = parser.parse(arguments)
    spins = read_array("data", values.data)
    truth = None if values.truth is None else read_couplings("truth", values.truth, spins.shape[-1])
    found = infer(spins, fields=values.fields, steps=values.steps, batch=values.batch, seed=values.seed)
    for row in found.history[:: max(1, len(found.history) // 10)]:
        print("  ".join(f"{name} {value:.6g}" for name, value in row.items()))
    of_reference = Couplings(truth, np.zeros(len(truth))) if truth is not None else found.couplings
    print(f"root mean square difference of J from {'the truth' if truth is not None else 'that of the network'}:")
    for name, error in found.errors(of_reference).items():
        print(f"  {name:32s} {error:.5f}")
    if values.out:
        likelihood = [row["log_likelihood"] for row in found.history]
        np.savez(values.out, J=found.couplings.J, h=found.couplings.h, log_likelihood=likelihood)
        print(f"couplings: {values.out}")
    return 0


def fit(arguments: list[str]) -> int:
    """A density from data by maximum likelihood."""
    import dataclasses
    import typing

    from massieu.fit_data import FitConfig
    from massieu.learning import fit as run_fit
    from massieu.progress import Lines
    from massieu.systems.base import read_array

    parser = Parser(prog="massieu fit", description="a density of configurations (M, d) by maximum likelihood")
    parser.add_argument("data", metavar="DATA.npy", help="spins of +-1, real vectors, or angles in radians")
    hints = typing.get_type_hints(FitConfig)
    for field in dataclasses.fields(FitConfig):
        flags.add_flag(parser, field.name, field, hints[field.name])
    parser.add_argument("--out", metavar="DIR", help="directory of the fit; the same command again continues it")
    values = vars(parser.parse(arguments))
    if values["out"] is None:
        raise InputError("out = None: must be given, the directory of the fit")
    given = {f.name: values[f.name] for f in dataclasses.fields(FitConfig) if values[f.name] is not None}
    found = run_fit(read_array("data", values["data"]), out=values["out"], progress=Lines(), **given)
    return _show_fit(Path(values["out"]), found)


def is_fit(folder: Path) -> bool:
    """Whether the directory is that of a fit, not of a run."""
    return (folder / "fit.yaml").exists()


def continue_fit(folder: Path) -> int:
    """Train what is left of a fit, and show it."""
    from massieu.learning import resume
    from massieu.progress import Lines

    return _show_fit(folder, resume(folder, Lines()))


def _show_fit(folder: Path, found: Fit) -> int:
    from massieu.figures_fit import rows, write_report

    for name, value in rows(found):
        print(f"-ln p, {name:40s} {value}")
    print(f"report: {write_report(folder, found)}")
    return 0


def hugoniot(arguments: list[str]) -> int:
    """The shock Hugoniot of a table of E and P, or of a finished sweep."""
    from massieu import shock
    from massieu.observables.hugoniot import DEUTERON, PROTON, InitialState, read_table
    from massieu.observables.hugoniot import hugoniot as solve

    parser = Parser(prog="massieu hugoniot", description="E - E0 + (P + P0)(V - V0)/2 = 0 along isotherms")
    parser.add_argument(
        "table", help="T_K, rs, E_Ha_per_atom, E_err, P_GPa, P_err as .csv, or the directory of a sweep"
    )
    parser.add_argument("--set", help="rows of the table whose column `set` says so")
    before = (("density", 0.171, "g/cm3"), ("energy", -0.583808, "Ha per atom"), ("pressure", 0.0, "GPa"))
    for name, default, unit in before:
        text = f"before the shock, {unit} (default: {default})"
        parser.add_argument(f"--{name}", type=checked(name, float), default=default, help=text)
    parser.add_argument("--isotope", default="d", help="h or d (default: d)")
    parser.add_argument(
        "--out", metavar="FILE", help="figure (.png) beside published points, and the same name as .csv"
    )
    values = vars(parser.parse(arguments))
    one_of("isotope", values["isotope"], ("h", "d"))
    for name, *_ in before:
        finite(name, values[name])
    out = Path(values["out"]) if values["out"] else None
    if out is not None:
        require(out.suffix == ".png" and out.parent.is_dir(), "out", out, "a .png file in a directory that exists")
    source = Path(values["table"])
    require(values["set"] is None or not source.is_dir(), "set", values["set"], "left out for the directory of a sweep")
    isotherms = shock.isotherms_of_sweep(source) if source.is_dir() else read_table(source, values["set"])
    start = InitialState(values["density"], values["energy"], values["pressure"])
    points = solve(isotherms, start, {"h": PROTON, "d": DEUTERON}[values["isotope"]])
    if not points:
        where = ", ".join(f"{i.temperature:g} K (rs {i.rs.min():g} to {i.rs.max():g})" for i in isotherms)
        raise InputError(f"table = {source}: must enclose a shock state, none does: {where}")
    print(shock.table(points))
    missed = sorted({i.temperature for i in isotherms} - {p.temperature for p in points})
    if missed:
        print(f"no shock state between the densities of the table at {', '.join(f'{t:g}' for t in missed)} K")
    if out is not None:
        shock.write_csv(points, out.with_suffix(".csv"))
        shock.figure(points).savefig(out, dpi=130)
        print(f"figure: {out}")
    return 0
