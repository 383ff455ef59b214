"""Command-line flags made from dataclasses: the parameters of a system and the fields of the configuration."""

from __future__ import annotations

import argparse
import dataclasses
import re
import types
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from massieu.errors import InputError, did_you_mean
from massieu.systems.table import SYSTEMS, parameters

if TYPE_CHECKING:
    from massieu.progress import Progress
    from massieu.systems.base import AbstractSystem

WHOLE = ("twist", "twists", "couplings", "fields", "patterns", "hamiltonian", "atoms", "calculator")  # may have commas


ASKED_FOR_PARSER = "--asked-for-parser"  # in the place of all flags, by what shows a parser without running its command


class ParserMade(Exception):
    """The parser that a command would have parsed its arguments with."""

    def __init__(self, parser: Parser):
        super().__init__(parser.prog)
        self.parser = parser


class Parser(argparse.ArgumentParser):
    """argparse that complains in one line and suggests the nearest flag."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)

    def parse(self, arguments: list[str]) -> argparse.Namespace:
        """All arguments, or InputError naming the first unknown one."""
        if ASKED_FOR_PARSER in arguments:
            raise ParserMade(self)
        values, unknown = self.parse_known_args(_join_negative(arguments))
        if unknown:
            shown = [action for action in self._actions if action.help != argparse.SUPPRESS]
            flags = [flag for action in shown for flag in action.option_strings if flag.startswith("--")]
            name = unknown[0].split("=")[0]
            raise InputError(f"{name}: no such parameter of '{self.prog}'{did_you_mean(name, flags)}")
        return values


def check_name(arguments: list[str], command: str) -> None:
    """InputError, or help, unless the first argument names a system; nothing is imported for it."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: massieu {command} SYSTEM [--param value ...]\n\nsystems: {', '.join(SYSTEMS)}")
        raise SystemExit(0 if arguments else 2)
    name = arguments[0]
    if name not in list(SYSTEMS):
        raise InputError(f"{name}: no such system, must be one of {', '.join(SYSTEMS)}{did_you_mean(name, SYSTEMS)}")


def named_system(arguments: list[str]) -> tuple[type[AbstractSystem], list[str]]:
    """The system that the first argument names, and the other arguments."""
    return SYSTEMS[arguments[0]], arguments[1:]


def system_parser(kind: type[AbstractSystem], command: str, lists: bool = False) -> Parser:
    """A flag for every parameter of the system; with `lists` numbers may come with commas and are tuples then."""
    parser = Parser(
        prog=f"massieu {command} {SYSTEMS.name_of(kind) or kind.name}", description=kind.summary, allow_abbrev=False
    )
    group = parser.add_argument_group("system")
    hints = typing.get_type_hints(kind)
    for flag, field in parameters(kind).items():
        add_flag(group, flag, field, hints[field.name], lists)
    return parser


def add_training(parser: Parser, kind: type[AbstractSystem], arguments: list[str]) -> None:
    """A flag for every option; where help is asked for it shows those of use to the system, with its own defaults."""
    from massieu.methods.method import method_of, other_options

    group, options = parser.add_argument_group("training and evaluation"), method_of(kind).options
    asked = bool({"-h", "--help"} & set(arguments))
    hints, own = typing.get_type_hints(options), _own_defaults(kind) if asked else {}
    for name in {field.name for field in dataclasses.fields(options)} & set(parameters(kind)):
        raise InputError(
            f"{name}: must be another name for a parameter of {kind.__name__}, it is an option of training"
        )
    for field in dataclasses.fields(options):
        add_flag(group, field.name, field, hints[field.name], default=own.get(field.name, field.default))
    for name, (field, hint) in other_options(options).items():  # so that the refusal can say why
        if name not in parameters(kind):
            add_flag(group, name, field, hint, hidden=True)


def _own_defaults(kind: type[AbstractSystem]) -> dict[str, Any]:
    make: Callable[[], AbstractSystem] = kind
    try:
        return make().training_defaults()
    except (InputError, TypeError):  # a system that has to be told what it is
        return {}


def training(values: dict[str, Any], kind: type[AbstractSystem]) -> dict[str, Any]:
    """The options that were given."""
    from massieu.methods.method import method_of, option_names, other_options

    options = method_of(kind).options
    names = {*option_names(options), *other_options(options)} - set(parameters(kind))
    return {name: values[name] for name in values if name in names and values[name] is not None}


def add_progress(parser: Parser) -> None:
    """How much is shown of the work."""
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--quiet", action="store_true", help="show nothing but the results")
    choice.add_argument("--verbose", action="store_true", help="a line for every step")


def progress(values: argparse.Namespace) -> Progress:
    """What `add_progress` asks for."""
    from massieu.progress import PLAIN_INTERVAL, Lines, Silent

    return Silent() if values.quiet else Lines(interval=0.0 if values.verbose else PLAIN_INTERVAL)


def add_flag(
    group: Any,
    name: str,
    field: dataclasses.Field,
    hint: Any,
    lists: bool = False,
    *,
    default: Any = None,
    hidden: bool = False,
) -> None:
    """One flag; None when it is not given, so that defaults stay in one place, the dataclass.

    default: to show instead of the field's; hidden: not shown in the help.
    """  # fmt: skip
    inner = [t for t in typing.get_args(hint) if t is not type(None)] if _is_optional(hint) else [hint]
    shown = field.default if default is None else default
    text = argparse.SUPPRESS if hidden else field.metadata["help"] + ("" if shown is None else f" (default: {shown})")
    many = lists and not (inner[0] is str and name in WHOLE)
    kind = checked_list(name, inner[0]) if many else checked(name, inner[0])
    flag, metavar = "--" + name.replace("_", "-"), inner[0].__name__.upper() + (",..." if many else "")
    group.add_argument(flag, dest=name, type=kind, metavar=metavar, help=text)


def _is_optional(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def checked(name: str, kind: type) -> Callable[[str], Any]:
    """A converter that names the field, the value and what is allowed."""
    words = {int: "an integer", float: "a number", bool: "true or false", str: "a word"}

    def convert(text: str) -> Any:
        try:
            if kind is bool:
                return {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}[text.lower()]
            return kind(text)
        except (ValueError, KeyError):
            raise argparse.ArgumentTypeError(f"{name} = {text}: must be {words[kind]}") from None

    return convert


def checked_list(name: str, kind: type) -> Callable[[str], Any]:
    """A converter of one value, or of several with commas between to a tuple."""
    one = checked(name, kind)

    def convert(text: str) -> Any:
        parts = text.split(",")
        return one(text) if len(parts) == 1 else tuple(one(part.strip()) for part in parts)

    return convert


def _join_negative(arguments: list[str]) -> list[str]:
    """--h -1,1 as --h=-1,1: argparse takes a list that begins with a minus sign for a flag."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1].startswith("--") and "=" not in joined[-1] and re.match(r"-[\d.].*,", argument):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def make(kind: type[AbstractSystem], values: dict[str, Any]) -> AbstractSystem:
    """The system with the parameters that were given."""
    given = {field.name: values[flag] for flag, field in parameters(kind).items() if values[flag] is not None}
    return kind(**given)
