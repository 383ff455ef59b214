"""show, compare: what finished runs have found; nothing is computed."""

from __future__ import annotations

from pathlib import Path

from massieu.cli.arguments import Parser
from massieu.cli.main import COMMANDS
from massieu.errors import InputError, require
from massieu.report import comparison
from massieu.report.results import results_table
from massieu.runs.directory import finished
from massieu.strict_json import to_json


def show(arguments: list[str]) -> int:
    """The table of a run again."""
    parser = Parser(prog="massieu show", description=COMMANDS["show"].help)
    parser.add_argument("dir", metavar="DIR")
    parser.add_argument("--json", action="store_true", help="summary.json in the place of the table")
    values = parser.parse(arguments)
    summary = finished(Path(values.dir))
    print(to_json(summary, indent=2) if values.json else results_table(summary))
    return 0


def compare(arguments: list[str]) -> int:
    """One table and one figure of several runs."""
    parser = Parser(prog="massieu compare", description=COMMANDS["compare"].help)
    parser.add_argument("dirs", metavar="DIR", nargs="+")
    parser.add_argument("--out", metavar="FILE", default="compare.png", help="the figure (default: compare.png)")
    values = parser.parse(arguments)
    folders = [Path(name) for name in values.dirs]
    require(len(folders) > 1, "DIR", values.dirs[0], "two run directories or more")
    summaries = [finished(folder) for folder in folders]
    figure = comparison.figure(folders, summaries)
    try:
        figure.savefig(values.out, dpi=130)
    except (OSError, ValueError) as error:
        raise InputError(f"out = {values.out}: must be a writable file of a picture, such as .png ({error})") from None
    print(comparison.table(folders, summaries))
    print(f"figure: {values.out}")
    return 0
