"""What is written as JSON is JSON: any reader takes it, and what is not known is null."""

import json
import math
import re
from pathlib import Path

import pytest

import massieu as ms
from massieu.cli.main import main
from massieu.report.results import results_table
from massieu.runs.directory import read_summary
from massieu.strict_json import from_json, to_json


def strict(text):
    """The content; an error for NaN and Infinity, which only some readers take."""

    def refused(token):
        raise ValueError(f"{token} is no JSON")

    return json.loads(text, parse_constant=refused)


@pytest.mark.quick
def test_numbers_that_are_none_become_null_and_those_of_estimates_nan_again():
    content = {"E": {"value": [1.0, math.nan], "error": math.inf}, "r_hat": math.inf, "none": None, "x": (1, "a", True)}
    text = to_json(content)
    assert strict(text) == {
        "E": {"value": [1.0, None], "error": None}, "r_hat": None, "none": None, "x": [1, "a", True]
    }  # fmt: skip
    found = from_json(text)
    assert found["E"]["value"][0] == 1 and math.isnan(found["E"]["value"][1]) and math.isnan(found["E"]["error"])
    assert found["r_hat"] is None and found["none"] is None


@pytest.mark.quick
def test_nothing_else_writes_json():
    writers = {p.name for p in Path(ms.__path__[0]).rglob("*.py") if re.search(r"\bjson\.dumps?\(", p.read_text())}
    assert writers == {"strict_json.py"}


@pytest.fixture(scope="module")
def untrusted(tmp_path_factory):
    """An untrained density far from the system, whose reweighted values have no errors."""
    folder = tmp_path_factory.mktemp("json") / "run"
    far = ["--l", "8", "--beta", "0.6", "--density", "product", "--steps", "2", "--samples", "1000"]
    assert main(["run", "ising", *far, "--out", str(folder)]) == 0
    return folder


def test_files_of_a_run_without_errors_are_strict(untrusted, capsys):
    found = strict((untrusted / "summary.json").read_text())
    assert all(found["importance"][name]["error"] is None for name in ("lnZ", "F", "E", "S"))
    strict((untrusted / "reference.json").read_text())


def test_readers_take_null(untrusted, capsys):
    """The report, the table, a sweep and the comparison with a baseline, from what is in the files."""
    assert main(["report", str(untrusted)]) == 0
    assert "error unknown" in (untrusted / "report.html").read_text()
    assert "error unknown" in results_table(read_summary(untrusted))
    of_the_same = ["ising", "--l", "8", "--beta", "0.6", "--method", "ais", "--stages", "10", "--walkers", "64"]
    assert main(["baseline", *of_the_same, "--run", str(untrusted)]) == 0
    assert "network, reweighted" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command",
    [
        ["reference", "sk", "--n", "4"],
        ["reference", "quantum-dot", "--n", "2"],
        ["baseline", "ising", "--l", "2", "--method", "ais,metropolis", "--stages", "10", "--walkers", "64"],
    ],
    ids=" ".join,
)
def test_what_is_printed_is_strict(command, capsys):
    assert main([*command, "--json"]) == 0
    assert strict(capsys.readouterr().out)


def test_bounds_are_strict(untrusted, capsys):
    assert main(["bounds", str(untrusted), "--samples", "1000", "--stages", "10", "--json"]) == 0
    assert strict(capsys.readouterr().out).keys() == strict((untrusted / "bounds.json").read_text()).keys()


def test_r_hat_of_frozen_chains_is_read_back(untrusted):
    """R-hat of chains that stand still is null in the file, and said in the table."""
    summary = read_summary(untrusted)
    summary["observables"]["r_hat"] = None
    assert "not known" in results_table(summary)
