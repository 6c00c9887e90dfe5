"""Where answers go: the format that was asked for, and what the place where they end up can show."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from budget.cli.parameters import Option
from budget.errors import UsageError

if TYPE_CHECKING:
    from budget.render.lines import Line, Look

Format = Literal["table", "plain", "json", "markdown", "csv"]
FormatOption = Annotated[
    Format | None,
    Option(
        "--format",
        show_default=False,
        help="table on a terminal and plain elsewhere, unless one is given here; --json is --format json.",
    ),
]
VerboseOption = Annotated[bool, Option("--verbose", "-v", help="Where each number comes from.")]
WIDTH = 80
"""Columns where nothing says how many there are."""
_FANCY = "█▓▒░·┃─⣿"


def chosen(format: Format | None, json: bool) -> Format:
    """The format that `--format` and `--json` add up to.

    Raises:
        UsageError: they contradict each other.
    """
    if json and format not in (None, "json"):
        raise UsageError(f"--json and --format {format} contradict each other", hint="leave one of them away")
    return "json" if json else format or ("table" if sys.stdout.isatty() else "plain")


def look(form: str) -> Look:
    """What stdout can show of a screen in `form`, which is table or plain."""
    from shutil import get_terminal_size

    from budget.render.lines import Look

    return Look(
        width=max(40, get_terminal_size((WIDTH, 24)).columns),
        unicode=_shows_unicode(),
        color=form == "table" and _shows_color(),
    )


def show(form: Format, render: Callable[[Look], Sequence[Line]]) -> None:
    """Print a screen: with Rich on a terminal, as plain text anywhere else."""
    what = look(form)
    lines = render(what)
    if form == "table" and (sys.stdout.isatty() or os.environ.get("FORCE_COLOR")):
        from budget.render.terminal import write_lines

        write_lines(lines, sys.stdout, width=what.width)
        return
    from budget.render.lines import to_text

    write(to_text(lines))


def write(text: str) -> None:
    """Print an answer; what stdout's encoding does not have becomes `?`."""
    encoding = sys.stdout.encoding or "utf-8"
    safe = text.encode(encoding, "replace").decode(encoding)
    sys.stdout.write(safe if safe.endswith("\n") or not safe else f"{safe}\n")


def write_json(data: Any) -> None:
    """Print one JSON object and nothing else."""
    from budget.render.json import dumps

    sys.stdout.write(f"{dumps(data)}\n")


def _shows_color() -> bool:
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") in ("dumb", "unknown"):
        return False
    return sys.stdout.isatty() or bool(os.environ.get("FORCE_COLOR"))


def _shows_unicode() -> bool:
    """Whether stdout's encoding has the characters of bars, and the locale does not say otherwise.

    Python itself speaks UTF-8 in the C locale (PEP 538, PEP 540); the terminal of somebody who set it may not.
    """
    coerced = ("C.UTF-8", "C.utf8", "UTF-8")
    ctype = os.environ.get("LC_CTYPE")
    locale = (
        os.environ.get("LC_ALL") or (ctype if ctype not in coerced else None) or os.environ.get("LANG") or ""
    )
    if locale in ("C", "POSIX"):
        return False
    try:
        _FANCY.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
