"""GitHub's Markdown: for job summaries, comments and notes."""

from __future__ import annotations

from collections.abc import Sequence

from budget.planning.fit import Plan
from budget.planning.parts import rows_of
from budget.render.plain import shortfall_lines
from budget.render.table import VERDICT, buffer_table, notes_of, part_table, question_line
from budget.units import format_count

_WIDE = 10_000
"""Columns: a Markdown table may be as wide as it likes."""


def fit_markdown(answer: Plan, *, name: str, max_ctx: int | None, buffers: bool) -> str:
    """The screen of `budget fit`."""
    lines = [f"**{VERDICT[answer.verdict]}**: {code(name)}", "", question_line(answer), ""]
    lines += markdown_table(*part_table(rows_of(answer), _WIDE))
    if buffers:
        lines += ["", *markdown_table(*buffer_table(answer))]
    facts = [*shortfall_lines(answer)]
    if max_ctx is not None:
        facts.append(f"Largest context that fits: {format_count(max_ctx)} tokens (`-c {max_ctx}`)")
    facts += [f"Note: {note}" for note in notes_of(answer)]
    return "\n".join([*lines, "", *(f"- {escape(fact)}" for fact in facts)])


def markdown_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, left: tuple[int, ...] = (0,)
) -> list[str]:
    """A pipe table: columns numbered in `left` to the left, the rest to the right."""
    rule = [":---" if i in left else "---:" for i in range(len(headers))]
    cells = [[escape(cell.strip()) for cell in row] for row in (headers, *rows)]
    return [f"| {' | '.join(row)} |" for row in (cells[0], rule, *cells[1:])]


def code(text: str) -> str:
    """`text` as code, whatever backticks it holds."""
    fence = "`"
    while fence in text:
        fence += "`"
    edge = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{edge}{text}{edge}{fence}"


def escape(text: str) -> str:
    """`text` so that it cannot end a cell or a line."""
    return text.replace("|", "\\|").replace("\r", " ").replace("\n", " ").replace("<", "&lt;")
