"""Styled lines on a terminal, through Rich, which knows what the terminal can show. Nothing else imports Rich."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO

from budget.render.lines import Line

COLORS = {
    "": "",
    "good": "bold green",
    "bad": "bold red",
    "warn": "bold yellow",
    "dim": "dim",
    "bold": "bold",
    "weights": "blue",
    "kv": "magenta",
    "state": "bright_magenta",
    "compute": "yellow",
    "overhead": "cyan",
    "series0": "blue",
    "series1": "magenta",
    "series2": "cyan",
    "series3": "yellow",
    "series4": "green",
    "series5": "red",
}
"""Style to Rich style: the terminal's own 16 colours, which its theme makes readable on light and on dark."""


def write_lines(lines: Sequence[Line], file: IO[str], *, width: int) -> None:
    """Write `lines` to a terminal; NO_COLOR, FORCE_COLOR and TERM count as Rich says."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=file, width=width, highlight=False, markup=False, emoji=False)
    for line in lines:
        text = Text()
        for part, style in line:
            text.append(part, style=COLORS[style])
        text.rstrip()
        console.print(text, soft_wrap=True)
