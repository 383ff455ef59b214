"""From the command line to a command, which is imported only when it is called: `--help` and `list` are instant.

Exit codes: 0 done; 1 the run failed, with what is saved and how to resume; 2 bad input, one line, nothing written.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import threading
from pathlib import Path
from typing import NamedTuple

from massieu.cli.arguments import check_name
from massieu.errors import InputError, RunError, did_you_mean
from massieu.version import __version__


class Command(NamedTuple):
    """Its line of help, and the module and function that run it.

    computes: whether it needs jax; of_system: whether its first argument is the name of a system.
    """

    help: str
    module: str
    function: str
    computes: bool = True
    of_system: bool = False


COMMANDS = {
    "list": Command("systems, one line each", "listing", "list_systems", computes=False),
    "run": Command("minimise the free energy of a system", "training", "run", of_system=True),
    "resume": Command("continue a run from its last checkpoint", "training", "resume"),
    "evaluate": Command("average again with frozen parameters and more samples", "training", "evaluate"),
    "sweep": Command("a grid of runs over parameters given with commas", "training", "sweep", of_system=True),
    "reference": Command("exact or independent values", "values", "reference", of_system=True),
    "fit": Command("a density from data, by maximum likelihood", "data", "fit"),
    "inverse-ising": Command("couplings from configurations of spins", "data", "inverse_ising"),
    "baseline": Command(
        "Markov chains and annealing, which the networks must beat", "values", "baseline", of_system=True
    ),
    "bounds": Command("ln Z of a run from both sides", "values", "bounds"),
    "hugoniot": Command("shock states of an equation of state of hydrogen", "shock", "hugoniot"),
    "report": Command("figures and report.html of a run", "training", "report"),
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
    except OSError as error:
        return _failed(f"{error.strerror or error} ({error.filename})")
    except MemoryError as error:
        return _failed(f"out of memory ({error})")
    except RuntimeError as error:
        if type(error).__name__ != "JaxRuntimeError":  # jax need not be there to say so
            raise
        # a calculator's failure comes wrapped in it; else mostly memory
        told = re.findall(r"RunError: (.*)", str(error)) or [str(error).splitlines()[0]]
        return _failed(f"{told[-1]}; massieu resume DIR continues from the last checkpoint")
    except KeyboardInterrupt:
        print("massieu: interrupted; massieu resume DIR continues from the last checkpoint", file=sys.stderr)
        return 1


def entry() -> None:
    """What the shell calls: main, and out, even while a reference is still being computed in its thread."""
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    if any(thread.name == "massieu-reference" for thread in threading.enumerate()):
        os._exit(code)
    raise SystemExit(code)


def _failed(text: str) -> int:
    print(f"massieu: failed: {text}", file=sys.stderr)
    return 1


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: massieu COMMAND ...\n")
        print("\n".join(f"  {name:14s} {command.help}" for name, command in COMMANDS.items()))
        print("\nmassieu COMMAND --help says more.")
        return 0
    if arguments[0] == "--version":
        print(f"massieu {__version__}")
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        raise InputError(f"{name}: must be one of {', '.join(COMMANDS)}{did_you_mean(name, COMMANDS)}")
    command = COMMANDS[name]
    if command.of_system:
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
    logging.getLogger("jax._src.callback").setLevel(logging.CRITICAL)  # the failure is told in one line
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    jax.config.update("jax_compilation_cache_dir", str(home / "massieu" / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


if __name__ == "__main__":
    entry()
