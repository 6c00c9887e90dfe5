"""Two answers side by side, as a screen and as data."""

from __future__ import annotations

from typing import Any

from budget.planning.compare import Comparison, FactDifference, Side
from budget.render.screen import GAP, Block, Table, Text, Title
from budget.render.words import VERDICT, VERDICT_STYLE, gib
from budget.units import GiB, format_count, format_size

PART_NAMES = {"context": "K/V and state", "required": "needs"}
"""What people read where the JSON's word is another."""


def diff_screen(found: Comparison) -> list[Block]:
    """What B takes more or less, the two verdicts, what is set differently, then every part."""
    blocks: list[Block] = [Text(text, "bold") for text in summary(found)]
    blocks += [
        GAP,
        *(block for letter, side in (("A", found.a), ("B", found.b)) for block in _side(letter, side)),
    ]
    if found.facts:
        blocks += [GAP, *(Text(_fact(fact)) for fact in found.facts)]
    return [*blocks, GAP, part_table(found)]


def _side(letter: str, side: Side) -> list[Block]:
    verdict = side.answer["verdict"]
    return [
        Title(f"{letter}  {VERDICT[verdict]}", VERDICT_STYLE[verdict], side.name),
        Text(longest(side), "dim"),
    ]


def summary(found: Comparison) -> list[str]:
    """`B takes 0.94 GiB less on CUDA0`, a line for each device that changes."""
    texts = []
    for part in found.required():
        change = part.difference_bytes
        if change:
            word = "more" if change > 0 else "less"
            texts.append(f"B takes {format_size(abs(change))} {word} on {part.device}")
    return texts or ["A and B take the same on every device"]


def longest(side: Side) -> str:
    """The largest context of one side."""
    n_ctx = side.answer.get("max_ctx")
    if n_ctx is None:
        return "no context fits" if side.answer["verdict"] == "does_not_fit" else "largest context: not known"
    return f"largest context that fits: {format_count(n_ctx)}"


def part_table(found: Comparison) -> Table:
    """A row per part of each device, GiB."""
    rows = []
    for part in found.parts:
        change = part.difference_bytes
        sizes = [gib(size) if size else "-" for size in (part.a_bytes, part.b_bytes)]
        name = PART_NAMES.get(part.part, part.part)
        style = "bold" if part.part == "required" else ""
        rows.append(
            [(text, style) for text in (part.device, name, *sizes, _signed(change) if change else "=")]
        )
    return Table(["GiB", "", "A", "B", "B - A"], rows, left=(0, 1))


def _signed(size_bytes: int) -> str:
    """`+0.94`; what is not zero never reads as zero."""
    if abs(size_bytes) * 200 < GiB:
        return f"{'+' if size_bytes > 0 else ''}{format_size(size_bytes)}"
    return f"{size_bytes / GiB:+.2f}"


def _fact(fact: FactDifference) -> str:
    return f"{fact.name}: {_value(fact.a)} → {_value(fact.b)}"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int):
        return format_count(value)
    return "not known" if value is None else str(value)


def diff_object(found: Comparison) -> dict[str, Any]:
    """`budget/diff/v1`."""
    return {
        "schema": "budget/diff/v1",
        **{key: _side_object(side) for key, side in (("a", found.a), ("b", found.b))},
        "facts": [{"name": f.name, "a": f.a, "b": f.b} for f in found.facts],
        "parts": [
            {
                "device": p.device,
                "part": p.part,
                "a_bytes": p.a_bytes,
                "b_bytes": p.b_bytes,
                "difference_bytes": p.difference_bytes,
            }
            for p in found.parts
        ],
    }


def _side_object(side: Side) -> dict[str, Any]:
    return {"name": side.name, "verdict": side.answer["verdict"], "max_ctx": side.answer.get("max_ctx")}
