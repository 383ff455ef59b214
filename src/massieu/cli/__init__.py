"""The command line: one module a group of commands; what they compute is elsewhere."""

from massieu.cli.main import entry, main

__all__ = ["entry", "main"]
