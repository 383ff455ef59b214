"""From the command line to a command, which is imported only when it is called: `--help` and `list` are instant.

Exit codes: 0 done; 1 the run failed, with what is saved and how to resume; 2 bad input, one line, nothing written;
130 interrupted (Ctrl-C) and 143 terminated (SIGTERM), with the same.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import NamedTuple

from massieu.cli.arguments import check_name
from massieu.errors import InputError, Interrupted, RunError, Terminated, did_you_mean, stopped
from massieu.signals import terminable
from massieu.version import __version__


class Command(NamedTuple):
    """Its line of help, the module and function that run it, and what one wants to do with it.

    computes: whether it needs jax; of_system: whether its first argument is the name of a system; unless: the flag with
    which it is not.
    """

    help: str
    module: str
    function: str
    aim: str
    computes: bool = True
    of_system: bool = False
    unless: str = ""


TRAIN, KNOW, READ, DATA, OWN, SHELL = (
    "compute free energies",
    "know what is right",
    "look at runs",
    "learn from data",
    "begin with a system of your own",
    "complete them in your shell",
)
COMMANDS = {
    "run": Command("minimise the free energy of a system", "training", "run", TRAIN, of_system=True),
    "resume": Command("continue a run from its last checkpoint", "training", "resume", TRAIN),
    "evaluate": Command("average again with frozen parameters and more samples", "training", "evaluate", TRAIN),
    "sweep": Command(
        "a grid of runs over parameters given with commas", "sweep", "sweep", TRAIN, of_system=True, unless="--retry"
    ),
    "status": Command("how far the points of a sweep are", "sweep", "status", TRAIN, computes=False),
    "hugoniot": Command("shock states of an equation of state of hydrogen", "shock", "hugoniot", TRAIN),
    "list": Command("systems, one line each", "listing", "list_systems", KNOW, computes=False),
    "reference": Command("exact or independent values", "values", "reference", KNOW, of_system=True),
    "baseline": Command(
        "Markov chains and annealing, which the networks must beat", "values", "baseline", KNOW, of_system=True
    ),
    "bounds": Command("ln Z of a run from both sides", "values", "bounds", KNOW),
    "show": Command("the table of a run again, nothing computed", "finished", "show", READ, computes=False),
    "compare": Command("one table and one figure of several runs", "finished", "compare", READ, computes=False),
    "report": Command("figures and report.html of a run", "training", "report", READ),
    "fit": Command("a density from data, by maximum likelihood", "data", "fit", DATA),
    "inverse-ising": Command("couplings from configurations of spins", "data", "inverse_ising", DATA),
    "new": Command("a commented example NAME.py that runs at once", "template", "new", OWN, computes=False),
    "completion": Command("commands and flags for bash, zsh or tcsh to complete", "completion", "completion", SHELL),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    try:
        return _dispatch(sys.argv[1:] if arguments is None else arguments)
    except InputError as error:
        print(f"massieu: error: {error}", file=sys.stderr)
        return 2
    except RunError as error:
        return _failed(str(error))
    except BrokenPipeError:  # `massieu show DIR | head` has what it wants
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        return _failed(f"{error.strerror or error} ({error.filename})")
    except MemoryError as error:
        return _failed(f"out of memory ({error})")
    except RuntimeError as error:
        if type(error).__name__ != "JaxRuntimeError":  # jax need not be there to say so
            raise
        return _failed(str(error).splitlines()[0])
    except KeyboardInterrupt as error:
        kind = stopped(error)
        print(f"massieu: {str(error) or kind.word + '; nothing was saved'}", file=sys.stderr)
        return kind.exit_code


def entry() -> None:
    """What the shell calls: main, and out, even while a thread still computes: a reference, an interrupted step."""
    with terminable():
        code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    was_stopped = code in (Interrupted.exit_code, Terminated.exit_code)
    if was_stopped or any(thread.name == "massieu-reference" for thread in threading.enumerate()):
        os._exit(code)
    raise SystemExit(code)


def _failed(text: str) -> int:
    print(f"massieu: failed: {text}", file=sys.stderr)
    return 1


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: massieu COMMAND ...")
        for aim in dict.fromkeys(command.aim for command in COMMANDS.values()):
            print(f"\n{aim}")
            print("\n".join(f"  {name:14s} {c.help}" for name, c in COMMANDS.items() if c.aim == aim))
        print("\nmassieu COMMAND --help says more.")
        return 0
    if arguments[0] == "--version":
        print(f"massieu {__version__}")
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        raise InputError(f"{name}: must be one of {', '.join(COMMANDS)}{did_you_mean(name, COMMANDS)}")
    command = COMMANDS[name]
    if command.of_system and not (command.unless and rest and rest[0].split("=")[0] == command.unless):
        check_name(rest, name)
    if command.computes:
        _configure_jax()
    function = getattr(importlib.import_module(f"massieu.cli.{command.module}"), command.function)
    return function(rest)


def _configure_jax() -> None:
    """float64; compiled programs are kept between runs, so that resume and evaluate start at once."""
    import logging

    import jax

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_numpy_dtype_promotion", "standard")
    logging.getLogger("jax._src.callback").setLevel(logging.CRITICAL)  # the failure is told in one line
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    jax.config.update("jax_compilation_cache_dir", str(home / "massieu" / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


if __name__ == "__main__":
    entry()
