"""show, compare and new: what a user does after, and before, a run."""

import subprocess
import sys
from pathlib import Path

import pytest

from massieu.cli.main import COMMANDS, main


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    small = ["--n", "6", "--steps", "6", "--batch", "64", "--samples", "400"]
    for beta in ("0.5", "1"):
        assert main(["run", "sk", "--beta", beta, *small, "--out", str(folder / f"beta-{beta}")]) == 0
    return [str(folder / f"beta-{beta}") for beta in ("0.5", "1")]


def test_show_prints_the_table_of_the_run_again(runs, capsys):
    assert main(["evaluate", runs[0]]) == 0
    table = capsys.readouterr().out
    assert main(["show", runs[0]]) == 0
    assert capsys.readouterr().out.strip() in table
    assert main(["show", runs[0], "--json"]) == 0
    assert '"schema": 1' in capsys.readouterr().out


def test_compare_has_one_table_and_one_figure(runs, tmp_path, capsys):
    out = tmp_path / "both.png"
    assert main(["compare", *runs, "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:6] == ["run", "beta", "F", "E", "S", "C"]
    assert [line.split()[1] for line in lines[1:3]] == ["0.5", "1.0"]
    assert out.read_bytes().startswith(b"\x89PNG")
    for arguments, message in (
        (["compare", runs[0]], "two run directories or more"),
        (["compare", *runs, "--out", str(tmp_path / "no" / "x.png")], "must be a writable file"),
        (["show", str(tmp_path)], "must be a run directory"),
    ):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["classical", "qubits", pytest.param("particles", marks=pytest.mark.acceptance)])
def test_new_writes_an_example_that_runs(kind, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new", "my_model", "--kind", kind]) == 0
    text = (tmp_path / "my_model.py").read_text().replace("steps=200", "steps=4").replace("steps=60", "steps=4")
    (tmp_path / "my_model.py").write_text(text)
    done = subprocess.run([sys.executable, "my_model.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "F = " in done.stdout
    assert (tmp_path / "runs" / "my_model" / "report.html").is_file()
    capsys.readouterr()
    assert main(["new", "my_model"]) == 2
    assert "must be a new one, my_model.py is there" in capsys.readouterr().err
    assert main(["new", "my-model"]) == 2
    assert "must be a name of Python" in capsys.readouterr().err


def test_help_lists_commands_by_what_one_wants(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in COMMANDS)
    assert text.index("compute free energies") < text.index("look at runs") < text.index("learn from data")


def test_a_reader_who_has_enough_is_no_error(runs):
    command = f"{Path(sys.executable).with_name('massieu')} show {runs[0]} | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.startswith(" ")
    assert done.stderr == ""


def test_the_report_says_how_it_was_made_and_fits_a_phone(runs):
    text = (Path(runs[1]) / "report.html").read_text()
    assert '<meta name=viewport content="width=device-width, initial-scale=1">' in text
    assert "The free energy of Sherrington-Kirkpatrick spin glass" in text
    assert "massieu run sk --n 6 --couplings-seed 0 --steps 6 --batch 64 --samples 400" in text
    assert "BlanketMADE, " in text
    assert "spins without couplings" in text
    assert text.count("<img ") == text.count("<img alt=") and 'alt=""' not in text
    for name in ("config.yaml", "summary.json", "figures/free_energy.svg", "figures/free_energy.png"):
        assert (Path(runs[1]) / name).is_file()
