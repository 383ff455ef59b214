"""The version of what is built: the tag's, `v1.2.3`, where a commit has one; that of the archive; or the next one's.

hatchling runs this file. A source archive says its version in PKG-INFO, a clone in its tags, which it may lack.
"""

import re
import subprocess
from pathlib import Path

NEXT = "0.2.0"
HERE = Path(__file__).parent


def tagged() -> str | None:
    """Of the commit that is checked out, if it has a tag v*, or None."""
    if not (HERE / ".git").exists():
        return None
    command = ["git", "describe", "--tags", "--exact-match", "--match", "v[0-9]*"]
    try:
        found = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):  # no git, or no such tag
        return None
    return found.strip().removeprefix("v")


def archived() -> str | None:
    """Of an unpacked source archive, or None."""
    info = HERE / "PKG-INFO"
    found = re.search(r"^Version: (\S+)$", info.read_text(), re.MULTILINE) if info.exists() else None
    return found and found.group(1)


def version() -> str:
    """What the package is called; between two releases NEXT.dev0."""
    return archived() or tagged() or f"{NEXT}.dev0"
