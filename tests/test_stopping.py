"""Runs that are not healthy stop: chains that do not move, a variance that explodes; healthy ones go on."""

import json

import pytest

from massieu.cli.main import main
from massieu.methods.classical import train
from massieu.runs.stopping import EXPLODED, LEAST_ACCEPTANCE, PATIENCE, collapsed

RUN = ["run", "ising", "--l", "4", "--steps", "90", "--batch", "64", "--samples", "1000", "--checkpoint-every", "20",
       "--anneal", "0"]  # fmt: skip
ILL = {"stuck": {"acceptance": LEAST_ACCEPTANCE / 2}, "exploded": {"F_var": 1e9}}


def _rows(count, ill=0, **changes):
    healthy = {"F_var": 1.0, "acceptance": 0.6, "beta": 1.0}
    return [healthy | (changes if k >= count - ill else {}) for k in range(count)]


def test_healthy_runs_go_on():
    assert not collapsed(_rows(200))
    assert not collapsed(_rows(200, 1, F_var=1e9)) and not collapsed(_rows(200, PATIENCE - 1, acceptance=0.0))
    assert not collapsed(_rows(200, PATIENCE, F_var=0.9 * EXPLODED))


@pytest.mark.parametrize("changes", ILL.values(), ids=ILL)
def test_ill_for_some_steps_in_a_row(changes):
    assert collapsed(_rows(200, PATIENCE, **changes))
    assert not collapsed(_rows(5 * PATIENCE - 1, PATIENCE, **changes))  # too early to know


def test_annealing_may_raise_the_variance():
    assert not collapsed(_rows(200, PATIENCE, F_var=1e9, beta=2.0))


@pytest.mark.parametrize("changes", ILL.values(), ids=ILL)
def test_run_stops_and_keeps_the_checkpoint_from_before(changes, tmp_path, capsys, monkeypatch):
    real = train.problem

    def broken(*arguments):
        made = real(*arguments)

        def step(state):
            new, metrics = made.step(state)
            return new, metrics | (changes if int(state.step) >= 61 else {})

        return made._replace(step=step)

    monkeypatch.setattr("massieu.methods.classical.train.problem", broken)
    monkeypatch.setattr("massieu.runs.run.kept", lambda training, *_: training)
    folder = tmp_path / "ill"
    assert main([*RUN, "--out", str(folder)]) == 1
    assert f"diverged at step {60 + PATIENCE}" in capsys.readouterr().err
    assert json.loads((folder / "summary.json").read_text())["status"] == "diverged"
    assert max((folder / "checkpoints").glob("step-*.npz")).name == "step-00000060.npz"
