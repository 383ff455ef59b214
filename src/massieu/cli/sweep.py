"""sweep, status: a grid of runs, one after the other or on a cluster, and how far it is."""

from __future__ import annotations

import argparse
from pathlib import Path

from massieu.cli import arguments as flags
from massieu.cli.arguments import Parser, checked, named_system, system_parser
from massieu.cli.main import COMMANDS
from massieu.errors import InputError, RunError, require
from massieu.report.run import Run
from massieu.report.tables import consistency_table, sweep_table
from massieu.runs import sweep as grid_of_runs
from massieu.runs import sweep_plan, sweep_status
from massieu.runs.cluster import cluster
from massieu.runs.jobs import conductor
from massieu.runs.sweep_task import Conduct
from massieu.systems.table import parameters
from massieu.text import columns


def sweep(arguments: list[str]) -> int:
    """A grid of runs, or what failed of one."""
    if arguments[0].startswith("--retry"):
        parser = Parser(prog="massieu sweep", description="the points of a sweep that failed, again")
        parser.add_argument("--retry", metavar="DIR", required=True, help="directory of the sweep")
        _add_cluster(parser)
        flags.add_progress(parser)
        asked = parser.parse(arguments)
        out = Path(asked.retry)
        return _swept(sweep_plan.read_plan(out), out, asked, _conductor(asked), retry=True)
    kind, rest = named_system(arguments)
    parser = system_parser(kind, "sweep", lists=True)
    flags.add_training(parser, kind, rest)
    parser.add_argument("--out", metavar="DIR", help="directory of the sweep; the same command again continues it")
    parser.add_argument("--dry-run", action="store_true", help="print the points and stop")
    _add_cluster(parser)
    flags.add_progress(parser)
    asked = parser.parse(rest)
    values = vars(asked)
    given = {flag: values[flag] for flag in parameters(kind) if values[flag] is not None}
    plan, conduct = sweep_plan.plan(kind, given, flags.training(values, kind)), _conductor(asked)
    if values["dry_run"]:
        print("\n".join(sweep_plan.described(plan)))
        return 0
    if values["out"] is None:
        raise InputError("out = None: must be given, the directory of the sweep")
    return _swept(plan, Path(values["out"]), asked, conduct)


def _swept(
    plan: sweep_plan.Plan, out: Path, asked: argparse.Namespace, conduct: Conduct | None, retry: bool = False
) -> int:
    """Run, and print the tables."""
    rows, checks, failed = grid_of_runs.run(plan, out, lambda: flags.progress(asked), Run.report, conduct, retry)
    print(sweep_table(rows))
    if checks:
        print(consistency_table(checks))
    print(f"sweep: {out / 'sweep.csv'}")
    if failed:
        again = f"massieu sweep --retry {out} tries them again"
        raise RunError(f"{len(failed)} of {len(plan.points)} points: {', '.join(failed)}; the rest is done; {again}")
    return 0


def _add_cluster(parser: Parser) -> None:
    """Where the points run."""
    group = parser.add_argument_group("points side by side (default: one after the other, in this process)")
    group.add_argument("--cluster", metavar="NAME", help="local: processes of this machine; slurm: jobs in its queue")
    group.add_argument("--jobs", type=checked("jobs", int), help="points at once (default: 2)")
    group.add_argument("--partition", help="Slurm's partition")
    group.add_argument("--gpus", type=checked("gpus", int), help="GPUs of each job (Slurm)")
    text = "limit of a job (Slurm), minutes or D-HH:MM:SS; it is requeued then and goes on (default: 1-00:00:00)"
    group.add_argument("--time", metavar="TIME", help=text)
    text = "a further line of Slurm's batch script, such as account=physics; may be repeated"
    group.add_argument("--slurm", metavar="KEY=VALUE", action="append", default=[], help=text)


def _conductor(asked: argparse.Namespace) -> Conduct | None:
    """What `_add_cluster` asks for."""
    given = {name: getattr(asked, name) for name in ("jobs", "partition", "gpus", "time")}
    if asked.cluster is None:
        for name, value in (given | {"slurm": asked.slurm or None}).items():
            require(value is None, name, value, "given with --cluster")
        return None
    return conductor(cluster(asked.cluster, slurm=tuple(asked.slurm), **given))


def status(arguments: list[str]) -> int:
    """How far a sweep is."""
    parser = Parser(prog="massieu status", description=COMMANDS["status"].help)
    parser.add_argument("dir", metavar="DIR")
    folder = Path(parser.parse(arguments).dir)
    states = sweep_status.states(folder)
    print(columns([["point", "state", ""], *([state.point, state.word, state.text] for state in states)]))
    print(sweep_status.summary(folder, states))
    return 0
