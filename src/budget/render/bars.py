"""A bar per device: what it holds, part by part, against what it may hold."""

from __future__ import annotations

from collections.abc import Sequence

from budget.planning.parts import KINDS, Row, unlimited
from budget.render.lines import Line, Look, Span, joined
from budget.render.words import gib

NAMES = {
    "weights": "weights", "kv": "K/V", "state": "state", "compute": "compute", "output": "output",
    "extras": "extras", "overhead": "overhead", "reserve": "reserve",
}  # fmt: skip
"""What people read for each part."""
_STYLE = {"output": "compute", "extras": "weights", "reserve": "dim"}
"""Parts that share another's colour."""
_SHADES = {
    "weights": "█", "kv": "▓", "state": "▚", "compute": "▒", "output": "▞", "extras": "▉", "overhead": "░",
    "reserve": "/",
}  # fmt: skip
_LETTERS = {
    "weights": "#", "kv": "k", "state": "s", "compute": "c", "output": "u", "extras": "x", "overhead": "o",
    "reserve": "/",
}  # fmt: skip
_SOLID = "█"
_MAX_CELLS = 60
"""A wider bar says no more."""


def bars(rows: Sequence[Row], look: Look) -> list[Line]:
    """A line per row, and the legend of the parts that occur."""
    names = max(len(r.name) for r in rows)
    words = [_numbers(row, rows) for row in rows]
    marks = [_mark(row) for row in rows]
    width = look.width - names - max(map(len, words)) - max(len(text) for text, _ in marks) - 6
    width = max(10, min(width, _MAX_CELLS))
    scale = max((row.required_bytes for row in rows if not isinstance(row.available, int)), default=0)
    lines: list[Line] = []
    drawn: set[str] = set()
    for row, text, mark in zip(rows, words, marks, strict=True):
        kinds = _kinds(row, width, _scale(row) if isinstance(row.available, int) else scale)
        drawn.update(kinds)
        spans = _bar(row, kinds, width, look)
        lines.append(((f"{row.name.ljust(names)}  ", "bold"), *spans, (f"  {text}  ", ""), mark))
    return [*lines, *_legend(rows, drawn, names, look)]


def _mark(row: Row) -> Span:
    if unlimited(row) or (row.fits is None and not row.required_bytes):
        return "", ""
    return {True: ("ok", "good"), False: ("SHORT", "bad"), None: ("?", "warn")}[row.fits]


def _numbers(row: Row, rows: Sequence[Row]) -> str:
    """`7.00 of 8.00 GiB`, aligned over all rows."""
    need = max(len(gib(r.required_bytes)) for r in rows)
    caps = [gib(r.available) for r in rows if isinstance(r.available, int)]
    cap = max(map(len, caps), default=0)
    text = gib(row.required_bytes).rjust(need)
    if isinstance(row.available, int):
        return f"{text} of {gib(row.available).rjust(cap)} GiB"
    rest = "no limit" if unlimited(row) else "unknown"
    return (f"{text} GiB, {rest}").ljust(need + cap + 8 if caps else 0)


def _kinds(row: Row, width: int, scale: int) -> list[str]:
    """The kind of each cell that something fills, of `width` cells for `scale` bytes.

    A cell that several small parts fill together is the largest one's.
    """
    kinds: list[str] = []
    together: dict[str, int] = {}
    seen = 0
    for kind in KINDS:
        seen += row.parts[kind]
        together[kind] = row.parts[kind]
        n_more = _column(seen, scale or 1, width) - len(kinds)
        if n_more:
            kinds += [max(together, key=lambda k: together[k]), *[kind] * (n_more - 1)]
            together = {}
    return kinds


def _bar(row: Row, kinds: Sequence[str], width: int, look: Look) -> list[Span]:
    cap = row.available if isinstance(row.available, int) else None
    cells = [_cell(kind, look) for kind in kinds]
    if cap is None or not row.required_bytes > cap:
        free = "·" if look.unicode else "."
        cells += [(free if cap is not None else " ", "dim")] * (width - len(cells))
    else:
        at = min(_column(cap, row.required_bytes, width), width - 1)
        # what is beyond the edge does not fit
        cells[at] = ("┃" if look.unicode else "|", "bold")
    return joined(cells)


def _column(size_bytes: int, whole_bytes: int, width: int) -> int:
    return (2 * size_bytes * width + whole_bytes) // (2 * whole_bytes)


def _cell(kind: str, look: Look) -> Span:
    style = _STYLE.get(kind, kind)
    if look.unicode:
        return (_SOLID if look.color and kind != "reserve" else _SHADES[kind]), style
    return _LETTERS[kind], style


def _legend(rows: Sequence[Row], drawn: set[str], indent: int, look: Look) -> list[Line]:
    """What each character or colour that was drawn means."""
    entries: list[Line] = [(_cell(kind, look), (f" {NAMES[kind]}", "")) for kind in KINDS if kind in drawn]
    if any(isinstance(row.available, int) for row in rows):
        entries.append((("·" if look.unicode else ".", "dim"), (" free", "")))
    if any(row.fits is False for row in rows):
        entries.append((("┃" if look.unicode else "|", "bold"), (" limit", "")))
    margin = " " * (indent + 2)
    lines: list[Line] = []
    width = look.width
    for entry in entries:
        size = sum(len(text) for text, _ in entry)
        if not lines or width + 2 + size > look.width:
            lines.append(((margin, ""), *entry))
            width = len(margin) + size
        else:
            lines[-1] = (*lines[-1], ("  ", ""), *entry)
            width += 2 + size
    return lines


def _scale(row: Row) -> int:
    return max(row.required_bytes, row.available if isinstance(row.available, int) else 0)
