"""docs/pictures/*.svg: what a terminal shows, drawn by Rich's SVG export with the fonts that the viewer has."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path

COMMANDS = {
    "fit.svg": "budget fit sample:llama-3.1-8b --gpu rtx-3060-12gb --ram 32GiB -c 32k",
    "does-not-fit.svg": "budget fit sample:llama-3.3-70b --gpu rtx-4090 --gpu rtx-3090 --ram 64GiB -c 64k",
    "sweep.svg": "budget sweep sample:llama-3.1-8b --gpu 12GiB --ram 32GiB --ctx 8k..64k --ctk f16,q8_0",
    "place.svg": "budget place sample:qwen3-30b-a3b --gpu 24GiB --ram 64GiB -ncmoe 10 -c 32k",
}
"""File name to command."""
COLUMNS = 88
_FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }}
.{unique_id}-title {{ font: bold 18px sans-serif; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>\
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix" xml:space="preserve">
{matrix}
</g>
</g>
</svg>
"""
"""Rich's own template asks a server for its font; a picture in a README may not. Not every viewer keeps the spaces at
the start and the end of a text that does not say so."""
_SVG = "{http://www.w3.org/2000/svg}"

Cell = tuple[int, int, str, str]
"""Line, column, character and the style it is drawn in."""


def drawings() -> dict[str, Callable[[], str]]:
    """File name to what draws it."""
    return {name: lambda command=command: draw(command) for name, command in COMMANDS.items()}


def draw(command: str) -> str:
    """The command and what it prints, as SVG."""
    words = command.split()
    left_out = ("BUDGET_", "LLAMA_", "NO_COLOR", "XDG_", "PYTHONDONTWRITEBYTECODE")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(left_out)}
    terminal = {"FORCE_COLOR": "1", "COLUMNS": str(COLUMNS), "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
    run = subprocess.run(
        [Path(sys.executable).parent / words[0], *words[1:]], capture_output=True, text=True, check=False,
        env={**kept, **terminal},
    )  # fmt: skip
    return svg(f"\x1b[1;32m$\x1b[0m {command}\n{run.stdout or run.stderr}")


def svg(screen: str) -> str:
    """A screen with its escape sequences, drawn."""
    from rich.console import Console
    from rich.text import Text

    console = Console(record=True, width=COLUMNS + 2, file=io.StringIO(), color_system="standard")
    console.print(Text.from_ansi(screen), soft_wrap=False)
    return console.export_svg(title="budget", unique_id="budget", code_format=_FORMAT)


def cells(picture: str) -> set[Cell]:
    """Every character that a picture shows, where, and how: the same for every way to write it down."""
    root = ET.fromstring(picture)
    style = "".join(e.text or "" for e in root.iter(f"{_SVG}style"))
    looks = dict(re.findall(r"\.(budget-r\d+) \{ ?([^}]*?) ?\}", style))
    groups = [g for g in root.iter(f"{_SVG}g") if g.get("class") == "budget-matrix"]
    texts = [t for group in groups for t in group.iter(f"{_SVG}text") if (t.text or "").strip()]
    line_height = float(re.findall(r"line-height: ([\d.]+)px", style)[0])
    return {cell for t in texts for cell in _cells_of(t, line_height, looks)}


def _cells_of(text: ET.Element, line_height: float, looks: dict[str, str]) -> Iterator[Cell]:
    written = (text.text or "").replace("\xa0", " ")
    width = float(text.get("textLength", "0")) / len(written)
    first = round(float(text.get("x", "0")) / width)
    line = int(float(text.get("y", "0")) / line_height)
    look = looks[text.get("class", "")]
    return ((line, first + i, char, look) for i, char in enumerate(written) if char != " ")
