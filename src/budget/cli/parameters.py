"""Arguments and options as plain data, declared the way Typer does it, so that Typer is loaded only where needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_type_hints

from budget.record import record


class Option:
    """What `typer.Option` would be told: a default, unless it is a spelling already, and the spellings."""

    __slots__ = ("default", "help", "metavar", "show_default", "spellings")

    def __init__(
        self,
        default: Any,
        *spellings: str,
        metavar: str | None = None,
        help: str = "",
        show_default: bool = True,
    ) -> None:
        is_spelling = isinstance(default, str) and default.startswith("-")
        self.default = None if is_spelling else default
        self.spellings = (default, *spellings) if is_spelling else spellings
        self.metavar, self.help, self.show_default = metavar, help, show_default


class Argument:
    """What `typer.Argument` would be told."""

    __slots__ = ("default", "help", "metavar", "show_default")

    def __init__(
        self, default: Any = None, *, metavar: str | None = None, help: str = "", show_default: bool = True
    ) -> None:
        self.default, self.metavar, self.help, self.show_default = default, metavar, help, show_default


@record(kw_only=False)
class Parameter:
    """One parameter of a command."""

    name: str
    kind: Any
    """`str`, `int`, `bool`, `list[str]`, a Literal of texts, or one of these or None."""
    declared: Option | Argument
    default: Any
    """What the command receives where it is not given; `...` where it must be given."""


def shared(name: str, kind: Any, declared: Option | Argument) -> Parameter:
    """A parameter that stands in a table, its default in the declaration."""
    return Parameter(name, kind, declared, declared.default)


def own_parameters(function: Callable[..., Any]) -> list[Parameter]:
    """The parameters that `function` itself declares as `Annotated[kind, Option(...)]`."""
    defaults = {**(function.__kwdefaults__ or {})}
    code, positional = function.__code__, function.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    first_default = code.co_argcount - len(positional)
    defaults.update(zip(names[first_default : code.co_argcount], positional, strict=True))
    hints = get_type_hints(function, include_extras=True)
    return [
        Parameter(name, hints[name].__origin__, hints[name].__metadata__[0], defaults.get(name, ...))
        for name in names
        if hasattr(hints.get(name), "__metadata__")
    ]
