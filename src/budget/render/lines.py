"""Lines of styled text: one layout for a terminal with colour, a terminal without, and a pipe."""

from __future__ import annotations

from collections.abc import Sequence

from budget.record import record

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


def columns(text: str) -> int:
    """Columns of a terminal that `text` takes: wide characters take two, combining ones none."""
    if (
        text.isascii()
        or max(text) < _FIRST_COMBINING
        or all(c in _DRAWN for c in text if c >= _FIRST_COMBINING)
    ):
        return len(text)
    from rich.cells import cell_len  # loaded for such names alone

    return cell_len(text)


_FIRST_COMBINING = "\u0300"
"""Every character before this one takes one column (Unicode, East Asian Width and general category Mn)."""
_DRAWN = "–—…≥≤→×█▓▒░▚▞▉·┃─★●◆■▲▼○"
"""What budget itself writes, each in one column."""


def printable(text: str) -> str:
    """`text` without what a terminal acts on: names come from files, and files from anywhere."""
    return text if text.isprintable() else text.translate(_ACTED_ON)


_ACTED_ON = {
    code: "\N{REPLACEMENT CHARACTER}"
    for first, last in ((0x00, 0x1F), (0x7F, 0x9F), (0x2028, 0x202E), (0x2066, 0x2069))
    for code in range(first, last + 1)
}
"""Control characters, line separators, and those that turn the direction of writing (Unicode, UAX #9)."""


def wrap(text: str, width: int, *, indent: str = "  ") -> list[str]:
    """`text` in lines of at most `width` columns, later ones indented; a longer word has a line of its own."""
    lines: list[str] = []
    for word in text.split():
        if lines and columns(lines[-1]) + 1 + columns(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(f"{indent}{word}" if lines else word)
    return lines


def joined(cells: Sequence[Span]) -> list[Span]:
    """Neighbours of one style as one span."""
    spans: list[Span] = []
    for text, style in cells:
        if spans and spans[-1][1] == style:
            spans[-1] = (spans[-1][0] + text, style)
        else:
            spans.append((text, style))
    return spans


def to_text(lines: Sequence[Line]) -> str:
    """The lines without their styles."""
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines)


def ascii_only(text: str) -> str:
    """`text` with what people type where there is no Unicode; what is left over becomes `?`."""
    for fancy, simple in _ASCII:
        text = text.replace(fancy, simple)
    return text.encode("ascii", "replace").decode("ascii")


_ASCII = (("×", "x"), ("–", "-"), ("…", "..."), ("≥", ">="), ("≤", "<="), ("→", "->"))
