"""llama.cpp's memory-changing flags as options of a command; their values go back through the one parser."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from budget.cli.parameters import Option, Parameter, shared
from budget.runtime.options import SETTINGS_OPTIONS, SettingsOption, arguments


def parameters() -> list[tuple[Parameter, Callable[[Any], list[str]]]]:
    """Options and, for each, how its value becomes llama.cpp arguments again."""
    return [(_parameter(option), partial(arguments, option)) for option in SETTINGS_OPTIONS]


def _parameter(option: SettingsOption) -> Parameter:
    name = f"llama_{option.name}"
    if option.metavar is None:
        info = Option(None, *_pairs(option), help=option.help, show_default=False)
        return shared(name, bool, info)
    metavar = "|".join(option.choices) if option.choices and len(option.choices) <= 4 else option.metavar
    info = Option(None, *option.spellings, metavar=metavar, help=option.help, show_default=False)
    return shared(name, list[str] if option.repeatable else str, info)


def _pairs(option: SettingsOption) -> tuple[str, ...]:
    """Typer pairs spellings with negations one by one: the shorter list repeats its last."""
    if not option.negated:
        return option.spellings
    n = max(len(option.spellings), len(option.negated))
    return tuple(
        f"{option.spellings[min(i, len(option.spellings) - 1)]}/{option.negated[min(i, len(option.negated) - 1)]}"
        for i in range(n)
    )
