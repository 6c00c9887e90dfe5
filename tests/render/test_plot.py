"""Plots in text: points where they belong, lines between, the limit, the mark."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from budget.render.chart import Chart, Curve, Limit
from budget.render.lines import Look, to_text
from budget.render.plot import plot
from budget.render.plot_marks import MARKERS, MARKERS_ASCII, MAX_CURVES, series_style

LINE = Curve(name="f16", points=((0, 0.0), (10, 10.0)))
TICKS = ((0, "0"), (10, "10"))
CHART = Chart(title="CUDA0", curves=(LINE,), limits=(Limit(value=5.0, name="may use 5"),), ticks=TICKS)
WIDTHS = (40, 60, 80, 120, 200)


def drawn(chart=CHART, **look):
    return to_text(plot(chart, Look(**look))).splitlines()


def test_points_lie_in_the_corners_and_the_line_rises_between():
    lines = drawn(width=40, unicode=False)
    rows = [line.partition("+" if "+" in line[:9] else "|")[2] for line in lines[:14]]
    assert rows[0].rstrip().endswith("o")
    assert rows[-1].startswith("o")
    heights = [row.rindex(".") for row in rows[1:-1]]
    assert heights == sorted(heights, reverse=True)


def test_the_limit_is_a_line_at_its_height_with_its_name():
    lines = drawn(width=40, unicode=False)
    at = next(i for i, line in enumerate(lines) if "-----" in line)
    # 5 of 10.6, in 14 rows from the bottom
    assert at == 13 - int(5 / 10.6 * 14)
    assert "- may use 5 -" in lines[at]


@pytest.mark.parametrize("width", WIDTHS)
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
    assert {b - a for a, b in pairwise(at)} <= {22, 23}


def test_nothing_to_draw_is_no_plot():
    assert plot(Chart(title="x", curves=(Curve(name="", points=()),)), Look()) == []


def lines_of(n, *, same=False, best=None):
    """`n` lines over four doublings, from one place or on each other."""
    xs = (4096, 8192, 16384, 32768)
    return tuple(
        Curve(
            name=f"series {i}",
            points=tuple((x, 5.0 + x / 8192 * (1 if same else i)) for x in xs),
            best=None if best is None else (best, 5.0 + best / 8192 * (1 if same else i), f"{best:,}"),
        )
        for i in range(n)
    )


DOUBLINGS = ((4096, "4k"), (8192, "8k"), (16384, "16k"), (32768, "32k"))


def area(lines):
    """What is drawn inside the axes."""
    return "\n".join(line.partition("┤" if "┤" in line else "│")[2].ljust(200) for line in lines[:14])


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("same", [True, False], ids=["on-each-other", "apart"])
@pytest.mark.parametrize("n", [1, 2, 8])
def test_no_line_hides_the_markers_of_another(n, same, width):
    text = area(drawn(Chart(title="x", curves=lines_of(n, same=same), ticks=DOUBLINGS), width=width))
    # seven cells lie between two points of a plot 40 columns wide
    n_shown = {marker: text.count(marker) for marker in MARKERS[:n]}
    assert min(n_shown.values()) >= (4 if width > 40 else 1), n_shown


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("n", [1, 2, 8])
def test_stars_and_their_labels_do_not_collide(n, width):
    curves = lines_of(n, same=True, best=11008)
    text = area(drawn(Chart(title="x", curves=curves, ticks=DOUBLINGS), width=width))
    assert text.count("★") == n
    assert text.count("11,008") == 1


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("best", [(9000, 9001), (9000, 12000), (4096, 32768)])
def test_each_of_two_labels_is_whole(best, width):
    curves = tuple(
        Curve(name=str(i), points=((4096, 5.0 - i), (32768, 30.0 - i)), best=(x, 9.0, f"{x:,}"))
        for i, x in enumerate(best)
    )
    text = area(drawn(Chart(title="x", curves=curves, ticks=DOUBLINGS), width=width))
    found = re.findall(r"[\d,]+", text)
    assert len(found) == len(set(found))
    assert set(found) <= {f"{x:,}" for x in best}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("value", [0.1, 5.0, 9.9, 10.0, 12.0, 39.0])
def test_the_name_of_a_limit_lies_on_no_line(value, width):
    limit = Limit(value=value, name="may use 5.00 GiB")
    named, unnamed = (
        drawn(Chart(title="x", curves=lines_of(2, same=True), limits=(one,)), width=width)
        for one in (limit, Limit(value=value, name=""))
    )
    assert "\n".join(named).count(limit.name) == 1
    below = {old for new, old in zip(area(named), area(unnamed), strict=True) if new != old}
    assert below <= {" ", "╌"}


def test_a_limit_without_room_or_far_above_is_named_in_the_key():
    flat = Curve(name="", points=((0, 10.0), (10, 10.0)))
    far = Limit(value=100.0, name="may use 100.00 GiB")
    lines = drawn(Chart(title="x", curves=(flat,), limits=(far,)))
    assert lines[-1].strip() == far.name
    assert not any("╌" in line for line in lines)


def test_two_limits_have_a_line_and_a_name_each():
    limits = (Limit(value=4.0, name="CUDA0 may use 4"), Limit(value=8.0, name="CUDA1 may use 8"))
    lines = drawn(Chart(title="x", curves=lines_of(1), limits=limits))
    assert [line.count("╌") > 20 for line in lines].count(True) == 2
    assert all(sum(limit.name in line for line in lines) == 1 for limit in limits)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("n", [1, 7, 16, 64])
def test_labels_of_the_x_axis_never_touch_and_end_with_the_last(n, width):
    ticks = tuple((x, str(x)) for x in range(100, 100 + n))
    curve = Curve(name="", points=tuple((x, 1.0) for x, _ in ticks))
    labels = drawn(Chart(title="x", curves=(curve,), ticks=ticks), width=width)[15]
    shown = labels.split()
    assert {len(word) for word in shown} == {3}
    assert shown[0] == "100"
    assert shown[-1] == str(99 + n)
    assert len(labels) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_a_key_wider_than_the_screen_has_more_lines(width):
    lines = drawn(Chart(title="x", curves=lines_of(8), ticks=DOUBLINGS), width=width)
    assert max(map(len, lines)) <= width
    key = "\n".join(lines[16:])
    assert all(f"{marker} series {i}" in key for i, marker in enumerate(MARKERS[:8]))


def test_the_y_axis_has_units():
    assert drawn(unicode=False)[0].strip().startswith("10 GiB")
    chart = Chart(title="x", unit="MiB", curves=(Curve(name="", points=((0, 300.0), (1, 360.0))),))
    assert any("200 MiB" in line for line in drawn(chart))


def test_markers_tell_lines_apart_where_colours_repeat():
    assert len(set(MARKERS)) == len(MARKERS) == len(MARKERS_ASCII) == MAX_CURVES
    assert "".join(MARKERS_ASCII).isascii()
    assert not set(MARKERS_ASCII) & set("@.-|")
    assert len({(MARKERS[i], series_style(i)) for i in range(MAX_CURVES)}) == MAX_CURVES


def test_lines_on_each_other_show_both_colours():
    styles = {
        style for line in plot(Chart(title="x", curves=lines_of(2, same=True)), Look()) for _, style in line
    }
    assert {"series0", "series1"} <= styles


def test_more_lines_than_markers_are_no_plot():
    assert plot(Chart(title="x", curves=lines_of(MAX_CURVES)), Look())
    assert plot(Chart(title="x", curves=lines_of(MAX_CURVES + 1)), Look()) == []
