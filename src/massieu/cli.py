"""The command line: list, run, resume, evaluate, sweep, reference, baseline, bounds, report.

Exit codes: 0 done; 1 the run failed, with what is saved and how to resume; 2 bad input, one line, nothing written.
"""

from __future__ import annotations

import logging
import math
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import yaml

from massieu import arguments as flags
from massieu import commands
from massieu.arguments import Parser, checked, named_system, system_parser
from massieu.errors import InputError, RunError, did_you_mean, require
from massieu.version import __version__

COMMANDS = {
    "list": "systems, one line each",
    "run": "minimise the free energy of a system",
    "resume": "continue a run from its last checkpoint",
    "evaluate": "average again with frozen parameters and more samples",
    "sweep": "a grid of runs over parameters given with commas",
    "reference": "exact or independent values",
    "fit": "a density from data, by maximum likelihood",
    "inverse-ising": "couplings from configurations of spins",
    "baseline": "Markov chains and annealing, which the networks must beat",
    "bounds": "ln Z of a run from both sides",
    "hugoniot": "shock states of an equation of state of hydrogen",
    "report": "figures and report.html of a run",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    try:
        return _dispatch(sys.argv[1:] if arguments is None else arguments)
    except InputError as error:
        print(f"massieu: error: {error}", file=sys.stderr)
        return 2
    except RunError as error:
        print(f"massieu: failed: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"massieu: failed: {error.strerror or error} ({error.filename})", file=sys.stderr)
        return 1
    except MemoryError as error:
        print(f"massieu: failed: out of memory ({error})", file=sys.stderr)
        return 1
    except jax.errors.JaxRuntimeError as error:  # a calculator's failure comes wrapped in it; else mostly memory
        told = re.findall(r"RunError: (.*)", str(error)) or [str(error).splitlines()[0]]
        print(f"massieu: failed: {told[-1]}; massieu resume DIR continues from the last checkpoint", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("massieu: interrupted; massieu resume DIR continues from the last checkpoint", file=sys.stderr)
        return 1


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: massieu COMMAND ...\n")
        print("\n".join(f"  {name:14s} {text}" for name, text in COMMANDS.items()))
        print("\nmassieu COMMAND --help says more.")
        return 0
    if arguments[0] == "--version":
        print(f"massieu {__version__}")
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        raise InputError(f"{name}: must be one of {', '.join(COMMANDS)}{did_you_mean(name, COMMANDS)}")
    jax.config.update("jax_enable_x64", True)
    logging.getLogger("jax._src.callback").setLevel(logging.CRITICAL)  # the failure is told in one line
    _use_compilation_cache()
    table: dict[str, Callable[[list[str]], int]] = {
        "list": commands.list_systems,
        "run": _run,
        "resume": _resume,
        "evaluate": _evaluate,
        "sweep": _sweep,
        "reference": commands.reference,
        "baseline": commands.baseline,
        "inverse-ising": commands.inverse_ising,
        "fit": commands.fit,
        "bounds": commands.bounds,
        "hugoniot": commands.hugoniot,
        "report": commands.report,
    }
    return table[name](rest)


def _use_compilation_cache() -> None:
    """Compiled programs are kept between runs, the small ones too, so that resume and evaluate start at once."""
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    jax.config.update("jax_compilation_cache_dir", str(home / "massieu" / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


# ---- the commands


def _run(arguments: list[str]) -> int:
    from massieu.choices import checked_density, configure
    from massieu.progress import Lines
    from massieu.run import minimize

    kind, rest = named_system(arguments, "run")
    parser = system_parser(kind, "run")
    flags.add_training(parser, kind)
    parser.add_argument("--out", metavar="DIR", help="run directory, new or empty (default: runs/SYSTEM-NNN)")
    parser.add_argument("--dry-run", action="store_true", help="print the resolved configuration and stop")
    values = vars(parser.parse(rest))
    system = flags.make(kind, values)
    config = configure(system, **flags.training(values))
    if values["dry_run"]:
        checked_density(system, None, getattr(system, "beta", math.inf), config)  # refuses what the run would
        resolved = {"system": kind.name, "parameters": system.parameters(), "config": config.as_dict()}
        print(yaml.safe_dump(resolved, sort_keys=False), end="")
        return 0
    folder = Path(values["out"]) if values["out"] else _free_folder(kind.name)
    print(f"massieu {__version__}: {kind.name} {_shown(system.parameters())} -> {folder}", flush=True)
    _finish(minimize(system, out=folder, progress=Lines(), **config.as_dict()), folder)
    return 0


def _resume(arguments: list[str]) -> int:
    from massieu.progress import Lines
    from massieu.run import resume

    parser = Parser(prog="massieu resume", description=COMMANDS["resume"])
    parser.add_argument("dir", metavar="DIR")
    parser.add_argument("--steps", type=checked("steps", int), help="train up to this many steps instead")
    values = parser.parse(arguments)
    if values.steps is not None and values.steps < 1:
        raise InputError(f"steps = {values.steps}: must be an integer >= 1")
    folder = Path(values.dir)
    if commands.is_fit(folder):
        require(values.steps is None, "steps", values.steps, "left out for a fit, whose schedule is made for its own")
        return commands.continue_fit(folder)
    run = resume(folder, values.steps, Lines())
    if run is None:
        print(f"{folder} is finished; --steps N would train it further")
        return 0
    _finish(run, folder)
    return 0


def _evaluate(arguments: list[str]) -> int:
    from massieu.progress import Lines
    from massieu.run import evaluate_folder

    parser = Parser(prog="massieu evaluate", description=COMMANDS["evaluate"])
    parser.add_argument("dir", metavar="DIR")
    parser.add_argument("--samples", type=checked("samples", int), help="number of samples (default: as in the run)")
    parser.add_argument("--finite-size", action="store_true", help="electron gas: state finite-size corrections")
    values = parser.parse(arguments)
    if values.samples is not None and values.samples < 100:
        raise InputError(f"samples = {values.samples}: must be an integer >= 100")
    folder = Path(values.dir)
    _finish(evaluate_folder(folder, values.samples, Lines(), values.finite_size), folder)
    return 0


def _sweep(arguments: list[str]) -> int:
    from massieu import sweep
    from massieu.progress import Lines

    kind, rest = named_system(arguments, "sweep")
    parser = system_parser(kind, "sweep", lists=True)
    flags.add_training(parser, kind)
    parser.add_argument("--out", metavar="DIR", help="directory of the sweep; the same command again continues it")
    parser.add_argument("--dry-run", action="store_true", help="print the points and stop")
    values = vars(parser.parse(rest))
    given = {flag: values[flag] for flag in flags.parameters(kind) if values[flag] is not None}
    plan = sweep.plan(kind, given, flags.training(values))
    if values["dry_run"]:
        print("\n".join(sweep.described(plan)))
        return 0
    if values["out"] is None:
        raise InputError("out = None: must be given, the directory of the sweep")
    from massieu import equation_of_state
    from massieu.text_tables import columns, sweep_table

    rows, checks, failed = sweep.run(plan, Path(values["out"]), Lines)
    print(sweep_table(rows))
    if checks:
        print(columns(equation_of_state.cells(checks)))
    print(f"sweep: {Path(values['out']) / 'sweep.csv'}")
    if failed:
        raise RunError(f"{len(failed)} of {len(plan.points)} points: {', '.join(failed)}; the rest is done")
    return 0


def _finish(run: Any, folder: Path) -> None:
    """The report, and the results in the terminal."""
    from massieu.report import results_table

    report = run.report(folder)
    print(results_table(run.summary()))
    print(f"report: {report}")


def _shown(parameters: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in parameters.items() if value is not None)


def _free_folder(name: str) -> Path:
    """runs/NAME-001, or the next number that is free."""
    number = 1
    while (folder := Path("runs") / f"{name}-{number:03d}").exists():
        number += 1
    return folder


if __name__ == "__main__":
    raise SystemExit(main())
