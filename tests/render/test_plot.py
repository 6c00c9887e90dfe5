"""Plots in text: points where they belong, lines between, the limit, the mark."""

from __future__ import annotations

from itertools import pairwise

import pytest

from budget.render.lines import Look, to_text
from budget.render.plot import Chart, Curve, between, plot

LINE = Curve(name="f16", points=((0, 0.0), (10, 10.0)))
CHART = Chart(title="CUDA0", curves=(LINE,), limit=5.0, limit_name="may use 5", ticks=((0, "0"), (10, "10")))


def drawn(chart=CHART, **look):
    return to_text(plot(chart, Look(**look))).splitlines()


def test_points_lie_in_the_corners_and_the_line_rises_between():
    lines = drawn(width=40, unicode=False)
    rows = [line.partition("+" if "+" in line[:5] else "|")[2] for line in lines[:14]]
    assert rows[0].rstrip().endswith("o")
    assert rows[-1].startswith("o")
    heights = [row.rindex(".") for row in rows[1:-1]]
    assert heights == sorted(heights, reverse=True)


def test_the_limit_is_a_line_at_its_height_with_its_name():
    lines = drawn(width=40, unicode=False)
    at = next(i for i, line in enumerate(lines) if "-----" in line)
    # 5 of 10.6, in 14 rows from the bottom
    assert at == 13 - int(5 / 10.6 * 14)
    assert "may use 5" in lines[at - 1]


@pytest.mark.parametrize("width", [40, 80, 120, 300])
def test_a_plot_is_never_wider_than_it_may_be(width):
    assert max(map(len, drawn(width=width))) <= min(width, 110)


def test_ascii_where_there_is_no_unicode_braille_where_there_is():
    assert "".join(drawn(unicode=False)).isascii()
    assert any("\u2800" <= c <= "\u28ff" for c in "".join(drawn()))


def test_the_best_point_is_marked_and_named():
    best = Curve(name="", points=LINE.points, best=(5, 5.0, "5,000"))
    text = "\n".join(drawn(Chart(title="x", curves=(best,))))
    assert "★" in text
    assert "5,000" in text


def test_a_best_point_outside_the_axis_is_not_drawn():
    best = Curve(name="", points=LINE.points, best=(50, 5.0, "50"))
    assert "★" not in "\n".join(drawn(Chart(title="x", curves=(best,))))


def test_doublings_are_equally_far_apart():
    ticks = ((4096, "4k"), (8192, "8k"), (16384, "16k"), (32768, "32k"))
    curve = Curve(name="", points=tuple((x, 1.0) for x, _ in ticks))
    axis = drawn(Chart(title="x", curves=(curve,), ticks=ticks))[-2]
    at = [i for i, c in enumerate(axis) if c == "┴"]
    assert {b - a for a, b in pairwise(at)} <= {25, 24, 23}


def test_a_line_through_points_is_straight_between_them():
    assert between(((0, 0.0), (4, 8.0), (8, 8.0)), 1) == 2.0
    assert between(((0, 0.0), (4, 8.0), (8, 8.0)), 6) == 8.0
    assert between(((0, 0.0), (4, 8.0)), 5) is None


def test_nothing_to_draw_is_no_plot():
    assert plot(Chart(title="x", curves=(Curve(name="", points=()),)), Look()) == []
