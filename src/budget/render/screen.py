"""A screen as blocks: written once, shown as lines here and as Markdown in `budget.render.markdown`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from budget.record import record
from budget.render.lines import Line, Look, Span, columns, plain, printable, wrap

Cell = str | Span
"""A cell of a table, with a style or without."""


@record(kw_only=False)
class Title:
    """What was found, and of what: `FITS: model.gguf`."""

    word: str
    style: str
    of: str = ""


@record(kw_only=False)
class Text:
    """A sentence, broken into lines where the screen is narrow; an empty one is a gap."""

    text: str
    style: str = ""


@record(kw_only=False)
class Command:
    """A line to paste: never broken."""

    text: str
    style: str = ""


@record(kw_only=False)
class Table:
    """Aligned columns. Where the screen is too narrow, `wrap` gives way; without it, the last columns move below."""

    headers: Sequence[str]
    """Empty: no header."""
    rows: Sequence[Sequence[Cell]]
    left: tuple[int, ...] = (0,)
    """Columns aligned to the left; the others are to the right."""
    wrap: int | None = None
    """The column of sentences, which is broken into lines."""
    indent: int = 0
    narrow: Table | None = None
    """What is shown instead where this is wider than the screen."""


@record(kw_only=False)
class Drawing:
    """Lines that only a screen can show: bars, a plot."""

    draw: Callable[[Look], Sequence[Line]]


Block = Title | Text | Command | Table | Drawing
GAP = Text("")

_LEAST = 24
"""Columns that a column of sentences keeps at least."""


def to_lines(blocks: Sequence[Block], look: Look) -> list[Line]:
    """The blocks as lines of at most `look.width` columns where single words and cells allow it."""
    lines: list[Line] = []
    for block in blocks:
        lines += [tuple((printable(text), style) for text, style in line) for line in _lines(block, look)]
    return lines


def _lines(block: Block, look: Look) -> Sequence[Line]:
    if isinstance(block, Title):
        return [((block.word, block.style), (f": {block.of}" if block.of else "", "bold"))]
    if isinstance(block, Text):
        return [plain(line, block.style) for line in wrap(block.text, look.width)] or [plain("")]
    if isinstance(block, Command):
        return [plain(block.text, block.style)]
    if isinstance(block, Table):
        return table_lines(block, look.width)
    return block.draw(look)


def table_lines(table: Table, width: int) -> list[Line]:
    """A table in at most `width` columns where its cells allow it."""
    header = [[(text, "dim") for text in table.headers]] if table.headers else []
    rows = [*header, *([_span(cell) for cell in row] for row in table.rows)]
    if not rows:
        return []
    widths = [max(columns(row[i][0]) for row in rows) for i in range(len(rows[0]))]
    room = width - table.indent
    if _total(widths) <= room:
        return [_line(row, widths, table) for row in rows]
    if table.narrow is not None:
        return table_lines(table.narrow, width)
    if table.wrap is not None:
        least = [min(w, max(room // 3, 1)) if i == 0 else w for i, w in enumerate(widths) if i != table.wrap]
        if _total([*least, _LEAST]) <= room or len(widths) == 2:
            return _wrapped(table, rows, widths, room)
    parts = _parts(widths, room)
    if len(parts) == 1:
        return [_line(row, widths, table) for row in rows]
    return [line for part in parts for line in table_lines(_part(table, part), width)]


def cell_text(cell: Cell) -> str:
    """A cell without its style, and without blanks around it."""
    return (cell if isinstance(cell, str) else cell[0]).strip()


def _span(cell: Cell) -> Span:
    text, style = (cell, "") if isinstance(cell, str) else cell
    return printable(text), style


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + 2 * (len(widths) - 1)


def _parts(widths: Sequence[int], room: int) -> list[list[int]]:
    """The columns of each table that it takes to show all of them, the first one in each."""
    parts: list[list[int]] = [[0]]
    for i in range(1, len(widths)):
        if len(parts[-1]) > 1 and _total([widths[j] for j in (*parts[-1], i)]) > room:
            parts.append([0])
        parts[-1].append(i)
    return parts


def _part(table: Table, part: Sequence[int]) -> Table:
    """Some columns of a table as one of its own."""
    return Table(
        headers=[table.headers[i] for i in part] if table.headers else (),
        rows=[[row[i] for i in part] for row in table.rows],
        left=tuple(n for n, i in enumerate(part) if i in table.left),
        wrap=part.index(table.wrap) if table.wrap in part else None,
        indent=table.indent,
    )


def _wrapped(table: Table, rows: Sequence[Sequence[Span]], widths: list[int], room: int) -> list[Line]:
    """With one column broken into lines; a first cell too long for its column has a line of its own."""
    at = table.wrap or 0
    others = [w for i, w in enumerate(widths) if i != at]
    if at and _total([*others, _LEAST]) > room:
        widths[0] = min(widths[0], max(room // 3, 1))
        others[0] = widths[0]
    widths[at] = max(_LEAST, room - _total(others) - 2) if others else room
    lines: list[Line] = []
    for row in rows:
        text, style = row[at]
        lead = " " * (len(text) - len(text.lstrip(" ")))
        first, *more = [lead + part for part in wrap(text, widths[at] - len(lead), indent="")] or [""]
        cells = [*row[:at], (first, style), *row[at + 1 :]]
        if at and columns(row[0][0]) > widths[0]:
            lines.append((*_indent(table), row[0]))
            cells[0] = ("", "")
        lines.append(_line(cells, widths, table))
        for part in more:
            lines.append(
                _line([(part, style) if i == at else ("", "") for i in range(len(row))], widths, table)
            )
    return lines


def _indent(table: Table) -> Line:
    return ((" " * table.indent, ""),) if table.indent else ()


def _line(row: Sequence[Span], widths: Sequence[int], table: Table) -> Line:
    spans: list[Span] = [*_indent(table)]
    for i, ((text, style), width) in enumerate(zip(row, widths, strict=True)):
        space = " " * max(width - columns(text), 0)
        gap = "  " if i else ""
        spans += (
            [(gap, ""), (text, style), (space, "")] if i in table.left else [(gap + space, ""), (text, style)]
        )
    return tuple(span for span in spans if span[0])
