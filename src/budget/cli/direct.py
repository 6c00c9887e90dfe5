"""A command line in plain form, read without Typer: importing it and building its parameters takes longer than
everything else that most commands do.

Plain means that every word is an option of the command in one of its spellings, the value of one, or an argument.
Anything else is left to Typer: help, mistakes, joined short options. A test holds both to the same values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

from budget.cli.parameters import Argument, Option, Parameter

_MISSING = object()


def parse(parameters: Sequence[Parameter], words: Iterable[str]) -> dict[str, Any] | None:
    """The value of every parameter by name; None where `words` are not plain."""
    spelled = spelled_options(parameters)
    values = {p.name: p.default for p in parameters}
    free: list[str] = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            free.append(word)
            continue
        name, equals, text = (word, "", "") if word in spelled else word.partition("=")
        parameter, switch = spelled.get(name, (None, None))
        if parameter is None or (equals and (switch is not None or len(name) == 2)):
            return None
        value = switch if switch is not None else _value(parameter.kind, text if equals else next(rest, None))
        if value is _MISSING:
            return None
        values[parameter.name] = [*(values[parameter.name] or ()), *value] if type(value) is list else value
    return None if not _place(parameters, free, values) or ... in values.values() else values


def spelled_options(parameters: Sequence[Parameter]) -> dict[str, tuple[Parameter, bool | None]]:
    """Each spelling with its parameter, and the value it stands for if it is a switch."""
    spelled: dict[str, tuple[Parameter, bool | None]] = {}
    for parameter in parameters:
        if not isinstance(parameter.declared, Option):
            continue
        is_switch = parameter.kind is bool or bool in get_args(parameter.kind)
        for spelling in parameter.declared.spellings:
            on, _, off = spelling.partition("/") if is_switch else (spelling, "", "")
            spelled[on] = (parameter, True if is_switch else None)
            if off:
                spelled[off] = (parameter, False)
    return spelled


def _value(kind: Any, text: str | None) -> Any:
    """`text` as `kind`; `_MISSING` where that is not plainly possible. A list holds the one value."""
    if text is None:
        return _MISSING
    if get_origin(kind) in (Union, UnionType):
        kind = next(k for k in get_args(kind) if k is not type(None))
    if kind is str:
        return text
    if kind is int:
        return int(text) if text.isascii() and text.isdigit() else _MISSING
    if get_origin(kind) is list:
        return [text]
    return text if text in get_args(kind) else _MISSING


def _place(parameters: Sequence[Parameter], free: list[str], values: dict[str, Any]) -> bool:
    """Give the words that are no options to the command's argument; whether it takes as many."""
    arguments = [p for p in parameters if isinstance(p.declared, Argument)]
    if not free:
        return True
    if len(arguments) != 1:
        return False
    value = free if "list" in str(arguments[0].kind) else free[0]
    values[arguments[0].name] = value
    return value is free or len(free) == 1
