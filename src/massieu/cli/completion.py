"""completion: what a shell needs to complete commands, systems and flags, from the parsers themselves (shtab)."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable

from massieu.cli.arguments import ASKED_FOR_PARSER, Parser, ParserMade
from massieu.cli.main import COMMANDS, Command
from massieu.systems.table import SYSTEMS


def completion(arguments: list[str]) -> int:
    """The script on standard output."""
    import shtab

    parser = Parser(prog="massieu completion", description=COMMANDS["completion"].help)
    choices = ", ".join(shtab.SUPPORTED_SHELLS)
    parser.add_argument("shell", metavar="SHELL", choices=shtab.SUPPORTED_SHELLS, help=choices)
    values = parser.parse(arguments)
    print(shtab.complete(whole(), values.shell))
    return 0


def whole() -> argparse.ArgumentParser:
    """One parser of all commands, each with its systems where it has them."""
    top = argparse.ArgumentParser(prog="massieu")
    commands = top.add_subparsers()
    for name, command in COMMANDS.items():
        if not command.of_system:
            _add(commands, name, command.help, _parser_of(command, []))
            continue
        systems = commands.add_parser(name, help=command.help).add_subparsers()
        for system in SYSTEMS:
            _add(systems, system, SYSTEMS[system].summary, _parser_of(command, [system]))
    return top


def _parser_of(command: Command, arguments: list[str]) -> Parser:
    """The parser that a command makes for itself."""
    function: Callable[[list[str]], int]
    function = getattr(importlib.import_module(f"massieu.cli.{command.module}"), command.function)
    try:
        function([*arguments, ASKED_FOR_PARSER])
    except ParserMade as made:
        return made.parser
    raise AssertionError(f"{command.function} parses nothing")


def _add(subparsers: argparse._SubParsersAction, name: str, text: str, parser: Parser) -> None:
    """Files and directories are completed as such."""
    import shtab

    for action in parser._actions:
        metavar = str(action.metavar)
        if "DIR" in metavar or ".npy" in metavar or "FILE" in metavar:
            action.complete = shtab.DIRECTORY if "DIR" in metavar else shtab.FILE  # type: ignore[attr-defined]
    subparsers.add_parser(name, help=text, parents=[parser], add_help=False)
