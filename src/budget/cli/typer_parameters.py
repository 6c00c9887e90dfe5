"""Commands as Typer wants them: its own objects in place of the plain declarations."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import typer

from budget.cli.parameters import Argument, Option, Parameter


def callback(command: Callable[..., Any]) -> Callable[..., Any]:
    """`command` with a signature that Typer can read; it gets the line after `--` first."""
    parameters: list[Parameter] = command.parameters  # type: ignore[attr-defined]

    @functools.wraps(command)
    def call(typer_context: typer.Context, **given: Any) -> Any:
        return command(typer_context.obj or [], **given)

    context = inspect.Parameter(
        "typer_context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
    )
    signature = inspect.Signature([context, *map(_parameter, parameters)])
    call.__signature__ = signature  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    return call


def _parameter(parameter: Parameter) -> inspect.Parameter:
    kind = parameter.kind
    if parameter.default is None and type(None) not in getattr(kind, "__args__", ()):
        kind = kind | None
    return inspect.Parameter(
        parameter.name, inspect.Parameter.KEYWORD_ONLY, default=_declared(parameter), annotation=kind
    )


def _declared(parameter: Parameter) -> Any:
    told, default = parameter.declared, parameter.default
    if isinstance(told, Argument):
        return typer.Argument(default, metavar=told.metavar, help=told.help, show_default=told.show_default)
    if isinstance(told, Option):
        return typer.Option(
            default, *told.spellings, metavar=told.metavar, help=told.help, show_default=told.show_default
        )
    told.default = default
    return told
