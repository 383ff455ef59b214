"""list: the systems, from a text that is made beforehand, so that nothing has to be imported.

`make list` writes the text anew when a system or a parameter changes; a test compares.
"""

from __future__ import annotations

from pathlib import Path

from massieu.cli.arguments import Parser
from massieu.systems.table import PLACES, SYSTEMS, parameters

TEXT = Path(__file__).with_name("systems.txt")


def list_systems(arguments: list[str]) -> int:
    """The systems with their parameters, and those of installed packages."""
    Parser(prog="massieu list", description="systems, one line each").parse(arguments)
    print(TEXT.read_text(), end="")
    for name, point in SYSTEMS.installed.items():
        print(f"{name:13s} {point.value}, installed by {point.dist.name if point.dist else 'a package'}")
    return 0


def described(name: str) -> str:
    """A line of the list."""
    kind = SYSTEMS[name]
    defaults = {flag: field.default for flag, field in parameters(kind).items()}
    shown = ", ".join(name if value is None else f"{name} ({value})" for name, value in defaults.items())
    return f"{name:13s} {kind.summary}; {shown.replace('_', '-')}; {kind.source}"


if __name__ == "__main__":
    TEXT.write_text("".join(described(name) + "\n" for name in PLACES))
