"""run, resume, evaluate, report: the commands that train a density and show it."""

from __future__ import annotations

import contextlib
import itertools
import sys
from pathlib import Path
from typing import Any

import yaml

from massieu.cli import arguments as flags
from massieu.cli.arguments import Parser, checked, named_system, system_parser
from massieu.cli.data import continue_fit, is_fit
from massieu.cli.main import COMMANDS
from massieu.errors import InputError, require
from massieu.methods.method import method_of
from massieu.progress import Lines
from massieu.report.results import results_table
from massieu.report.run import Run, minimize
from massieu.runs.continued import evaluate_folder
from massieu.runs.continued import resume as resume_folder
from massieu.runs.directory import existing, name_of, read_summary
from massieu.runs.lock import held
from massieu.runs.loggers import LOGGERS, check_logger, logger
from massieu.runs.run import chosen_beta
from massieu.runs.stopping import told
from massieu.version import __version__


def run(arguments: list[str]) -> int:
    """Train and evaluate."""
    kind, rest = named_system(arguments)
    parser = system_parser(kind, "run")
    flags.add_training(parser, kind, rest)
    parser.add_argument("--out", metavar="DIR", help="run directory, new or empty (default: runs/SYSTEM-NNN)")
    parser.add_argument("--dry-run", action="store_true", help="print the resolved configuration and stop")
    add_logger(parser)
    flags.add_progress(parser)
    asked = parser.parse(rest)
    values = vars(asked)
    system = flags.make(kind, values)
    options, name = method_of(kind).configure(system, **flags.training(values, kind)), name_of(system)
    if values["dry_run"]:
        method_of(kind).check(system, chosen_beta(system, None), options)
        method_of(kind).check_named(system, options)
        resolved = {"system": name, "parameters": system.parameters(), "config": options.as_dict()}
        print(yaml.safe_dump(resolved, sort_keys=False), end="")
        return 0
    check_logger(values["log"])
    folder = Path(values["out"]) if values["out"] else _free_folder(name)
    print(f"massieu {__version__}: {name} {_shown(system.parameters())} -> {folder}", flush=True)
    config = {"system": name, **system.parameters(), **options.as_dict()}
    try:
        with logger(values["log"], folder, config) as callback:
            found = minimize(system, out=folder, progress=flags.progress(asked), callback=callback, **options.as_dict())
    except InputError:
        with contextlib.suppress(OSError):  # a directory made for it goes, if it is empty
            folder.rmdir()
            folder.parent.rmdir()
        raise
    _finish(found, folder)
    return 0


def resume(arguments: list[str]) -> int:
    """Continue a run or a fit."""
    parser = Parser(prog="massieu resume", description=COMMANDS["resume"].help)
    parser.add_argument("dir", metavar="DIR")
    parser.add_argument("--steps", type=checked("steps", int), help="train up to this many steps instead")
    add_logger(parser)
    flags.add_progress(parser)
    values = parser.parse(arguments)
    if values.steps is not None and values.steps < 1:
        raise InputError(f"steps = {values.steps}: must be an integer >= 1")
    folder = Path(values.dir)
    if is_fit(folder):
        require(values.steps is None, "steps", values.steps, "left out for a fit, whose schedule is made for its own")
        require(values.log is None, "log", values.log, "left out for a fit")
        return continue_fit(folder, flags.progress(values))
    check_logger(values.log)
    with held(existing(folder)), logger(values.log, folder, {}) as callback:
        found = resume_folder(folder, values.steps, flags.progress(values), callback)
        if found is not None:
            _finish(found, folder)
    if found is None:
        print(f"{folder} is finished; massieu report {folder} draws it, --steps N would train it further")
    return 0


def evaluate(arguments: list[str]) -> int:
    """Average anew."""
    parser = Parser(prog="massieu evaluate", description=COMMANDS["evaluate"].help)
    parser.add_argument("dir", metavar="DIR")
    parser.add_argument("--samples", type=checked("samples", int), help="number of samples (default: as in the run)")
    parser.add_argument("--finite-size", action="store_true", help="electron gas: state finite-size corrections")
    flags.add_progress(parser)
    values = parser.parse(arguments)
    if values.samples is not None and values.samples < 100:
        raise InputError(f"samples = {values.samples}: must be an integer >= 100")
    folder = Path(values.dir)
    with held(existing(folder)):
        _finish(evaluate_folder(folder, values.samples, flags.progress(values), values.finite_size), folder)
    return 0


def report(arguments: list[str]) -> int:
    """Figures and report.html of a run."""
    from massieu.report.report import write_report

    parser = Parser(prog="massieu report", description="figures and report.html of a run or a fit")
    parser.add_argument("dir", metavar="DIR")
    folder = Path(parser.parse(arguments).dir)
    if is_fit(folder):
        return continue_fit(folder, Lines())
    if read_summary(folder) is not None:  # else it is refused, in one line
        print("drawing the report", file=sys.stderr, flush=True)  # what it prints is the path alone
    print(write_report(folder))
    return 0


def add_logger(parser: Parser) -> None:
    """Where the metrics go beside metrics.csv."""
    names = ", ".join(LOGGERS)
    parser.add_argument("--log", metavar="LOGGER", help=f"logs every step too: {names} (default: metrics.csv alone)")


def _finish(run: Run, folder: Path) -> None:
    """The report, and the results in the terminal."""
    print("drawing the report", flush=True)
    with told(folder):
        page = run.report(folder)
    print(results_table(run.summary()))
    print(f"report: {page}")


def _shown(parameters: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in parameters.items() if value is not None)


def _free_folder(name: str) -> Path:
    """runs/NAME-001, or the next number that is free: made at once, so that it is nobody else's."""
    for number in itertools.count(1):
        with contextlib.suppress(FileExistsError):
            (folder := Path("runs") / f"{name}-{number:03d}").mkdir(parents=True)
            break
    return folder
