"""Cells of a terminal to draw on: braille dots where there is Unicode, ASCII where not, characters over both."""

from __future__ import annotations

from dataclasses import dataclass, field

from budget.render.lines import Look, Span

_BRAILLE = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bit of each dot of a braille cell, by row and column (Unicode block 2800)."""


@dataclass(slots=True)
class Canvas:
    """Cells of characters over cells of dots."""

    width: int
    height: int
    dots: dict[tuple[int, int], int] = field(default_factory=dict)
    styles: dict[tuple[int, int], list[str]] = field(default_factory=dict)
    """Of every line through the cell."""
    chars: dict[tuple[int, int], Span] = field(default_factory=dict)

    def dot(self, x: int, y: int, style: str) -> None:
        """Set the dot at column `x` of `2 * width` and row `y` of `4 * height`, from the top."""
        cell = (x // 2, y // 4)
        self.dots[cell] = self.dots.get(cell, 0) | _BRAILLE[y % 4][x % 2]
        styles = self.styles.setdefault(cell, [])
        if style not in styles:
            styles.append(style)

    def is_free(self, x: int, y: int, n: int) -> bool:
        """Whether `n` cells from there on, and one beside them at each end, hold nothing."""
        if not (x >= 0 and x + n <= self.width and 0 <= y < self.height):
            return False
        return not any((x + i, y) in self.chars or (x + i, y) in self.dots for i in range(-1, n + 1))

    def write(self, x: int, y: int, text: str, style: str) -> None:
        """Put `text` there."""
        for i, char in enumerate(text):
            self.chars[x + i, y] = (char, style)

    def put(self, x: int, y: int, char: str, style: str, *, reach: int) -> bool:
        """Put one character there, or beside what stands there already; whether it found room."""
        for away in range(reach + 1):
            for at in (x + away, x - away):
                if 0 <= at < self.width and (at, y) not in self.chars:
                    self.chars[at, y] = (char, style)
                    return True
        return False

    def row(self, y: int, empty: Span, look: Look) -> list[Span]:
        """The cells of one row; `empty` fills those that hold nothing."""
        return [self._cell((x, y), empty, look) for x in range(self.width)]

    def _cell(self, cell: tuple[int, int], empty: Span, look: Look) -> Span:
        if cell in self.chars:
            return self.chars[cell]
        if cell in self.dots:
            # lines that lie on each other are striped
            styles = self.styles[cell]
            return (chr(0x2800 + self.dots[cell]) if look.unicode else "."), styles[cell[0] % len(styles)]
        return empty
