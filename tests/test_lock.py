"""One process at a time writes in a run directory; locks of the dead are broken, those of others are not."""

import json
import os
import socket
import subprocess
import sys

import pytest

import massieu as ms
from massieu.cli.main import main
from massieu.errors import InUse
from massieu.learning.fit import fit
from massieu.runs.lock import NAME, held

ISING = ["run", "ising", "--l", "3", "--steps", "4", "--batch", "16", "--samples", "500"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lock") / "run"
    assert main([*ISING, "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def other():
    """Another process that lives."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.communicate(b"\n")


def _lock(folder, pid, host=None, since=None):
    from massieu.runs.lock import _since

    owner = {"host": host or socket.gethostname(), "pid": pid, "since": _since(pid) if since is None else since}
    folder.mkdir(exist_ok=True)
    (folder / NAME).write_text(json.dumps(owner))


def _dead():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_no_lock_is_left_behind(finished):
    assert not (finished / NAME).exists()


@pytest.mark.parametrize("command", [["resume", "--steps", "8"], ["evaluate"]], ids=lambda c: c[0])
def test_directory_of_another_process_is_refused_in_one_line(command, finished, other, capsys):
    _lock(finished, other.pid)
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    try:
        assert main([command[0], str(finished), *command[1:]]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert f"process {other.pid} on {socket.gethostname()} holds lock" in error and str(finished) in error
        assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before
    finally:
        (finished / NAME).unlink()


def test_two_runs_into_one_new_directory(tmp_path, other, capsys):
    _lock(tmp_path / "r", other.pid)
    assert main([*ISING, "--out", str(tmp_path / "r")]) == 2
    assert "one process at a time" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "r").iterdir()] == [NAME]


def test_two_sweeps_and_two_fits(tmp_path, other, capsys):
    import numpy as np

    sweep = ["sweep", "ising", "--l", "2,3", *ISING[4:], "--out", str(tmp_path / "s")]
    assert main(sweep) == 0
    _lock(tmp_path / "s", other.pid)
    assert main(sweep) == 2
    assert "one process at a time" in capsys.readouterr().err
    x = np.random.default_rng(0).normal(size=(50, 2))
    fit(x, out=tmp_path / "f", density="realnvp", steps=2, width=4)
    _lock(tmp_path / "f", other.pid)
    with pytest.raises(InUse):
        fit(x, out=tmp_path / "f", density="realnvp", steps=2, width=4)


@pytest.mark.parametrize("since", [None, "1"], ids=["dead", "another process of the same number"])
def test_lock_of_a_dead_process_is_broken_with_a_word(since, finished, other, capsys):
    pid = _dead() if since is None else other.pid
    _lock(finished, pid, since=since or "1")
    assert main(["evaluate", str(finished)]) == 0
    assert f"the lock of process {pid}, which is not there any more, is removed" in capsys.readouterr().out
    assert not (finished / NAME).exists()


@pytest.mark.parametrize("content", ['{"host": "elsewhere", "pid": 1, "since": "1"}', "", "{"])
def test_lock_of_another_machine_or_of_nobody_known_is_kept(content, tmp_path):
    (tmp_path / NAME).write_text(content)
    with pytest.raises(InUse, match="remove it if it died"), held(tmp_path):
        pass
    assert (tmp_path / NAME).read_text() == content


def test_process_may_enter_again_and_leaves_nothing_when_it_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), held(tmp_path), held(tmp_path):
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()
        raise ZeroDivisionError
    assert not (tmp_path / NAME).exists()


def test_two_processes_that_start_at_once(tmp_path):
    """Each in a directory of its own without --out, one of them refused with the same --out."""
    code = "import sys; from massieu.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *ISING]
    for out, codes, count in (([], [0, 0], 2), (["--out", "one"], [0, 2], 1)):
        both = [subprocess.Popen([*command, *out], cwd=tmp_path, stdout=subprocess.DEVNULL) for _ in range(2)]
        assert sorted(process.wait() for process in both) == codes
        assert len(list(tmp_path.glob("runs/*/summary.json" if not out else "one/summary.json"))) == count


def test_refused_run_leaves_no_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*ISING, "--density", "pixelcnn", "--width", "4", "--gradient", "pathwise"]) == 2
    assert not list(tmp_path.iterdir())
    with pytest.raises(ms.InputError):
        ms.minimize(ms.Ising(l=3), gradient="pathwise", out=tmp_path / "r")
    assert not list(tmp_path.iterdir())
