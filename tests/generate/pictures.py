"""docs/pictures/*.svg: what a terminal shows, drawn by Rich."""

from __future__ import annotations

import html
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

COMMANDS = {
    "fit.svg": "budget fit sample:llama-3.1-8b --gpu rtx-3060-12gb --ram 32GiB -c 32k",
    "does-not-fit.svg": "budget fit sample:llama-3.3-70b --gpu rtx-4090 --gpu rtx-3090 --ram 64GiB -c 64k",
    "sweep.svg": "budget sweep sample:llama-3.1-8b --gpu 12GiB --ram 32GiB --ctx 8k..64k --ctk f16,q8_0",
    "place.svg": "budget place sample:qwen3-30b-a3b --gpu 24GiB --ram 64GiB -ncmoe 10 -c 32k",
}
"""File name to command."""
WIDTH = 88


def drawings() -> dict[str, Callable[[], str]]:
    """File name to what draws it."""
    return {name: lambda command=command: draw(command) for name, command in COMMANDS.items()}


def draw(command: str) -> str:
    """The command and what it prints, as SVG."""
    from rich.console import Console
    from rich.text import Text

    words = command.split()
    if "--format" in _spellings(words[1]):
        words += ["--format", "table"]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("BUDGET_", "LLAMA_", "NO_COLOR"))}
    terminal = {"FORCE_COLOR": "1", "COLUMNS": str(WIDTH), "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
    run = subprocess.run(
        [Path(sys.executable).parent / words[0], *words[1:]], capture_output=True, text=True, check=False,
        env={**kept, **terminal},
    )  # fmt: skip
    console = Console(record=True, width=WIDTH + 2, file=io.StringIO(), color_system="standard")
    console.print(Text.assemble(("$ ", "bold green"), command), soft_wrap=False)
    console.print(Text.from_ansi(run.stdout or run.stderr))
    return _without_leading_spaces(console.export_svg(title="budget", unique_id="budget"))


def _without_leading_spaces(svg: str) -> str:
    """Text that starts where its first letter does: not every viewer keeps spaces at the start."""

    def moved(match: re.Match[str]) -> str:
        x, length = float(match["x"]), float(match["length"])
        n_spaces, n = len(match["spaces"]) // len(_SPACE), len(html.unescape(match["spaces"] + match["rest"]))
        shift = length * n_spaces / n
        place = f'x="{x + shift:g}"{match["mid"]}textLength="{length - shift:g}"'
        return f"{match['head']}{place}{match['tail']}{match['rest']}<"

    return re.sub(
        r'(?P<head><text [^>]*?)x="(?P<x>[\d.]+)"(?P<mid>[^>]*?)textLength="(?P<length>[\d.]+)"(?P<tail>[^>]*>)'
        rf"(?P<spaces>(?:{_SPACE})+)(?P<rest>[^<]+)<", moved, svg,
    )  # fmt: skip


_SPACE = "&#160;"


def _spellings(name: str) -> set[str]:
    """Options of one command."""
    from generate.commands import commands

    return {s for c in commands() if c.words == (name,) for o in c.options for s in o.every_spelling}


def words(svg: str) -> list[str]:
    """What is written in a picture."""
    return [html.unescape(text).replace("\xa0", " ").strip() for text in re.findall(r">([^<>]+)</text>", svg)]
