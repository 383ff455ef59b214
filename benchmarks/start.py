"""From command to first training step: CPU-seconds of imports, of all up to the first step, and of the reference.

Every system is started by the command line in a process of its own, with an empty cache of compiled programs and once
more with the cache that this left.  `--against DIR` measures another source tree (its `src`) between the same commands,
so that both see the same machine:

    python benchmarks/start.py --against ../old/src --systems ising,sk
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

RUNS = {
    "ising": [],
    "sk": [],
    "coulomb-trap": [],
    "phi4": [],
    "lj": [],
    "tfim": [],
    "quantum-dot": ["--n", "2"],
    "electron-gas": ["--n", "3"],
    "hydrogen": ["--n", "2"],
}
CHILD = """
import os, sys, time
def mark(name):
    times = os.times()
    print("mark", name, times.user + times.system, flush=True)
from massieu import progress
class Lines(progress.Lines):
    def step(self, *_):
        mark("step")
        os._exit(0)
progress.Lines = Lines
from massieu.cli import main
from massieu.systems import SYSTEMS
SYSTEMS[sys.argv[2]]
mark("import")
raise SystemExit(main(sys.argv[1:]))
"""
OURS = Path(__file__).parents[1] / "src"


def marks(source, cache, arguments):
    """CPU-seconds since the start of the process at each mark."""
    environment = dict(os.environ, PYTHONPATH=str(source), XDG_CACHE_HOME=str(cache))
    command = [sys.executable, "-c", CHILD, *arguments]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
    found = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("mark")]
    if done.returncode:
        raise SystemExit(done.stderr)
    return {name: float(seconds) for name, seconds in found}


def reference(source, name, extra):
    """CPU-seconds of `massieu reference` less those of its imports."""
    before = os.times()
    found = marks(source, tempfile.mkdtemp(), ["reference", name, *extra])
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return spent - found["import"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, help="src of another version")
    parser.add_argument("--systems", default=",".join(RUNS))
    parser.add_argument("--reference", action="store_true", help="time the references too")
    args = parser.parse_args()
    sources = {"ours": OURS, **({"other": args.against} if args.against else {})}
    print(f"{'CPU-s':14s}" + "".join(f"{f'{who}: import':>16s}{'cold':>8s}{'warm':>8s}" for who in sources), flush=True)
    for name in args.systems.split(","):
        start = ["run", name, *RUNS[name], "--steps", "2", "--samples", "100", "--reference", "false"]
        row = f"{name:14s}"
        for source in sources.values():
            with tempfile.TemporaryDirectory() as cache:
                cold, warm = marks(source, cache, start), marks(source, cache, start)
            row += f"{warm['import']:16.2f}{cold['step']:8.2f}{warm['step']:8.2f}"
            if args.reference:
                row += f"  reference {reference(source, name, RUNS[name]):.1f}"
        print(row, flush=True)


if __name__ == "__main__":
    main()
