"""A sweep on a cluster: every point a job of its own, by submitit, in Slurm's queue or as processes of this machine.

This process stays and hands out the points whose neighbour is done, at most `jobs` at a time; what a job does is what
`massieu resume` does.  jobs/ holds what submitit writes, the logs among it, and jobs.json which job has which point.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import jax

from massieu.errors import InputError, InUse, RunError, stopped
from massieu.principle import Estimate
from massieu.progress import Lines
from massieu.runs import checkpoint
from massieu.runs import cluster as clusters
from massieu.runs.cluster import Cluster
from massieu.runs.directory import read_finished
from massieu.runs.lock import holder, lives
from massieu.runs.sweep_plan import Point
from massieu.runs.sweep_task import Conduct, Finish, Task, Work
from massieu.signals import deaf, terminable
from massieu.strict_json import from_json, to_json

FOLDER, NUMBERS = "jobs", "jobs.json"
POLL = 1.0  # seconds between looks at the jobs
PATIENCE = 60.0  # seconds in which jobs of this machine that are told to stop save what they have
SHARED = (  # settings of jax that jobs take from this process
    "jax_enable_x64",
    "jax_numpy_dtype_promotion",
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
)


def conductor(cluster: Cluster) -> Conduct:
    """Who carries out a sweep on the cluster; InputError where that cannot be done here."""
    clusters.submitit(cluster)
    return partial(_conduct, cluster=cluster)


def submitted(out: Path) -> dict[str, str]:
    """The numbers of the jobs that unfinished points were given to, by the names of the points.

    Jobs of this machine are processes: those that are dead do not count.
    """
    try:
        content = from_json((out / FOLDER / NUMBERS).read_text())
        numbers, local = dict(content["jobs"]), content["cluster"] == "local"
    except (OSError, ValueError, TypeError, KeyError):
        return {}
    return {name: number for name, number in numbers.items() if not local or lives(int(number))}


@dataclasses.dataclass(frozen=True)
class Job:
    """A task in a process of its own; None, or why it failed.  What is pickled, also when the job is requeued."""

    task: Task
    out: Path
    finish: Finish
    settings: dict[str, Any]
    stops: bool  # at SIGTERM, which on Slurm is followed by a signal that requeues

    def __call__(self) -> str | None:
        for name, value in self.settings.items():
            jax.config.update(name, value)
        if self.stops:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        progress, waits = Lines(), False
        while True:
            try:
                with terminable():
                    self.task.carry_out(self.out, progress, self.finish)
                return None
            except InUse as error:  # a job of a sweep that was killed still has it
                if not waits:
                    progress.say(f"{self.task.label}: waits ({error})")
                waits = True
                time.sleep(POLL)
            except (RunError, InputError) as error:
                progress.say(f"{self.task.label}: failed: {error}")
                return str(error)

    def checkpoint(self) -> Any:
        """What submitit puts into the queue again before the time is over: a run goes on from where it is saved."""
        return importlib.import_module("submitit").helpers.DelayedSubmission(self)


def _conduct(work: Work, cluster: Cluster) -> None:
    """Hand out what can begin and look after what runs, until all is settled."""
    hands = _Hands(work, cluster)
    hands.skip_finished()
    hands.find_again()
    try:
        while hands.waiting or hands.running:
            hands.settle()
            hands.hand_out()
            if hands.waiting or hands.running:
                time.sleep(POLL)
    except KeyboardInterrupt as error:
        hands.leave(error)
    (hands.folder / NUMBERS).unlink(missing_ok=True)


class _Hands:
    """The points that wait, those that run with their jobs, and those that are done."""

    def __init__(self, work: Work, cluster: Cluster):
        self.work, self.cluster = work, cluster
        self.out, self.say = work.out.resolve(), work.progress().say
        self.folder = self.out / FOLDER
        self.executor = clusters.executor(cluster, self.folder)
        self.settings = {name: getattr(jax.config, name) for name in SHARED}
        self.waiting: dict[str, Point] = {point.name: point for point in work.wanted}
        self.running: dict[str, tuple[Task, Any]] = {}
        self.done = {point.name for point in work.plan.points if self._is_done(self.out / point.name)}

    @staticmethod
    def _is_done(folder: Path) -> bool:
        """Finished, and no job of an earlier call is still drawing its report."""
        return read_finished(folder) is not None and holder(folder) is None

    def skip_finished(self) -> None:
        """Points of an earlier call; InputError if one is of another sweep."""
        for name in [name for name in self.waiting if name in self.done]:
            self.work.task(self.waiting.pop(name)).carry_out(self.out, self.work.progress(), self.work.finish)
            self.work.failures.settle(name)

    def find_again(self) -> None:
        """Jobs of a call that was ended while they went on; those of this machine show themselves by their locks."""
        for name, number in submitted(self.out).items():
            job = clusters.job(self.cluster, self.folder, number)
            if name in self.waiting and not job.done():
                task = self.work.task(self.waiting.pop(name))
                self.running[name] = task, job
                self.say(f"{task.label}: job {number} is still there")

    def settle(self) -> None:
        """What has ended, well or not."""
        for name in [name for name, (_, job) in self.running.items() if job.done()]:
            task, job = self.running.pop(name)
            why = _why_failed(job)
            self.work.failures.settle(name, why)
            if why is not None:
                self.say(f"{task.label}: failed: {why} (log: {job.paths.stdout})")
                continue
            self.done.add(name)
            summary = read_finished(self.out / name)  # another node's file may take a moment to be seen
            F = f", F {Estimate(summary['F']['value'], summary['F']['error'])}" if summary else ""
            self.say(f"{task.label}: done{F}")

    def hand_out(self) -> None:
        """As many points as may run at once, each when the one that it starts from is done."""
        ready = [task for point in self.waiting.values() if self._can_begin(task := self.work.task(point))]
        ready = ready[: max(0, self.cluster.jobs - len(self.running))]
        if not ready:
            return
        stops = self.cluster.name == "local"
        jobs = [Job(task, self.out, self.work.finish, self.settings, stops) for task in ready]
        with deaf():
            handed = self.executor.submit_array(jobs)
        for task, job in zip(ready, handed, strict=True):
            del self.waiting[task.point.name]
            self.running[task.point.name] = task, job
            self.say(f"{task.label}: job {job.job_id}")
        numbers = {name: job.job_id for name, (_, job) in self.running.items()}
        content = {"cluster": self.cluster.name, "jobs": numbers}
        checkpoint.write_atomically(self.folder / NUMBERS, to_json(content, indent=2).encode())

    def _can_begin(self, task: Task) -> bool:
        """It goes on from where it is saved, or the point that it starts from is done."""
        saved = checkpoint.steps_saved(self.out / task.point.name / "checkpoints") is not None
        return saved or task.near is None or read_finished(self.out / task.near.name) is not None

    def leave(self, error: KeyboardInterrupt) -> NoReturn:
        """Jobs of this machine are stopped, those in a queue are not."""
        kind, jobs = stopped(error), [job for _, job in self.running.values()]
        if self.cluster.name == "slurm":
            raise kind(f"{kind.word}; {len(jobs)} jobs go on, the same command again follows them") from None
        self.say(f"{kind.word}: {len(jobs)} jobs save what they have")
        for job in jobs:
            if not job.done():
                os.kill(int(job.job_id), signal.SIGTERM)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and not all(job.done() for job in jobs):
            time.sleep(0.1)
        (self.folder / NUMBERS).unlink(missing_ok=True)
        raise kind(f"{kind.word}; the same command again continues the sweep") from None


def _why_failed(job: Any) -> str | None:
    """What the job says itself, the last line of its traceback, or that it is gone."""
    error = job.exception()
    if error is None:
        return job.result()
    text = str(error).split("You can check full logs")[0]
    lines = [line.strip() for line in text.splitlines() if line.strip("- ")]
    if "processing with trace" in lines[0]:
        return lines[-1]
    state = re.search(r"state: (\w+)", lines[0])
    return "the job ended without a result" + (f" ({state[1]})" if state else "")
