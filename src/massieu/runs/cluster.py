"""What a cluster is asked for: processes of this machine, or jobs of Slurm with their partition, GPUs and time."""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from massieu.errors import InputError, one_of, require

CLUSTERS = ("local", "slurm")
DAY = 60 * 24  # minutes
LOGGING = "SUBMITIT_LOG_LEVEL"
REQUEUES = 1000  # of a job that reaches its limit of time
TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<hours>\d+):(?P<minutes>\d{2})(?::(?P<seconds>\d{2}))?|(?P<only>\d+)")


class Cluster(NamedTuple):
    """Where jobs run, how many at once, and submitit's parameters for them."""

    name: str
    jobs: int
    parameters: dict[str, Any]


def cluster(
    name: str,
    jobs: int | None = None,
    partition: str | None = None,
    gpus: int | None = None,
    time: str | None = None,
    slurm: tuple[str, ...] = (),
) -> Cluster:
    """What was asked for, checked; InputError.

    name: local or slurm; jobs: at once (default 2); the others for Slurm alone.  gpus: of each job; time: limit of a
    job, minutes, HH:MM, HH:MM:SS or D-HH:MM:SS, after which it is requeued and goes on; slurm: KEY=VALUE, further lines
    of the batch script such as account=physics or mem=32G.
    """
    one_of("cluster", name, CLUSTERS)
    jobs = 2 if jobs is None else jobs
    require(jobs >= 1, "jobs", jobs, "an integer >= 1")
    if name == "local":
        for word, value in {"partition": partition, "gpus": gpus, "time": time, "slurm": slurm or None}.items():
            require(value is None, word, value, "left out for cluster = local")
        return Cluster(name, jobs, {"timeout_min": 365 * DAY})
    further: dict[str, Any] = {"requeue": True}
    for text in slurm:
        key, sign, value = text.partition("=")
        require(bool(key and sign and value), "slurm", text, "KEY=VALUE, such as account=physics")
        further[key.replace("_", "-")] = value
    minutes = DAY if time is None else _minutes(time)
    parameters: dict[str, Any] = {"timeout_min": minutes, "slurm_additional_parameters": further}
    if partition is not None:
        require(bool(partition), "partition", partition, "a name")
        parameters["slurm_partition"] = partition
    if gpus is not None:
        require(gpus >= 1, "gpus", gpus, "an integer >= 1")
        parameters["gpus_per_node"] = gpus
    return Cluster(name, jobs, parameters)


def submitit(cluster: Cluster) -> Any:
    """The library; InputError where it or Slurm is not to be had."""
    before = os.environ.get(LOGGING)
    os.environ[LOGGING] = "NOCONFIG"  # or its import closes the streams of all loggers that are there
    try:
        library = importlib.import_module("submitit")
    except ImportError:
        raise InputError(
            f"cluster = {cluster.name}: must be used with submitit installed: pip install 'massieu[cluster]'"
        ) from None
    finally:
        del os.environ[LOGGING]
        if before is not None:
            os.environ[LOGGING] = before
    if cluster.name == "slurm" and library.SlurmExecutor.affinity() < 0:
        raise InputError("cluster = slurm: must be used where Slurm's commands are (srun is not in the PATH)")
    return library


def executor(cluster: Cluster, folder: Path) -> Any:
    """submitit's, with these parameters; what it writes goes to the folder."""
    made = submitit(cluster).AutoExecutor(folder=folder, cluster=cluster.name, slurm_max_num_timeout=REQUEUES)
    made.update_parameters(name="massieu", stderr_to_stdout=True, **cluster.parameters)
    return made


def job(cluster: Cluster, folder: Path, number: str) -> Any:
    """submitit's job of this number, submitted by a process that is no more."""
    kinds = {"local": "LocalJob", "slurm": "SlurmJob"}
    return getattr(submitit(cluster), kinds[cluster.name])(folder, number)


def _minutes(text: str) -> int:
    """Of a limit of time as Slurm writes them; plain numbers are minutes, seconds are rounded up."""
    found = TIME.fullmatch(text)
    require(found is not None, "time", text, "minutes, HH:MM, HH:MM:SS or D-HH:MM:SS")
    assert found is not None
    if found["only"]:
        minutes = int(found["only"])
    else:
        minutes = int(found["days"] or 0) * DAY + int(found["hours"]) * 60 + int(found["minutes"])
        minutes += int(found["seconds"] or 0) > 0
    require(minutes >= 1, "time", text, "at least a minute")
    return minutes
