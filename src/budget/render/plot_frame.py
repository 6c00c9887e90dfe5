"""What stands around a plot in text: the y axis, the x axis, the key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from budget.render.canvas import Canvas
from budget.render.chart import Chart, Limit
from budget.render.lines import Line, Look, Span, columns, joined
from budget.render.plot_marks import marker, series_style, star
from budget.render.scale import Scale, spread


def framed(
    canvas: Canvas, scale: Scale, labels: Mapping[float, str], rules: set[int], left: int, look: Look
) -> list[Line]:
    """The rows of the canvas beside the y axis.

    Args:
        labels: values of the y axis that have one.
        rules: rows where a limit runs.
        left: columns that the labels take.
    """
    tick, edge = ("┤", "│") if look.unicode else ("+", "|")
    named = {scale.row(value, canvas.height): label for value, label in labels.items()}
    lines: list[Line] = []
    for y in range(canvas.height):
        rule = (_rule(look), "bad") if y in rules else (" ", "")
        head = f"{named.get(y, '').rjust(left)}{tick if y in named else edge}"
        lines.append(((head, "dim"), *joined(canvas.row(y, rule, look))))
    return lines


def _rule(look: Look) -> str:
    return "╌" if look.unicode else "-"


def x_axis(chart: Chart, scale: Scale, left: int, look: Look) -> list[Line]:
    """The x axis: its ticks, and the labels that have room."""
    corner, rule, tick = ("└", "─", "┴") if look.unicode else ("+", "-", "+")
    cells = [rule] * scale.width
    width = left + 1 + scale.width
    text = [" "] * width
    ticks = sorted((x, label) for x, label in chart.ticks if scale.low <= x <= scale.high)
    places = [(scale.column(x), label) for x, label in ticks]
    shown = spread([(left + 1 + column, label) for column, label in places], width)
    for i, at in shown:
        label = places[i][1]
        text[at : at + len(label)] = list(label)
    crowded = len(places) * 4 > scale.width
    for column, _ in (places[i] for i, _ in shown) if crowded else places:
        cells[column] = tick
    axis = f"{' ' * left}{corner}{''.join(cells)}"
    return [((axis, "dim"),), (("".join(text).rstrip(), "dim"),)]


def key(chart: Chart, unnamed: Sequence[Limit], look: Look) -> list[Line]:
    """What markers mean, and the limits that have no name in the plot; in as many lines as it takes."""
    entries: list[tuple[str, str, str]] = [
        (marker(index, look), series_style(index), curve.name)
        for index, curve in enumerate(chart.curves)
        if curve.name
    ]
    if chart.marked:
        entries.append((star(look), "", "largest that fits"))
    near = chart.near
    for limit in unnamed:
        entries.append((_rule(look) if limit in near else "", "bad", limit.name))
    return list(_filled(entries, look.width))


_INDENT, _BETWEEN_ENTRIES = "    ", "   "


def _filled(entries: Sequence[tuple[str, str, str]], width: int) -> Iterator[Line]:
    """Entries side by side, a new line where the next would be wider than the screen."""
    line: list[Span] = []
    used = 0
    for sign, style, name in entries:
        text = f" {name}" if sign else name
        n = len(sign) + columns(text)
        if line and used + len(_BETWEEN_ENTRIES) + n > width:
            yield tuple(line)
            line = []
        head = _BETWEEN_ENTRIES if line else _INDENT
        used = (used if line else 0) + len(head) + n
        line += [(head, ""), (sign, style), (text, "")]
    if line:
        yield tuple(line)
