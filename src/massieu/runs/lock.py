"""One process at a time writes in a run directory: a file that only one can create, with who did."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from massieu.errors import InUse
from massieu.strict_json import to_json

NAME = "lock"
_MINE: set[Path] = set()  # held by this process, which may enter again


@contextlib.contextmanager
def held(folder: Path | None, say: Callable[[str], Any] = print) -> Iterator[None]:
    """The directory is this process's meanwhile; InUse where it is another's.

    A lock that a process of this machine left when it died is broken, and that is said.
    """
    path = None if folder is None else folder.resolve() / NAME
    if path is None or path in _MINE:
        yield
        return
    _create(path, say)
    _MINE.add(path)
    try:
        yield
    finally:
        _MINE.discard(path)
        path.unlink(missing_ok=True)


def holder(folder: Path) -> str | None:
    """Who writes there, as far as this machine can know: a process of another one is believed to be alive."""
    owner = _owner(folder / NAME)
    return None if owner is None or _is_dead(owner) else f"process {owner['pid']} on {owner['host']}"


def _create(path: Path, say: Callable[[str], Any]) -> None:
    me = to_json({"host": socket.gethostname(), "pid": os.getpid(), "since": _since(os.getpid()), "job": _job()})
    while True:
        try:
            file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            _break(path, say)
            continue
        with os.fdopen(file, "w") as stream:
            stream.write(me)
        return


def _break(path: Path, say: Callable[[str], Any]) -> None:
    """Remove the lock of a process that is dead; InUse where it is not, or where that cannot be known."""
    owner = _owner(path)
    if owner is None and not path.exists():  # given back since
        return
    if owner is None or not _is_dead(owner):
        who = "another process" if owner is None else f"process {owner['pid']} on {owner['host']}"
        raise InUse(
            f"{path.parent}: must be in use by one process at a time, {who} holds {NAME} (remove it if it died)"
        )
    aside = path.with_name(f".{NAME}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):  # another one was faster
        os.replace(path, aside)
        if _owner(aside) != owner:  # another one was faster, and this is its own: given back
            with contextlib.suppress(FileExistsError):
                os.link(aside, path)
        else:
            say(f"{path.parent}: the lock of process {owner['pid']}, which is not there any more, is removed")
        aside.unlink()


def _owner(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text())
        number, times = found.get("job") or ("", 0)
        known = {"host": str(found["host"]), "pid": int(found["pid"]), "since": str(found["since"])}
        return known | {"job": (str(number), int(times))}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_dead(owner: dict[str, Any]) -> bool:
    """Known of a process of this machine, and of an earlier start of this very job, which Slurm ended and requeued."""
    (job, started), (mine, now) = owner["job"], _job()
    requeued = bool(job) and job == mine and started < now
    return requeued or (owner["host"] == socket.gethostname() and not _lives(owner))


def _job() -> tuple[str, int]:
    """The job of Slurm that this process belongs to, empty where it is none, and how often it was requeued."""
    return os.environ.get("SLURM_JOB_ID", ""), int(os.environ.get("SLURM_RESTART_COUNT") or 0)


def _lives(owner: dict[str, Any]) -> bool:
    """Whether the process is there, and is the one that made the lock and not a later one of the same number."""
    return lives(owner["pid"]) and owner["since"] == _since(owner["pid"])


def lives(pid: int) -> bool:
    """Whether a process of this number is there, somebody else's too."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _since(pid: int) -> str:
    """When the process started, where the system tells."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
