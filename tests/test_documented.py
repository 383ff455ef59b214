"""Commands in README and docs: each is one that the parser takes, and the exact values that they promise are there."""

import re
from pathlib import Path

import pytest

from massieu.cli import arguments
from massieu.cli.main import main

ROOT = Path(__file__).parents[1]
COMMAND = re.compile(r"massieu (?:run|reference) [a-z].*")
FILLED_IN = ("J.npy", "H.txt", "G1.txt", "chain.txt", "--n N ")  # for the reader to fill in
EXACT = ("ising", "sk", "ising-dual", "tfim")  # and electrons where the line says so


def _documented():
    """Command lines, without what is said beside them, and that."""
    found = {}
    pages = [path for path in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in path.parts]
    for path in (ROOT / "README.md", *pages):
        for whole in COMMAND.findall(path.read_text()):
            command, _, remark = re.sub(r"\s*#|\s{2,}|`|\]|\)", "\n", whole, count=1).partition("\n")
            if "[" not in command and ".." not in command and not any(name in command for name in FILLED_IN):
                found[command.strip()] = found.get(command.strip(), "") + remark
    return found


FOUND = _documented()


def _system(command):
    kind, rest = arguments.named_system(command.split()[2:])
    parser = arguments.system_parser(kind, "run")
    arguments.add_training(parser, kind, rest)
    for name in ("--out", "--json", "--log", "--quiet"):
        parser.add_argument(name, nargs="?")
    return arguments.make(kind, vars(parser.parse(rest)))


def test_there_are_commands_in_the_documents():
    assert len(FOUND) > 20 and sum("exact value" in remark for remark in FOUND.values()) >= 2


@pytest.mark.parametrize("command", [c for c in FOUND if c.startswith("massieu run")])
def test_a_documented_run_is_one(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*command.split()[1:], "--dry-run"]) == 0
    assert "config:" in capsys.readouterr().out


@pytest.mark.acceptance
@pytest.mark.parametrize(
    "command", [c for c, remark in FOUND.items() if c.split()[2] in EXACT or "exact value" in remark]
)
def test_a_promised_exact_value_is_there(command):
    system = _system(command)
    best = system.reference().best
    assert best is not None and best.F is not None
