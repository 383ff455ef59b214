"""Runs that are stopped from outside: Ctrl-C saves at once and says where; a directory without a checkpoint lives."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

import massieu as ms
from massieu.cli.main import main
from massieu.runs import core as life
from massieu.systems import Ising

ISING = ["run", "ising", "--l", "3", "--steps", "30", "--batch", "16", "--samples", "500", "--checkpoint-every", "20"]
OPTIONS = {"steps": 30, "batch": 16, "samples": 500, "checkpoint_every": 20}


class Interrupts:
    """Ctrl-C after so many steps, or when something is said."""

    def __init__(self, step=None, word=None):
        self.at, self.word = step, word

    def say(self, text):
        if self.word is not None and self.word in text:
            raise KeyboardInterrupt

    def step(self, step, steps, row):
        if step == self.at:
            raise KeyboardInterrupt

    def close(self): ...


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert main([*ISING, "--out", str(folder)]) == 0
    return folder


def _results(folder):
    rows = [line.rsplit(",", 1)[0] for line in (folder / "metrics.csv").read_text().splitlines()]
    return rows, json.loads((folder / "summary.json").read_text())["F"]


@pytest.mark.parametrize("step", [1, 7, 20, 27])
def test_interrupted_step_is_saved_and_resumed_to_the_same_bits(step, whole, tmp_path, capsys):
    folder = tmp_path / "cut"
    with pytest.raises(ms.errors.Interrupted, match=f"saved up to step {step}, continue with: massieu resume {folder}"):
        ms.minimize(Ising(l=3), out=folder, progress=Interrupts(step), **OPTIONS)
    assert len((folder / "metrics.csv").read_text().splitlines()) == 1 + step
    assert main(["resume", str(folder)]) == 0
    assert _results(folder) == _results(whole)


def test_interrupted_while_compiling_the_run_starts_anew_and_says_so(whole, tmp_path, capsys):
    folder = tmp_path / "cut"
    with pytest.raises(ms.errors.Interrupted, match=f"start anew with: massieu resume {folder}"):
        ms.minimize(Ising(l=3), out=folder, progress=Interrupts(word="compiling"), **OPTIONS)
    assert main(["resume", str(folder)]) == 0
    assert "starts anew" in capsys.readouterr().out
    assert _results(folder) == _results(whole)


def test_interrupted_evaluation_is_not_trained_again(whole, tmp_path, capsys):
    folder = tmp_path / "cut"
    with pytest.raises(ms.errors.Interrupted, match="saved up to step 30"):
        ms.minimize(Ising(l=3), out=folder, progress=Interrupts(word="evaluating"), **OPTIONS)
    assert main(["resume", str(folder)]) == 0
    assert "compiling" not in capsys.readouterr().out
    assert _results(folder) == _results(whole)


def test_density_of_ones_own_is_not_replaced_by_another(tmp_path, capsys):
    with pytest.raises(ms.errors.Interrupted):
        density = ms.densities.MADE(n=9, width=4)
        ms.minimize(Ising(l=3), density, out=tmp_path / "own", progress=Interrupts(word="compiling"), **OPTIONS)
    assert main(["resume", str(tmp_path / "own")]) == 2
    assert "the script that gave it its density, MADE" in capsys.readouterr().err


def test_start_from_another_run_is_remembered(whole, tmp_path, capsys):
    folder = tmp_path / "warm"
    with pytest.raises(ms.errors.Interrupted):
        interrupts = Interrupts(word="compiling")
        ms.minimize(Ising(l=3), out=folder, start_from=whole, progress=interrupts, anneal=0.0, **OPTIONS)
    assert main(["resume", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "starts from run: " in said or "with the parameters of run" in said


def test_finished_run_whose_checkpoints_are_gone_is_left_alone(whole, tmp_path, capsys):
    import shutil

    copy = shutil.copytree(whole, tmp_path / "copy")
    for path in (copy / "checkpoints").iterdir():
        path.unlink()
    before = _results(copy)
    assert main(["resume", str(copy), "--steps", "40"]) == 1
    assert "no checkpoint" in capsys.readouterr().err
    assert _results(copy) == before


def _interrupted(command, folder, ready, sent=signal.SIGINT):
    code = """
import signal
from massieu.cli import entry
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell started the tests in the background
entry()
"""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", code, *command], cwd=folder, **pipes)
    deadline = time.time() + 120
    while time.time() < deadline and not ready():
        time.sleep(0.02)
    os.kill(process.pid, sent)
    _, said = process.communicate(timeout=180)
    return process.returncode, said


def test_signal_stops_the_command_with_the_directory_and_exit_code_130(tmp_path):
    folder = tmp_path / "runs" / "ising-001"
    command = [*ISING, "--steps", "1000000", "--checkpoint-every", "10"]
    code, said = _interrupted(command, tmp_path, lambda: list(folder.glob("checkpoints/step-*.npz")))
    steps = max(folder.glob("checkpoints/step-*.npz")).stem.removeprefix("step-")
    assert code == 130
    how = "continue with: massieu resume runs/ising-001"
    assert said == f"massieu: interrupted; saved up to step {int(steps)}, {how}\n"


def test_end_of_time_on_a_cluster_saves_and_ends_with_143(tmp_path):
    folder = tmp_path / "cut"
    command = [*ISING, "--steps", "1000000", "--checkpoint-every", "10", "--out", str(folder)]
    code, said = _interrupted(command, tmp_path, lambda: list(folder.glob("checkpoints/step-*.npz")), signal.SIGTERM)
    steps = int(max(folder.glob("checkpoints/step-*.npz")).stem.removeprefix("step-"))
    assert code == 143
    assert said == f"massieu: terminated; saved up to step {steps}, continue with: massieu resume {folder}\n"


def test_end_of_time_before_the_first_checkpoint_says_how_to_start_anew(tmp_path, capsys):
    folder = tmp_path / "cut"
    code, said = _interrupted([*ISING, "--out", str(folder)], tmp_path, (folder / "config.yaml").exists, signal.SIGTERM)
    steps = [path.stem for path in folder.glob("checkpoints/step-*.npz")]
    assert code == 143 and said.startswith("massieu: terminated; ") and f"massieu resume {folder}" in said
    assert steps or "no step was saved yet, start anew with" in said
    assert main(["resume", str(folder)]) == 0


class Terminates(Interrupts):
    """SIGTERM to the process itself after so many steps."""

    def step(self, step, steps, row):
        if step == self.at:
            os.kill(os.getpid(), signal.SIGTERM)


def test_script_is_terminated_like_the_command(whole, tmp_path, capsys):
    """And whatever listened before does so again."""
    folder = tmp_path / "cut"
    with pytest.raises(ms.errors.Terminated, match=f"saved up to step 7, continue with: massieu resume {folder}"):
        ms.minimize(Ising(l=3), out=folder, progress=Terminates(7), **OPTIONS)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert main(["resume", str(folder)]) == 0
    assert _results(folder) == _results(whole)


def test_who_listens_to_the_signal_keeps_it(tmp_path):
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
    try:
        ms.minimize(Ising(l=3), progress=Terminates(7), **OPTIONS)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [1]


def test_interrupted_sweep_names_both_ways_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("massieu.cli.arguments.progress", lambda values: Interrupts(step=2))
    command = ["sweep", "ising", "--l", "2,3", *ISING[4:], "--out", str(tmp_path / "s")]
    assert main(command) == 130
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"massieu resume {tmp_path / 's' / 'l-2'}, or the whole sweep" in error


def test_what_has_no_directory_says_that_nothing_was_saved(monkeypatch, capsys):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Ising, "known", stopped)
    assert main(["reference", "ising", "--l", "3"]) == 130
    assert capsys.readouterr().err == "massieu: interrupted; nothing was saved\n"


def test_failure_of_the_device_names_the_directory(tmp_path, monkeypatch, capsys):
    import jax

    def failed(*_):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory\nmore")

    monkeypatch.setattr(life, "final_evaluation", failed)
    assert main([*ISING, "--out", str(tmp_path / "r")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "RESOURCE_EXHAUSTED: out of memory; saved up to step 30" in error
    assert f"massieu resume {tmp_path / 'r'}" in error
