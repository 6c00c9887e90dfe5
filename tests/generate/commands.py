"""Every command, argument and option as plain data, read from the parser itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import typer

from budget.cli import app as cli
from budget.cli import help as help_
from budget.planning import quant
from budget.runtime.options import SETTINGS_OPTIONS

GROUPS = (help_.OWN, *help_.GROUPS, *help_.LLAMA_GROUPS.values())
"""Groups of options, as `--help` has them."""
_LLAMA = {f"llama_{option.name}": option for option in SETTINGS_OPTIONS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option of one command."""

    name: str
    spellings: tuple[str, ...]
    negated: tuple[str, ...]
    help: str
    metavar: str | None
    """None for a switch."""
    choices: tuple[str, ...]
    repeatable: bool
    n_values: int
    """0 for a switch."""
    default: str | None
    group: str

    @property
    def every_spelling(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.spellings, *self.negated)))

    @property
    def is_llama(self) -> bool:
        """Whether it is one of llama.cpp's own."""
        return self.name in _LLAMA

    @property
    def offered(self) -> tuple[str, ...]:
        """What a shell offers as its value: all that there is, or what is worth naming."""
        return self.choices or (() if self.metavar is None else worth_naming().get(self.name, ()))

    @property
    def values(self) -> str:
        """What completes its value: a kind of `VALUES`, or nothing."""
        return value_kind(self.name, self.metavar, self.offered)


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One positional argument."""

    name: str
    metavar: str
    help: str
    required: bool
    repeatable: bool
    choices: tuple[str, ...]

    @property
    def offered(self) -> tuple[str, ...]:
        """What a shell offers."""
        return self.choices

    @property
    def values(self) -> str:
        return value_kind(self.name, self.metavar, self.offered)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command; a group has further commands."""

    words: tuple[str, ...]
    """What is typed after `budget`."""
    summary: str
    help: str
    epilog: str
    arguments: tuple[Argument, ...]
    options: tuple[Option, ...]
    commands: tuple[Command, ...] = field(default=())

    @property
    def name(self) -> str:
        return " ".join(("budget", *self.words))

    @property
    def page(self) -> str:
        """Name of its man page."""
        return "-".join(("budget", *self.words))

    def every(self) -> Iterator[Command]:
        """Itself and what is below it."""
        yield self
        for command in self.commands:
            yield from command.every()

    def grouped(self) -> dict[str, list[Option]]:
        """Its options by group, in the order of the parser."""
        groups: dict[str, list[Option]] = {name: [] for name in GROUPS}
        for option in self.options:
            groups.setdefault(option.group, []).append(option)
        return {name: options for name, options in groups.items() if options}


def value_kind(name: str, metavar: str | None, choices: tuple[str, ...]) -> str:
    """What completes a value: `choices`, a kind of name or file (`_KIND_OF_WORD`, `gpu`, `machine`), or nothing."""
    if choices:
        return "choices"
    text = metavar or ""
    if name == "machine":
        return "machine"
    if name == "gpu" and metavar == "SPEC":
        return "gpu"
    for word, kind in _KIND_OF_WORD:
        if re.search(rf"\b{word}\b", text):
            return kind
    return ""


_KIND_OF_WORD = (
    ("MODEL", "model"), ("ARCH", "arch"), ("PROGRAM", "program"), ("FOLDER", "folder"), ("DIR", "folder"),
    ("FILE", "file"), ("INVENTORY", "file"), ("PLACE", "file"), ("PATH", "file"), ("GATE", "gate"),
    ("A", "model"), ("B", "model"),
)  # fmt: skip


@cache
def worth_naming() -> dict[str, tuple[str, ...]]:
    """Values of options that take others too: quantisations, cache types, words beside sizes."""
    types = next(option.choices for option in SETTINGS_OPTIONS if option.name == "type_k")
    return {
        "quant": tuple(sorted((*quant._MEASURED, *quant._ONE_TYPE))),
        "kv": types,
        "ctk": types,
        "ctv": types,
        "budget": ("auto", "unlimited"),
        "overhead": ("auto",),
        "max_resident": ("auto",),
        "emit": ("kubernetes",),
    }


@cache
def root() -> Command:
    """`budget` itself with every command below it."""
    group = typer.main.get_command(cli.app)
    return _command(group, (), "Does a GGUF model fit, and where does each byte go?")


def commands() -> list[Command]:
    """Every command that can be typed, groups and `budget` itself included."""
    return list(root().every())


def _command(click: Any, words: tuple[str, ...], summary: str) -> Command:
    context = typer.Context(click, info_name=" ".join(("budget", *words)), **click.context_settings)
    below = []
    if hasattr(click, "list_commands"):
        for name in click.list_commands(context):
            child = click.get_command(context, name)
            below.append(_command(child, (*words, name), child.get_short_help_str(200)))
    return Command(
        words=words, summary=summary.strip(), help=_text(click.help), epilog=_text(click.epilog),
        arguments=tuple(_argument(p, words) for p in click.params if p.param_type_name == "argument"),
        options=tuple(_option(p, context) for p in click.get_params(context)
                      if p.param_type_name == "option" and not p.hidden),
        commands=tuple(below),
    )  # fmt: skip


def _text(text: str | None) -> str:
    return "" if text is None else text.replace("\b\n", "").strip()


def _argument(param: Any, words: tuple[str, ...]) -> Argument:
    choices = tuple(getattr(param.type, "choices", ()) or ())
    metavar = param.metavar or param.name.upper()
    if not choices and re.fullmatch(r"[a-z-]+(\|[a-z-]+)+", metavar):
        choices = tuple(metavar.split("|"))
    if words == ("schema",):
        from budget.schema import SCHEMAS

        choices = tuple(SCHEMAS)
    return Argument(
        name=param.name, metavar=metavar.removesuffix("..."), help=_text(param.help), required=param.required,
        repeatable=param.nargs == -1 or getattr(param, "multiple", False), choices=choices,
    )  # fmt: skip


def _option(param: Any, context: Any) -> Option:
    llama = _LLAMA.get(param.name)
    choices = tuple(str(c) for c in getattr(param.type, "choices", ()) or ()) or (
        llama.choices if llama else ()
    )
    metavar = param.metavar
    if not choices and metavar and re.fullmatch(r"[a-z0-9-]+(\|[a-z0-9-]+)+", metavar):
        choices = tuple(metavar.split("|"))
    if param.is_flag or getattr(param, "count", False):
        metavar = None
    elif metavar is None:
        metavar = "|".join(choices) if choices else param.make_metavar(ctx=context).strip("<>")
    shown = param.show_default and not param.is_flag and isinstance(param.default, str | int | float)
    return Option(
        name=param.name, spellings=_ordered(param.opts), negated=_ordered(param.secondary_opts), help=_text(param.help),
        metavar=metavar, choices=() if metavar is None else choices, repeatable=bool(param.multiple),
        n_values=0 if metavar is None else max(param.nargs, len(metavar.split())),
        default=str(param.default) if shown and param.default != "" else None,
        group=help_.group_of(param.name),
    )  # fmt: skip


def _ordered(spellings: list[str]) -> tuple[str, ...]:
    """Short ones first, each once."""
    return tuple(sorted(dict.fromkeys(spellings), key=lambda s: s.startswith("--")))
