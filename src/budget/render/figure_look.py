"""How pictures look: colours that can be told apart, on light and on dark, and fonts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#808080")
"""Okabe and Ito's palette, which people who see fewer colours can tell apart; grey in place of its yellow and black,
of which one cannot be seen on white and the other on black."""
_MARKERS = ("o", "D", "s", "^", "v", "P", "X", "p", "h", "<", ">")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
MAX_LINES = len(COLORS) * len(_DASHES)
"""More lines would repeat a colour with its dashes."""
LIGHT: Mapping[str, str] = {"back": "#ffffff", "text": "#1f2328", "faint": "#d1d9e0", "limit": "#9a3b00"}
DARK: Mapping[str, str] = {"back": "#0d1117", "text": "#e6edf3", "faint": "#3d444d", "limit": "#ffa657"}
FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans CJK KR",
    "Noto Sans SC",
    "Noto Sans JP",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
    "PingFang SC",
    "PingFang HK",
    "Hiragino Sans",
    "Apple SD Gothic Neo",
    "Arial Unicode MS",
    "Microsoft YaHei",
    "SimSun",
    "Yu Gothic",
    "Meiryo",
    "Malgun Gothic",
    "Noto Sans Arabic",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Noto Emoji",
)
"""Tried in order for each letter, those that are installed."""


def line_style(index: int) -> dict[str, Any]:
    """Colour, marker and dashes of a line: no two lines have the same colour and dashes."""
    return {
        "color": COLORS[index % len(COLORS)],
        "marker": _MARKERS[index % len(_MARKERS)],
        "linestyle": _DASHES[index // len(COLORS) % len(_DASHES)],
    }
