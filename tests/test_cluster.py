"""A sweep on a cluster: the order of its points, what is asked of Slurm, and ends that nobody wanted."""

import csv
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

import massieu as ms
from massieu.cli.main import main
from massieu.errors import RunError
from massieu.progress import Silent
from massieu.runs import cluster as clusters
from massieu.runs import jobs, sweep_plan, sweep_status
from massieu.runs.lock import held
from massieu.runs.sweep_task import Failures, Work

TINY = {"steps": 2, "batch": 16, "samples": 500}
FLAGS = [word for name, value in TINY.items() for word in (f"--{name}", str(value))]
SWEEP = ["sweep", "sk", "--n", "6", "--beta", "0.3,0.5,0.7", "--couplings-seed", "1,2", *FLAGS]


def _plan(**options):
    return sweep_plan.plan(ms.SK, {"n": 6, "beta": (0.3, 0.5, 0.7), "couplings_seed": (1, 2)}, TINY | options)


# ---- the order of the points, without any process


class Hands:
    """An executor in the place of submitit's: jobs end one at a time, the last that was submitted first."""

    def __init__(self, out, failing=()):
        self.out, self.failing, self.log, self.running = out, failing, [], []

    def submit_array(self, made):
        return [Done(self, job) for job in made]


class Done:
    def __init__(self, hands, job):
        self.hands, self.job, self.job_id, self.name = hands, job, str(len(hands.log)), job.task.point.name
        self.paths = type("Paths", (), {"stdout": "log"})
        near = job.task.near
        assert near is None or read(hands.out / near.name), "begun before its neighbour was done"
        hands.log.append((self.name, near and near.name))
        hands.running.append(self.name)
        hands.most = max(getattr(hands, "most", 0), len(hands.running))

    def done(self):
        if self.hands.running[-1] != self.name:
            return False
        self.hands.running.pop()
        folder = self.hands.out / self.name
        folder.mkdir(exist_ok=True)
        if self.name not in self.hands.failing:
            (folder / "summary.json").write_text('{"status": "finished", "F": {"value": -1.0, "error": 0.1}}')
        return True

    def exception(self):
        return None

    def result(self):
        return "diverged" if self.name in self.hands.failing else None


def read(folder):
    return (folder / "summary.json").exists()


def _conducted(tmp_path, monkeypatch, count, failing=()):
    plan = _plan()
    hands = Hands(tmp_path, failing)
    monkeypatch.setattr(clusters, "executor", lambda cluster, folder: hands)
    monkeypatch.setattr(jobs, "POLL", 0.0)
    (tmp_path / jobs.FOLDER).mkdir()
    work = Work(plan, tmp_path, Silent, None, plan.points, [], Failures(tmp_path))
    jobs.conductor(clusters.cluster("local", count))(work)
    return hands, work, plan


@pytest.mark.parametrize("count", [1, 2, 5])
def test_points_begin_when_their_neighbours_are_done_and_never_too_many(tmp_path, monkeypatch, count):
    hands, work, plan = _conducted(tmp_path, monkeypatch, count)
    assert sorted(name for name, _ in hands.log) == sorted(point.name for point in plan.points)
    assert hands.most == min(count, 2)  # two seeds, which do not start from each other
    for name, near in hands.log:
        expected = sweep_plan.nearest(plan, next(p for p in plan.points if p.name == name))
        assert near == (expected and expected.name)
    assert not work.failures.now and not (tmp_path / "failed.json").exists()


def test_a_point_whose_neighbour_failed_starts_from_the_next_one(tmp_path, monkeypatch):
    hands, work, _ = _conducted(tmp_path, monkeypatch, 2, failing=("beta-0.5_couplings-seed-1",))
    assert dict(hands.log)["beta-0.7_couplings-seed-1"] == "beta-0.3_couplings-seed-1"
    assert work.failures.now == {"beta-0.5_couplings-seed-1": "diverged"}
    assert json.loads((tmp_path / "failed.json").read_text()) == work.failures.now


def test_status_before_the_first_checkpoint_and_of_what_is_tried_again(tmp_path):
    plan = _plan()
    sweep_plan.prepare(plan, tmp_path)
    first, second = (point.name for point in plan.points[:2])
    (tmp_path / "failed.json").write_text(json.dumps({second: "diverged"}))
    (tmp_path / first).mkdir()
    with held(tmp_path / first):
        states = {state.point: state.word for state in sweep_status.states(tmp_path)}
    assert (states[first], states[second]) == ("running", "failed")
    (tmp_path / jobs.FOLDER).mkdir()
    (tmp_path / jobs.FOLDER / jobs.NUMBERS).write_text(json.dumps({"cluster": "slurm", "jobs": {second: "7"}}))
    assert {state.point: state.word for state in sweep_status.states(tmp_path)}[second] == "submitted"


# ---- what is asked for


@pytest.mark.parametrize(
    ("given", "minutes"),
    [("90", 90), ("1:30", 90), ("02:00:00", 120), ("0:00:10", 1), ("2-12:00:00", 3600), (None, 1440)],
)
def test_limits_of_time_are_those_of_slurm(given, minutes):
    assert clusters.cluster("slurm", time=given).parameters["timeout_min"] == minutes


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--cluster slrm", "cluster = slrm: must be one of local, slurm (did you mean slurm?)"),
        ("--jobs 2", "jobs = 2: must be given with --cluster"),
        ("--slurm mem=4G", "must be given with --cluster"),
        ("--cluster local --jobs 0", "jobs = 0: must be an integer >= 1"),
        ("--cluster local --partition gpu", "partition = gpu: must be left out for cluster = local"),
        ("--cluster local --time 10", "time = 10: must be left out for cluster = local"),
        ("--cluster slurm --time soon", "time = soon: must be minutes, HH:MM"),
        ("--cluster slurm --time 0", "time = 0: must be at least a minute"),
        ("--cluster slurm --gpus 0", "gpus = 0: must be an integer >= 1"),
        ("--cluster slurm --slurm account", "slurm = account: must be KEY=VALUE"),
        ("--cluster slurm", "cluster = slurm: must be used where Slurm's commands are"),
    ],
)
def test_bad_input_is_one_line(flags, message, refused, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    refused([*SWEEP, "--out", "out", *flags.split()], message)


def test_no_sweep_is_no_sweep(refused, tmp_path):
    refused(["status", "nothing"], "nothing: must be the directory of a sweep")
    refused(["sweep", "--retry", "nothing"], "nothing: must be the directory of a sweep")


def test_without_submitit_it_is_said_what_to_install(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    refused([*SWEEP, "--out", "out", "--cluster", "local"], "pip install 'massieu[cluster]'")


# ---- a Slurm of our own: commands that do what the manual says of those that submitit calls

SBATCH = """
import os, re, subprocess, sys
script = sys.argv[-1]
number = int(open({count!r}).read() or 1000) if os.path.exists({count!r}) else 1000
open({count!r}, "w").write(str(number + 1))
size = re.search(r"--array=0-(\\d+)", open(script).read())
for k in range(int(size[1]) + 1) if size else [None]:
    own = {{"SLURM_JOB_ID": str(number) + ("" if k is None else f"9{{k}}"), "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}}
    own |= {{"SLURM_NODEID": "0", "SLURM_NTASKS": "1", "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_NODELIST": "here"}}
    own |= {{}} if k is None else {{"SLURM_ARRAY_JOB_ID": str(number), "SLURM_ARRAY_TASK_ID": str(k)}}
    nowhere = subprocess.DEVNULL
    own |= {{"BATCH_SCRIPT": script, "SLURM_RESTART_COUNT": os.environ.get("SLURM_RESTART_COUNT", "0")}}
    subprocess.Popen(["bash", script], env=os.environ | own, start_new_session=True, stdout=nowhere, stderr=nowhere)
print("Submitted batch job", number)
"""
SRUN = """
import os, sys
at = sys.argv.index("--output") + 1
log, command = sys.argv[at], sys.argv[at + 1 :]
job = os.environ.get("SLURM_ARRAY_JOB_ID", "") + "_" + os.environ.get("SLURM_ARRAY_TASK_ID", "")
job = os.environ["SLURM_JOB_ID"] if job == "_" else job
file = os.open(log.replace("%A_%a", job).replace("%j", job).replace("%t", "0"), os.O_CREAT | os.O_APPEND | os.O_WRONLY)
os.dup2(file, 1), os.dup2(file, 2)
os.execvp(command[0], command)
"""
SCONTROL = """
import os, subprocess
nowhere, script = subprocess.DEVNULL, os.environ["BATCH_SCRIPT"]
again = os.environ | {"SLURM_RESTART_COUNT": str(int(os.environ["SLURM_RESTART_COUNT"]) + 1)}
subprocess.Popen(["bash", script], env=again, start_new_session=True, stdout=nowhere, stderr=nowhere)
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    texts = {"sbatch": SBATCH.format(count=str(folder / "count")), "srun": SRUN, "scontrol": SCONTROL}
    for name, text in {**texts, "sacct": 'print("JobID|State|NodeList")'}.items():
        (folder / name).write_text(f"#!{sys.executable}\n{text}")
        (folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


SCRIPT = """#!/bin/bash

# Parameters
#SBATCH --account=physics
#SBATCH --array=0-1%2
#SBATCH --gpus-per-node=1
#SBATCH --job-name=massieu
#SBATCH --nodes=1
#SBATCH --open-mode=append
#SBATCH --output=LOG
#SBATCH --partition=h100
#SBATCH --requeue
#SBATCH --signal=USR2@90
#SBATCH --time=120
#SBATCH --wckey=submitit

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output LOG PYTHON -u -m submitit.core._submit FOLDER
"""


def test_batch_script_is_the_expected_one(slurm, tmp_path):
    asked = clusters.cluster("slurm", 2, "h100", 1, "02:00:00", ("account=physics",))
    made = clusters.executor(asked, tmp_path / "jobs")._executor
    made.parameters["map_count"] = 2
    text = made._make_submission_file_text(made._submitit_command_str, "x")
    folder = str(tmp_path / "jobs")
    text = text.replace(f"{folder}/%A_%a_0_log.out", "LOG").replace(f"{folder}/%A_%a_%t_log.out", "LOG")
    text = text.replace(sys.executable, "PYTHON").replace(folder, "FOLDER")
    assert text == SCRIPT


# ---- whole sweeps


def _table(folder):
    with open(folder / "sweep.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def _waited(until, seconds=120):
    end = time.monotonic() + seconds
    while not until() and time.monotonic() < end:
        time.sleep(0.05)
    assert until()


@pytest.fixture(scope="module")
def sequential(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sequential") / "sweep"
    assert main([*SWEEP, "--out", str(folder)]) == 0
    return folder


@pytest.mark.acceptance
def test_a_killed_sweep_goes_on_and_every_point_is_run_once(sequential, tmp_path, capsys):
    """The process that hands out dies, its jobs do not; the same command again ends with the table of one process."""
    out = tmp_path / "sweep"
    command = [sys.executable, "-m", "massieu", *SWEEP, "--out", str(out), "--cluster", "local"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    _waited(lambda: len(list(out.glob("*/summary.json"))) >= 1 and len(list(out.glob("*/lock"))) >= 1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    words = {state.word for state in sweep_status.states(out)}
    assert "done" in words and words & {"running", "submitted"} and words <= {"done", "running", "submitted", "waiting"}
    assert main([*SWEEP, "--out", str(out), "--cluster", "local", "--jobs", "2"]) == 0
    assert _table(out) == _table(sequential)
    lines = "".join(path.read_text() for path in (out / "jobs").glob("*.out")).splitlines()
    begun = [line for line in lines if line.startswith("[") and line.endswith(("fresh start", "seed-1", "seed-2"))]
    assert sorted(begun) == sorted(set(begun)) and len(begun) == 6
    capsys.readouterr()
    assert main(["status", str(out)]) == 0
    assert "6 points: 6 done" in capsys.readouterr().out


@pytest.mark.acceptance
def test_a_sweep_through_the_queue_of_slurm(slurm, sequential, tmp_path):
    out = tmp_path / "sweep"
    assert main([*SWEEP, "--out", str(out), "--cluster", "slurm", "--jobs", "2", "--time", "60"]) == 0
    assert _table(out) == _table(sequential)
    assert not (out / "jobs" / "jobs.json").exists()


@pytest.mark.acceptance
def test_a_preempted_job_is_requeued_and_goes_on(slurm, tmp_path):
    plan = _plan(steps=3000, checkpoint_every=100)
    point, out = plan.points[0], tmp_path / "sweep"
    out.mkdir()
    work = Work(plan, out, Silent, ms.Run.save, plan.points, [], Failures(out))
    hands = clusters.executor(clusters.cluster("slurm", time="60"), out / "jobs")
    job = hands.submit(jobs.Job(work.task(point), out, ms.Run.save, {}, False))
    _waited(lambda: list((out / point.name / "checkpoints").glob("step-*")))
    os.kill(json.loads((out / point.name / "lock").read_text())["pid"], signal.SIGUSR2)
    _waited(lambda: (out / point.name / "summary.json").exists())
    _waited(job.paths.result_pickle.exists)
    assert job.result() is None
    log = Path(job.paths.stdout).read_text()
    assert "this job is preempted" in log and "continues from its last checkpoint" in log
    assert len((out / point.name / "metrics.csv").read_text().splitlines()) == 3001


@pytest.mark.acceptance
def test_an_end_from_outside_stops_the_jobs_of_this_machine_which_save(tmp_path):
    out = tmp_path / "sweep"
    given = [*SWEEP, "--steps", "100000", "--checkpoint-every", "100000", "--out", str(out), "--cluster", "local"]
    process = subprocess.Popen(
        [sys.executable, "-m", "massieu", *given], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    _waited(lambda: "compiled" in "".join(path.read_text() for path in out.glob("jobs/*.out")))
    time.sleep(1)
    process.send_signal(signal.SIGTERM)  # SIGINT is not heard below a shell's background
    _, error = process.communicate(timeout=120)
    assert process.returncode == 143 and "the same command again continues the sweep" in error
    assert not list(out.glob("*/lock")) and list(out.glob("*/checkpoints/step-*"))
    assert {state.word for state in sweep_status.states(out)} == {"stopped", "waiting"}


@pytest.mark.acceptance
def test_points_that_failed_are_told_and_tried_again_alone(tmp_path, monkeypatch, capsys):
    from massieu.runs import sweep_task

    real, out = sweep_task.minimize, tmp_path / "sweep"

    def broken(system, **options):
        if system.beta == 0.5 and system.couplings_seed == 2:
            raise RunError("diverged at step 1")
        return real(system, **options)

    monkeypatch.setattr(sweep_task, "minimize", broken)
    assert main([*SWEEP, "--out", str(out)]) == 1
    assert f"massieu sweep --retry {out} tries them again" in capsys.readouterr().err
    assert main(["status", str(out)]) == 0
    said = capsys.readouterr().out
    assert "beta-0.5_couplings-seed-2  failed  diverged at step 1" in said and "5 done, 1 failed" in said
    monkeypatch.setattr(sweep_task, "minimize", real)
    assert main(["sweep", "--retry", str(out)]) == 0
    assert len(_table(out)) == 6 and not (out / "failed.json").exists()
    assert main(["sweep", "--retry", str(out)]) == 2
    assert "must be a sweep with points that failed" in capsys.readouterr().err
    assert sweep_plan.read_plan(out).as_dict() == _plan().as_dict()


def test_a_sweep_in_python_takes_the_same_words():
    with pytest.raises(ms.InputError, match="out = None: must be given with cluster"):
        ms.sweep(ms.SK, beta=[0.1, 0.2], cluster="local")
    with pytest.raises(ms.InputError, match="cluster = sge: must be one of"):
        ms.sweep(ms.SK, beta=[0.1, 0.2], cluster="sge", out="out")
    assert ms.cluster("local", jobs=4).jobs == 4


SCRIPT_OF_ONE_S_OWN = """
import jax.numpy as jnp
import massieu as ms


class Well(ms.ClassicalSystem):
    beta: float = ms.parameter(1.0, "inverse temperature")
    depth: float = ms.parameter(1.0, "depth")
    configuration = (2,)

    def energy(self, x):
        return jnp.sum(x**4 - self.depth * x**2)


if __name__ == "__main__":
    options = {"density": "spline", "steps": 2, "batch": 32, "samples": 200}
    print(len(ms.sweep(Well, depth=[0.5, 1.0], out="wells", cluster="local", **options)))
"""


@pytest.mark.acceptance
def test_a_class_of_one_s_own_goes_to_its_jobs(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT_OF_ONE_S_OWN)
    found = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True)
    assert found.stdout.strip() == "2", found.stderr
