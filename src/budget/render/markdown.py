"""A screen as GitHub's Markdown: for job summaries, comments and notes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from budget.render.lines import printable
from budget.render.screen import Block, Cell, Command, Table, Text, Title, cell_text


def to_markdown(blocks: Sequence[Block]) -> str:
    """The blocks without what only a screen can show; sentences that follow each other become a list."""
    parts: list[str] = []
    for kind, members in groupby(blocks, key=_kind):
        group = list(members)
        if kind is Text:
            texts = [escape(b.text) for b in group if isinstance(b, Text)]
            parts.append(texts[0] if len(texts) == 1 else "\n".join(f"- {text}" for text in texts))
        else:
            parts += [_part(block) for block in group]
    return "\n\n".join(part for part in parts if part)


def _kind(block: Block) -> object:
    """Sentences belong together until something else or a gap follows."""
    return None if isinstance(block, Text) and not block.text else type(block)


def _part(block: Block) -> str:
    if isinstance(block, Title):
        return f"**{escape(block.word)}**{f': {code(block.of)}' if block.of else ''}"
    if isinstance(block, Command):
        text = printable(block.text)
        fence = "```" if "```" not in text else "~~~~"
        return f"{fence}sh\n{text}\n{fence}"
    if isinstance(block, Table):
        return "\n".join(_table(block) if block.headers else map(_item, block.rows))
    return ""


def _item(row: Sequence[Cell]) -> str:
    """A row of a table without header: what it is about, and the rest."""
    first, *rest = (cell_text(cell) for cell in row)
    return f"- {code(first)}: {escape(' '.join(rest))}"


def _table(table: Table) -> list[str]:
    """A pipe table."""
    if not table.rows:
        return []
    rule = [":---" if i in table.left else "---:" for i in range(len(table.headers))]
    cells = [[escape(cell_text(cell)) for cell in row] for row in (table.headers, *table.rows)]
    return [f"| {' | '.join(row)} |" for row in (cells[0], rule, *cells[1:])]


def code(text: str) -> str:
    """`text` as code, whatever backticks it holds."""
    text, fence = printable(text), "`"
    while fence in text:
        fence += "`"
    edge = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{edge}{text}{edge}{fence}"


def escape(text: str) -> str:
    """`text` so that it cannot end a cell or a line."""
    on_one_line = printable(text.replace("\r", " ").replace("\n", " "))
    return on_one_line.replace("|", "\\|").replace("<", "&lt;")
