"""What a class of systems takes over from its bases: all but what they know of a Hamiltonian that it redefines."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from types import CodeType
from typing import Any, TypeVar

T = TypeVar("T")
DEFINING = ("energy", "potential", "kinetic_scale", "hamiltonian", "terms", "couplings", "field")
Classes = tuple[type, ...]


def by_class(table: Mapping[Any, T], kind: type) -> T | None:
    """The entry of the nearest base class of `kind`, or None."""
    return next((table[base] for base in kind.__mro__ if base in table), None)


def holds(kind: type, *members: str) -> bool:
    """Whether what these members know of the Hamiltonian holds for `kind`.

    It does unless a class below the one that defines them redefines the Hamiltonian: `energy`, `potential` or another
    of DEFINING, a method that these call, or the `__post_init__` of a complete system, which computes couplings.
    """
    mro = kind.__mro__
    owner = next(place for place, base in enumerate(mro) if any(_defines(base, name) for name in members))
    below, above = mro[:owner], mro[owner:]
    known = {name for base in above for name, v in vars(base).items() if not _is_abstract(v)} & set(DEFINING)
    redefined = any(_defines(base, name) for base in below for name in known | _called(above, known))
    return not redefined and not any(_recomputes(base) for base in below)


def _is_abstract(member: Any) -> bool:
    return getattr(member, "__isabstractmethod__", False)


def _defines(kind: type, name: str) -> bool:
    """As a method, or as a field that hides one."""
    return name in vars(kind) or name in vars(kind).get("__annotations__", {})


def _called(classes: Classes, names: Iterable[str]) -> set[str]:
    """Methods and properties of the classes that those of these names call, however indirectly."""
    found: set[str] = set()
    new = set(names)
    while new:
        codes = [code for base in classes for name in new for code in _codes(vars(base).get(name))]
        used = {name for code in codes for name in code.co_names}
        new = {name for name in used - found if any(_codes(vars(base).get(name)) for base in classes)}
        found |= new
    return found


def _codes(member: Any) -> list[CodeType]:
    """The code of a method or property, and of the functions in it; none of anything else."""
    function = inspect.unwrap(getattr(member, "fget", member)) if member is not None else None
    return list(_nested(function.__code__)) if inspect.isfunction(function) else []


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _nested(inner)


def _recomputes(kind: type) -> bool:
    """Whether a class changes what a complete system computes from its parameters."""
    parent = kind.__mro__[1]
    return "__post_init__" in vars(kind) and hasattr(parent, "__post_init__") and not inspect.isabstract(parent)
