"""docs/pictures/*.svg: what a terminal shows.

Drawn cell by cell from the escape sequences that a command prints, so that a picture depends on the text, its place and
its colours alone: equal screens are equal files, whatever wrote them. The font is one that the viewer has; every
word is put into its own columns, and what is no word is drawn as a shape.
"""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from generate.glyphs import HEIGHT, WIDTH, shape

COMMANDS = {
    "fit.svg": "budget fit sample:llama-3.1-8b --gpu rtx-3060-12gb --ram 32GiB -c 32k",
    "does-not-fit.svg": "budget fit sample:llama-3.3-70b --gpu rtx-4090 --gpu rtx-3090 --ram 64GiB -c 64k",
    "sweep.svg": "budget sweep sample:llama-3.1-8b --gpu 12GiB --ram 32GiB --ctx 8k..64k --ctk f16,q8_0",
    "place.svg": "budget place sample:qwen3-30b-a3b --gpu 24GiB --ram 64GiB -ncmoe 10 -c 32k",
}
"""File name to command."""
COLUMNS = 88
COLOURS = ("#000000", "#ff7b72", "#3fb950", "#d29922", "#58a6ff", "#bc8cff", "#39c5cf", "#b1bac4")
"""What a terminal calls black, red, green, yellow, blue, magenta, cyan and white; bright ones are the same here."""
TEXT, BACKGROUND = "#e6edf3", "#0d1117"
_MARGIN, _TOP = 18, 44
_HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">
<title>{command}</title>
<style>
text {{ font: 20px ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace; }}
.b {{ font-weight: bold; }}
.d {{ opacity: 0.6; }}
.line {{ fill: none; stroke: currentColor; }}
</style>
<rect width="{width}" height="{height}" rx="10" fill="{background}"/>
<g><circle cx="24" cy="22" r="7" fill="#ff5f57"/><circle cx="46" cy="22" r="7" fill="#febc2e"/>\
<circle cx="68" cy="22" r="7" fill="#28c840"/></g>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How one cell looks."""

    colour: str = TEXT
    bold: bool = False
    dim: bool = False


def drawings() -> dict[str, Callable[[], str]]:
    """File name to what draws it."""
    return {name: lambda command=command: draw(command) for name, command in COMMANDS.items()}


def draw(command: str) -> str:
    """The command and what it prints, as SVG."""
    words = command.split()
    if "--format" in _spellings(words[1]):
        words += ["--format", "table"]
    left_out = ("BUDGET_", "LLAMA_", "NO_COLOR", "XDG_", "PYTHONDONTWRITEBYTECODE")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(left_out)}
    terminal = {"FORCE_COLOR": "1", "COLUMNS": str(COLUMNS), "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
    run = subprocess.run(
        [Path(sys.executable).parent / words[0], *words[1:]], capture_output=True, text=True, check=False,
        env={**kept, **terminal},
    )  # fmt: skip
    return svg(command, f"\x1b[1;32m$\x1b[0m {command}\n{run.stdout or run.stderr}")


def svg(command: str, screen: str) -> str:
    """A screen with escape sequences, drawn."""
    lines = cells(screen)
    head = _HEAD.format(
        width=COLUMNS * WIDTH + 2 * _MARGIN, height=len(lines) * HEIGHT + _TOP + _MARGIN, command=command,
        background=BACKGROUND,
    )  # fmt: skip
    body = [piece for y, line in enumerate(lines) for piece in _line(line, _TOP + y * HEIGHT)]
    return "\n".join([head.rstrip("\n"), *body, "</svg>", ""])


def cells(screen: str) -> list[list[tuple[str, Style]]]:
    """Each line as its characters and their looks, without spaces at the end."""
    lines, style = [], Style()
    for text in screen.rstrip("\n").split("\n"):
        line: list[tuple[str, Style]] = []
        for codes, char in re.findall(r"\x1b\[([\d;]*)m|(.)", text):
            if char:
                line.append((char, style))
            else:
                style = _styled(style, codes)
        while line and line[-1][0] == " ":
            line.pop()
        lines.append(line)
    return lines


def _styled(style: Style, codes: str) -> Style:
    """`style` after one escape sequence of colours; one that is not known is an error, not another look."""
    for code in map(int, (codes or "0").split(";")):
        if code == 0:
            style = Style()
        elif code == 1:
            style = Style(colour=style.colour, bold=True, dim=style.dim)
        elif code == 2:
            style = Style(colour=style.colour, bold=style.bold, dim=True)
        elif 30 <= code <= 37 or 90 <= code <= 97:
            style = Style(colour=COLOURS[code % 10], bold=style.bold, dim=style.dim)
        else:
            raise ValueError(f"the pictures cannot show \\e[{codes}m")
    return style


def _line(line: list[tuple[str, Style]], top: int) -> list[str]:
    """Words, and shapes that follow each other with one look in one group."""
    pieces = []
    at = enumerate(line)
    for (style, kind), found in groupby(at, key=lambda cell: (cell[1][1], _kind(cell[1][0]))):
        run = [(column, char) for column, (char, _) in found]
        if kind == "word":
            pieces.append(_word(run, style, top))
        elif kind == "shape":
            pieces.append(_shapes(run, style, top))
    return pieces


def _kind(char: str) -> str:
    return "space" if char == " " else "shape" if shape(char) else "word"


def _look(style: Style) -> str:
    kinds = [name for name, has in (("b", style.bold), ("d", style.dim)) if has]
    return f'fill="{style.colour}"' + (f' class="{" ".join(kinds)}"' if kinds else "")


def _word(run: list[tuple[int, str]], style: Style, top: int) -> str:
    text = "".join(char for _, char in run)
    x, y = _MARGIN + run[0][0] * WIDTH, top + 18
    length = f'textLength="{len(text) * WIDTH}" lengthAdjust="spacingAndGlyphs"'
    return f'<text x="{x}" y="{y}" {length} {_look(style)}>{html.escape(text, quote=False)}</text>'


def _shapes(run: list[tuple[int, str]], style: Style, top: int) -> str:
    uses = []
    for column, char in run:
        place = f'transform="translate({_MARGIN + column * WIDTH} {top})"'
        uses.append(str(shape(char)).replace("/>", f" {place}/>"))
    return f'<g {_look(style)} color="{style.colour}">{"".join(uses)}</g>'


def _spellings(name: str) -> set[str]:
    """Options of one command."""
    from generate.commands import commands

    return {s for c in commands() if c.words == (name,) for o in c.options for s in o.every_spelling}


def words(svg: str) -> list[str]:
    """What is written in a picture."""
    return [html.unescape(text) for text in re.findall(r">([^<>]+)</text>", svg)]
