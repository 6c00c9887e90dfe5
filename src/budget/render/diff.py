"""Two answers side by side, as a screen and as data."""

from __future__ import annotations

from typing import Any

from budget.planning.compare import Comparison, FactDifference, Side
from budget.render.bars import gib
from budget.render.lines import Line, Look, plain, wrapped
from budget.render.plain import table
from budget.render.table import VERDICT, VERDICT_STYLE
from budget.units import GiB, format_count, format_size

PART_NAMES = {"context": "K/V and state", "required": "needs"}
"""What people read where the JSON's word is another."""


def diff_lines(found: Comparison, look: Look) -> list[Line]:
    """What B takes more or less, the two verdicts, what is set differently, then every part."""
    lines = [line for text in summary(found) for line in wrapped(text, look, "bold")]
    for letter, side in (("A", found.a), ("B", found.b)):
        verdict = side.answer["verdict"]
        lines.append(
            ((f"{letter}  ", "bold"), (VERDICT[verdict], VERDICT_STYLE[verdict]), (f"  {side.name}", ""))
        )
        lines += [((f"   {longest(side)}", "dim"),)]
    if found.facts:
        lines += [plain("")]
        lines += [line for f in found.facts for line in wrapped(_fact(f, look), look)]
    headers, rows = part_table(found)
    head, *body = table(headers, rows, left=(0, 1))
    lines += [plain(""), plain(head, "dim")]
    for row, text in zip(rows, body, strict=True):
        lines.append(plain(text, "bold" if row[1] == "needs" else ""))
    return lines


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


def part_table(found: Comparison) -> tuple[list[str], list[list[str]]]:
    """Headers and a row per part of each device, GiB."""
    rows = []
    for part in found.parts:
        change = part.difference_bytes
        cells = [gib(size) if size else "-" for size in (part.a_bytes, part.b_bytes)]
        rows.append(
            [part.device, PART_NAMES.get(part.part, part.part), *cells, _signed(change) if change else "="]
        )
    return ["GiB", "", "A", "B", "B - A"], rows


def _signed(size_bytes: int) -> str:
    """`+0.94`; what is not zero never reads as zero."""
    if abs(size_bytes) * 200 < GiB:
        return f"{'+' if size_bytes > 0 else ''}{format_size(size_bytes)}"
    return f"{size_bytes / GiB:+.2f}"


def _fact(fact: FactDifference, look: Look) -> str:
    arrow = "→" if look.unicode else "->"
    return f"{fact.name}: {_value(fact.a)} {arrow} {_value(fact.b)}"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int):
        return format_count(value)
    return "not known" if value is None else str(value)


def diff_markdown(found: Comparison) -> str:
    """The same for a comment or a summary."""
    from budget.render.markdown import code, escape, markdown_table

    lines = [f"**{escape(text)}**  " for text in summary(found)]
    for letter, side in (("A", found.a), ("B", found.b)):
        lines.append(f"- {letter}: **{VERDICT[side.answer['verdict']]}** {code(side.name)}, {longest(side)}")
    lines += [f"- {escape(_fact(fact, Look()))}" for fact in found.facts]
    return "\n".join([*lines, "", *markdown_table(*part_table(found), left=(0, 1))])


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


def diff_rows(found: Comparison) -> tuple[list[str], list[list[object]]]:
    """A row per part, in bytes, for CSV."""
    rows: list[list[object]] = [
        [p.device, p.part, p.a_bytes, p.b_bytes, p.difference_bytes] for p in found.parts
    ]
    return ["device", "part", "a_bytes", "b_bytes", "difference_bytes"], rows
