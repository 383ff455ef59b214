"""The command `massieu baseline quantum-dot`: its numbers, its table, a run beside it, and what it refuses."""

import json
import math

import pytest

import massieu as ms
from massieu.baselines.path_integrals import path_integral, table
from massieu.cli.main import main

COMMAND = ["baseline", "quantum-dot", "--n", "2", "--kappa", "2", "--beta", "1"]
EFFORT = ["--slices", "16", "--chains", "64", "--sweeps", "100"]
DOT = {"n": 2, "kappa": 2.0, "beta": 1.0}


def _within(found, exact, time_step):
    assert found["error"] > 0
    assert abs(found["value"] - exact.value) < 4 * found["error"] + time_step


def finished(folder, dot):
    """What the command reads of a finished run."""
    folder.mkdir()
    known = {name: {"value": 3.0, "error": 0.01} for name in ("F", "E", "S", "r_squared")}
    summary = {"status": "finished", "system": dot.name, "parameters": dot.parameters(), "observables": known, **known}
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "metrics.csv").write_text("step,beta,F,seconds\n0,1.0,3.0,1.0\n")


def test_table_of_two_electrons_of_one_spin_beside_exact_values_and_a_run(tmp_path, capsys):
    finished(tmp_path / "run", ms.QuantumDot(**DOT, shells=7))
    assert main([*COMMAND, *EFFORT, "--run", str(tmp_path / "run")]) == 0
    said, announced, head, pimc, exact, run, sign, step = capsys.readouterr().out.splitlines()
    assert "slices" in said and announced == "computing the reference of quantum-dot"
    assert head.split() == ["F", "E", "S", "<sum", "r^2>"]
    assert (pimc.split()[0], exact.split()[0], run.split()[0]) == ("pimc", "exact", "run")
    assert run.split()[1:5] == ["3.00(1)"] * 4
    assert "average sign 0." in sign and "tau = 0.0625" in step
    assert main([*COMMAND, *EFFORT, "--beta", "2", "--run", str(tmp_path / "run")]) == 2
    assert "must be of the same system with the same parameters" in capsys.readouterr().err


def test_json_of_two_electrons_of_one_spin_is_near_the_exact_values(capsys):
    assert main([*COMMAND, *EFFORT, "--json"]) == 0
    found, exact = json.loads(capsys.readouterr().out), ms.QuantumDot(**DOT).reference().best
    _within(found["F"], exact.F, 0.002)
    _within(found["E"], exact.E, 0.002)
    _within(found["S"], exact.S, 0.004)
    assert found["reference"]["F"]["value"] == exact.F.value and found["run"] is None
    assert 0 < found["sign"]["value"] < 1 and found["r_squared"]["error"] > 0


def test_opposite_spins_are_labelled_particles(capsys):
    assert main([*COMMAND, *EFFORT, "--polarised", "false", "--json"]) == 0
    found, exact = json.loads(capsys.readouterr().out), ms.QuantumDot(**DOT, polarised=False).reference().best
    # of order tau: at most that of the bosons among their states, 0.014 of F and 0.029 of E at tau = 1/8
    _within(found["F"], exact.F, 0.014)
    _within(found["E"], exact.E, 0.029)
    assert found["sign"] == {"value": 1.0, "error": 0.0}


def test_a_sign_that_is_not_resolved_is_told_in_words(capsys):
    found = path_integral(ms.QuantumDot(n=2, kappa=0.0, beta=12.0), "pimc", 16, 64, 100, 0)
    assert math.isnan(found.values.F.value) and found.as_dict()["F"] is None
    shown = table(found, None, None)
    assert "the sign is not resolved" in shown and "nan" not in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "hmc"], "method = hmc: must be one of pimc"),
        (["--n", "4", "--polarised", "false"], "polarised = false: must be true for method pimc and n = 4"),
        (["--n", "10"], "n = 10: must be an integer from 1 to 8"),
        (["--beta", "inf"], "beta = inf: must be a finite number > 0"),
        (["--shells", "5"], "shells = 5: must be left out"),
        (["--slices", "2"], "slices = 2: must be an integer >= 4"),
        (["--sweeps", "many"], "sweeps = many: must be an integer"),
        (["--stages", "100"], "--stages: no such parameter"),
        (["--run", "nowhere"], "run = nowhere: must be the directory of a finished run"),
    ],
)
def test_bad_input_is_refused_in_one_line(refused, arguments, message):
    refused(["baseline", "quantum-dot", *arguments], message)


def test_other_quantum_systems_are_refused(refused):
    refused(["baseline", "hydrogen", "--n", "2"], "hydrogen: must be a classical system")
