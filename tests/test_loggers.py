"""Metrics in other people's loggers, how much is shown, and completion: all from the same parsers."""

import subprocess
import sys

import pytest

from massieu.cli.main import COMMANDS, main
from massieu.runs.loggers import LOGGERS, logger

TINY = ["run", "ising", "--l", "2", "--steps", "3", "--batch", "16", "--samples", "100", "--anneal", "0"]


class Recorded:
    """What a library of loggers is told: stands for wandb and for mlflow."""

    def __init__(self):
        self.rows, self.config, self.ended = [], None, False

    def init(self, project, name, dir, config):
        self.config = config
        return self

    def log(self, row, step):
        self.rows.append((step, row))

    def finish(self):
        self.ended = True

    def set_experiment(self, name):
        self.name = name

    def start_run(self, run_name):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.finish()

    def log_params(self, config):
        self.config = config

    log_metrics = log


@pytest.mark.parametrize(("name", "module"), [("wandb", "wandb"), ("mlflow", "mlflow")])
def test_every_step_is_logged(name, module, tmp_path, monkeypatch):
    library = Recorded()
    monkeypatch.setitem(sys.modules, module, library)
    assert main([*TINY, "--log", name, "--out", str(tmp_path / "run")]) == 0
    assert [step for step, _ in library.rows] == [1, 2, 3] and library.ended
    assert {"F", "F_error", "beta"} <= set(library.rows[0][1]) and library.config["l"] == 2


def test_steps_are_in_the_files_of_tensorboard(tmp_path):
    pytest.importorskip("tensorboardX")
    assert main([*TINY, "--log", "tensorboard", "--out", str(tmp_path / "run")]) == 0
    assert main(["resume", str(tmp_path / "run"), "--steps", "5", "--log", "tensorboard"]) == 0
    files = list((tmp_path / "run" / "tensorboard").glob("events*"))
    assert len(files) == 2 and b"F_error" in files[0].read_bytes()


def test_an_unknown_logger_is_refused_before_anything_is_made(refused, monkeypatch):
    refused([*TINY, "--log", "paper"], "log = paper: must be one of")
    monkeypatch.setitem(sys.modules, "wandb", None)
    refused([*TINY, "--log", "wandb"], "log = wandb: must be left out, the package wandb is not installed")


def test_no_name_logs_nothing(tmp_path):
    with logger(None, tmp_path, {}) as callback:
        assert callback is None
    assert set(LOGGERS) == {"tensorboard", "wandb", "mlflow"}


def test_quiet_shows_results_and_verbose_every_step(tmp_path, capsys):
    assert main([*TINY, "--quiet", "--out", str(tmp_path / "a")]) == 0
    quiet = capsys.readouterr().out
    assert "compiling" not in quiet and "step 1/3" not in quiet and "report:" in quiet
    assert main([*TINY, "--verbose", "--out", str(tmp_path / "b")]) == 0
    shown = capsys.readouterr().out
    assert all(f"step {k}/3" in shown for k in (1, 2, 3)) and "compiled and made in" in shown


def test_quiet_and_verbose_exclude_each_other(refused):
    refused([*TINY, "--quiet", "--verbose"], "not allowed with argument")


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_every_command_and_flag_is_completed(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(name in script for name in COMMANDS)
    assert all(flag in script for flag in ("--couplings-seed", "--rs", "--dry-run", "inverse-ising"))


def test_bash_completes_a_flag_of_a_system(tmp_path, capsys):
    assert main(["completion", "bash"]) == 0
    path = tmp_path / "massieu.bash"
    path.write_text(capsys.readouterr().out)
    words = "COMP_WORDS=(massieu run sk --couplings-s); COMP_CWORD=3; _shtab_massieu massieu --couplings-s sk"
    asked = f'source {path}; {words}; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=False)
    assert "--couplings-seed" in done.stdout.split(), done.stderr


def test_a_shell_that_is_none_is_refused(refused):
    refused(["completion", "csh"], "invalid choice: 'csh'")


def test_python_runs_it_as_a_module():
    done = subprocess.run([sys.executable, "-m", "massieu", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("massieu ")
