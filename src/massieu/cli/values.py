"""reference, baseline, bounds: values to compare a density with."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from massieu.cli import arguments as flags
from massieu.cli.arguments import Parser, checked, checked_list, named_system, system_parser
from massieu.errors import InputError
from massieu.methods.method import method_of
from massieu.precision import double_precision
from massieu.progress import Lines, Silent
from massieu.runs.directory import name_of
from massieu.strict_json import to_json


def reference(arguments: list[str]) -> int:
    """Exact or independent values."""
    from massieu.runs.recorded import reference_dict

    kind, rest = named_system(arguments)
    parser = system_parser(kind, "reference")
    parser.add_argument("--seed", type=checked("seed", int), default=0, help="seed of the sampling methods")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    values = vars(parser.parse(rest))
    system = flags.make(kind, values)
    _say(values, f"computing the reference of {name_of(system)}")
    with double_precision():
        found = reference_dict(system, system.known(values["seed"])) or {}
    if values["json"]:
        print(to_json(found, indent=2))
        return 0
    from massieu.report.tables import reference_table

    print(
        reference_table(system, found) if found else f"no exact or independent values are known for {name_of(system)}"
    )
    return 0


def baseline(arguments: list[str]) -> int:
    """Markov chains and annealing, or path integrals of dots and electrons, beside each other and beside a run."""
    from massieu.baselines import comparison, gas_path_integrals, path_integrals
    from massieu.baselines.chains import METHODS
    from massieu.baselines.chains import baseline as run_baseline

    kind, rest = named_system(arguments)
    for paths in (path_integrals, gas_path_integrals):
        if method_of(kind).baselines == "path integrals" and paths.serves(kind):
            return _path_integral(paths, kind, rest)
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
    system: Any = flags.make(kind, values)
    if method_of(kind).baselines != "chains":
        raise InputError(
            f"{kind.name}: must be a classical system, quantum-dot or electron-gas;"
            " that of the others is `massieu reference`"
        )
    efforts = values["stages"] if isinstance(values["stages"], tuple) else (values["stages"],)
    trained = comparison.network(Path(values["run"]), name_of(system), system.parameters()) if values["run"] else None
    results = []
    for method, stages in itertools.product(values["method"].split(","), efforts):
        _say(values, f"{method}, {stages} stages")
        results.append((stages, run_baseline(system, method, values["walkers"], stages, values["seed"])))
    if values["json"]:
        print(to_json([{"stages": stages} | found.as_dict() for stages, found in results], indent=2))
        return 0
    _say(values, f"computing the reference of {name_of(system)}")
    with double_precision():
        known = system.known(values["seed"])
    reference = known.best.F if known is not None and known.best is not None else None
    rows = comparison.rows_of(results, trained)
    print(comparison.table(rows, reference))
    print(*comparison.at_equal_time(rows), sep="\n")
    if values["out"]:
        comparison.figure(rows, trained, reference, kind.units["energy"]).savefig(values["out"], dpi=130)
        print(f"figure: {values['out']}")
    return 0


def _path_integral(paths: Any, kind: Any, arguments: list[str]) -> int:
    """F, E, S and the average sign by path-integral Monte Carlo, beside exact values and a run.

    paths: `baselines.path_integrals` of a quantum dot, or `baselines.gas_path_integrals`.
    """
    from massieu.baselines import comparison

    parser = system_parser(kind, "baseline")
    parser.add_argument("--method", default="pimc", help="pimc, path-integral Monte Carlo (default)")
    defaults = {
        "slices": (paths.SLICES, "time steps of beta", "by temperature and density"),
        "chains": (paths.CHAINS, "walkers", ""),
        "sweeps": (paths.SWEEPS, "of each chain", ""),
    }
    for name, (default, what, otherwise) in defaults.items():
        text = f"{what} (default: {default or otherwise})"
        parser.add_argument(f"--{name}", type=checked(name, int), default=default, help=text)
    parser.add_argument("--seed", type=checked("seed", int), default=0)
    parser.add_argument("--run", metavar="DIR", help="a finished run of the same system to set beside")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    values = vars(parser.parse(arguments))
    system: Any = flags.make(kind, values)
    run = None
    same = paths.physical(system)
    if values["run"]:
        run = paths.totals(comparison.network(Path(values["run"]), name_of(system), same)["summary"])
    effort = (values[name] for name in ("method", "slices", "chains", "sweeps", "seed"))
    slices = f", {values['slices']} slices" if values["slices"] else ""
    _say(values, f"path integrals: {values['chains']} chains, {values['sweeps']} sweeps{slices}")
    found = paths.path_integral(system, *effort, lambda text: _say(values, text))
    _say(values, f"computing the reference of {name_of(system)}")
    exact = system.known().best
    if values["json"]:
        known = None if exact is None else {name: getattr(exact, name).as_dict() for name in ("F", "E", "S")}
        plain = {"system": name_of(system), "parameters": same, **found.as_dict(), "reference": known, "run": run}
        print(to_json(plain, indent=2))
    else:
        print(paths.table(found, exact, run))
    return 0


def _say(values: dict[str, Any], text: str) -> None:
    """What takes long, before it does; nothing beside machine-readable output."""
    if not values["json"]:
        print(text, flush=True)


def bounds(arguments: list[str]) -> int:
    """ln Z from both sides, from a run and from chains of its system."""
    from massieu.baselines.bounds import bounds_of_folder, table

    parser = Parser(prog="massieu bounds", description="bounds on ln Z from both sides, and Bennett's acceptance ratio")
    parser.add_argument("dir", metavar="DIR", help="run directory of a classical system; bounds.json is written there")
    parser.add_argument(
        "--samples", type=checked("samples", int), default=10000, help="of the density and of the chains"
    )
    parser.add_argument("--stages", type=checked("stages", int), default=500, help="chains make 20 times as many moves")
    parser.add_argument("--seed", type=checked("seed", int), default=0)
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    values = parser.parse(arguments)
    progress = Silent() if values.json else Lines()
    found = bounds_of_folder(Path(values.dir), values.samples, values.stages, values.seed, progress)
    print(to_json(found, indent=2) if values.json else table(found))
    return 0
