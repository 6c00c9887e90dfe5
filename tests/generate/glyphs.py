"""Characters that terminals draw themselves, as SVG shapes: fonts differ in their width, and many lack them."""

from __future__ import annotations

import math

WIDTH, HEIGHT = 12, 24
"""A cell of the terminal, pixels."""
_SHADES = {"█": 1.0, "▓": 0.75, "▒": 0.5, "░": 0.25}
_LEFT_EIGHTHS = "▏▎▍▌▋▊▉"
_ARMS = {"─": "lr", "│": "ud", "┃": "ud", "└": "ur", "┘": "ul", "┌": "dr", "┐": "dl", "┤": "udl", "├": "udr",
         "┴": "lru", "┬": "lrd", "┼": "lrud"}  # fmt: skip
_ENDS = {"l": "H0", "r": f"H{WIDTH}", "u": "V0", "d": f"V{HEIGHT}"}
_MIDDLE = f"M{WIDTH // 2} {HEIGHT // 2}"
_DOTS = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))
"""Column and row of the dots of a braille character, in the order of its bits."""


def shape(char: str) -> str | None:
    """The SVG of one character in a cell that starts at 0, 0, to be filled; None for one that a font writes."""
    if char in _SHADES:
        opacity = "" if char == "█" else f' opacity="{_SHADES[char]:g}"'
        return f'<path d="M0 3H{WIDTH}V21H0z"{opacity}/>'
    if char in _LEFT_EIGHTHS:
        return f'<path d="M0 3H{WIDTH * (_LEFT_EIGHTHS.index(char) + 1) / 8:g}V21H0z"/>'
    if char in _ARMS:
        lines = "".join(f"{_MIDDLE}{_ENDS[arm]}" for arm in _ARMS[char])
        return f'<path class="line" stroke-width="{4 if char == "┃" else 2}" d="{lines}"/>'
    if char == "╌":
        return f'<path class="line" stroke-width="2" d="M1 {HEIGHT // 2}H5M7 {HEIGHT // 2}H11"/>'
    if "⠀" < char <= "⣿":
        return f'<path d="{"".join(map(_dot, _raised(char)))}"/>'
    if char == "·":
        return f'<circle cx="{WIDTH // 2}" cy="{HEIGHT // 2}" r="1.5"/>'
    if char == "●":
        return f'<circle cx="{WIDTH // 2}" cy="{HEIGHT // 2}" r="5"/>'
    if char == "◆":
        return '<path d="M6 6L12 12L6 18L0 12z"/>'
    return f'<path d="{_star()}"/>' if char == "★" else None


def _raised(char: str) -> list[tuple[int, int]]:
    bits = ord(char) - 0x2800
    return [dot for i, dot in enumerate(_DOTS) if bits >> i & 1]


def _dot(at: tuple[int, int]) -> str:
    return f"M{at[0] * 6 + 1.5:g} {at[1] * 6 + 1.5:g}h3v3h-3z"


def _star() -> str:
    points = []
    for i in range(10):
        radius, angle = (7 if i % 2 == 0 else 2.8), math.pi * i / 5
        points.append(f"{6 + radius * math.sin(angle):.1f} {12 - radius * math.cos(angle):.1f}")
    return f"M{'L'.join(points)}z"
