"""Lines of styled text: one layout for a terminal with colour, a terminal without, and a pipe."""

from __future__ import annotations

from collections.abc import Sequence

from budget.record import record
from budget.render.plain import table, wrap

Span = tuple[str, str]
"""Text and the name of its style, one of `budget.render.terminal.COLORS`; an empty name is plain."""
Line = tuple[Span, ...]


@record
class Look:
    """What the place where text ends up can show."""

    width: int = 80
    """Columns."""
    unicode: bool = True
    """False where only ASCII can be shown."""
    color: bool = False
    """Colours tell parts apart; without them their characters do."""


def plain(text: str, style: str = "") -> Line:
    """One line of one style."""
    return ((text, style),)


def wrapped(text: str, look: Look, style: str = "") -> list[Line]:
    """`text` in lines that fit, later ones indented."""
    return [plain(line, style) for line in wrap(text, look.width)]


def text_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, left: tuple[int, ...] = (0,)
) -> list[Line]:
    """An aligned table with a dim header."""
    head, *body = table(headers, rows, left=left)
    return [plain(head, "dim"), *(plain(line) for line in body)]


def to_text(lines: Sequence[Line]) -> str:
    """The lines without their styles."""
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines)


def ascii_only(text: str) -> str:
    """`text` with what people type where there is no Unicode; what is left over becomes `?`."""
    for fancy, simple in _ASCII:
        text = text.replace(fancy, simple)
    return text.encode("ascii", "replace").decode("ascii")


_ASCII = (("×", "x"), ("–", "-"), ("…", "..."), ("≥", ">="), ("≤", "<="), ("→", "->"))
