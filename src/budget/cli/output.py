"""Where answers go: the form that was asked for, and what the place where they end up can show."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from budget.cli.parameters import Option, Parameter, shared
from budget.errors import ExitCode, UsageError
from budget.record import record

if TYPE_CHECKING:
    from budget.render.lines import Look
    from budget.render.screen import Block

Form = Literal["table", "plain", "json", "markdown", "csv"]
FORM_HELP = "table on a terminal and plain elsewhere, unless one is given here; --json is --format json."
VerboseOption = Annotated[bool, Option("--verbose", "-v", help="Where each number comes from.")]
EXIT = {"fits": ExitCode.OK, "does_not_fit": ExitCode.DOES_NOT_FIT, "unknown": ExitCode.UNKNOWN}
"""Exit code of a verdict."""
WIDTH = 80
"""Columns where nothing says how many there are."""
_FANCY = "█▓▒░·┃─⣿"


def output_parameters(forms: Any = Form, help: str = FORM_HELP) -> tuple[Parameter, ...]:
    """The options that say in which form an answer is printed."""
    return (
        shared("json", bool, Option(False, "--json", help="Print one JSON object and nothing else.")),
        shared("format", forms, Option(None, "--format", show_default=False, help=help)),
        shared(
            "quiet", bool, Option(False, "--quiet", "-q", help="Print nothing; the exit code is the answer.")
        ),
    )


@record
class Output:
    """Where the answer of one command goes."""

    form: str
    """One of `Form`, or of the forms that a command has beside these."""
    is_given: bool = False
    """Whether somebody asked for this form."""
    quiet: bool = False

    def show(
        self,
        *,
        data: Callable[[], Mapping[str, Any]],
        screen: Callable[[], Sequence[Block]],
        rows: Callable[[], Iterable[Mapping[str, Any]]] | None = None,
    ) -> None:
        """Print an answer in the form that was asked for; only that form is made.

        Args:
            data: the JSON object.
            screen: what people read.
            rows: the rows of CSV, with the names of the JSON object; left away, the object is the one row.
        """
        if self.quiet:
            return
        if self.form == "json":
            write_json(data())
        elif self.form == "csv":
            from budget.render.csv import to_csv

            write(to_csv([data()] if rows is None else list(rows())))
        elif self.form == "markdown":
            from budget.render.markdown import to_markdown

            write(to_markdown(screen()))
        else:
            show(self.form, screen())

    def write(self, text: str) -> None:
        """Print an answer that has one form only."""
        if not self.quiet:
            write(text)


def output_of(*, json: bool, format: str | None, quiet: bool) -> Output:
    """The form that `--format` and `--json` add up to.

    Raises:
        UsageError: they contradict each other.
    """
    if json and format not in (None, "json"):
        raise UsageError(f"--json and --format {format} contradict each other", hint="leave one of them away")
    form = "json" if json else format or ("table" if _is_terminal() else "plain")
    return Output(form=form, is_given=json or format is not None, quiet=quiet)


def look(form: str) -> Look:
    """What stdout can show of a screen in `form`, which is table or plain."""
    from shutil import get_terminal_size

    from budget.render.lines import Look

    return Look(
        width=max(40, get_terminal_size((WIDTH, 24)).columns),
        unicode=_shows_unicode(),
        color=form == "table" and _shows_color(),
    )


def show(form: str, blocks: Sequence[Block]) -> None:
    """Print a screen: with Rich on a terminal, as plain text anywhere else."""
    from budget.render.screen import to_lines

    what = look(form)
    lines = to_lines(blocks, what)
    if form == "table" and _is_terminal():
        from budget.render.terminal import write_lines

        write_lines(lines, sys.stdout, width=what.width)
        return
    from budget.render.lines import ascii_only, to_text

    text = to_text(lines)
    write(text if what.unicode else ascii_only(text))


def write(text: str) -> None:
    """Print an answer; what stdout's encoding does not have becomes `?`."""
    encoding = sys.stdout.encoding or "utf-8"
    safe = text.encode(encoding, "replace").decode(encoding)
    sys.stdout.write(safe if safe.endswith("\n") or not safe else f"{safe}\n")


def write_json(data: Any) -> None:
    """Print one JSON object and nothing else."""
    from budget.render.json import dumps

    text = dumps(data)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = dumps(data, ascii_only=True)
    sys.stdout.write(f"{text}\n")


def exit_of_any(verdicts: Iterable[str | None]) -> ExitCode:
    """The exit code of several answers of which one that fits is enough."""
    found = set(verdicts)
    return EXIT[next((v for v in ("fits", "unknown") if v in found), "does_not_fit")]


def _shows_color() -> bool:
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") in ("dumb", "unknown"):
        return False
    return _is_terminal()


def _is_terminal() -> bool:
    """Whether stdout is a terminal, or is to be taken for one."""
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
