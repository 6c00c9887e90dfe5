"""Pictures of sweeps: every line its own look, every label its own place, equal bytes for equal sweeps."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

import pytest

from budget.planning.sweep import sweep
from plans import described, machine, request

pytest.importorskip("matplotlib")

from budget.render import figure, figure_look

SVG = "{http://www.w3.org/2000/svg}"
CTX = {"ctx": (4096, 8192, 16384, 32768)}


def found(axes=None, on=None, **options):
    return sweep(request(described(**options), on or machine(24, ram_gib=64)), axes or CTX)


def texts(svg):
    """What is written in a picture, with the place of each."""
    root = ElementTree.fromstring(svg)
    return [text for node in root.iter(f"{SVG}text") if (text := "".join(node.itertext()).strip())]


def drawn(found):
    """The figure before it is a file."""
    return figure.draw(found, "m.gguf", figure_look.LIGHT)


def test_no_two_lines_have_the_same_look():
    looks = [figure_look.line_style(i) for i in range(figure_look.MAX_LINES)]
    assert len({(look["color"], str(look["linestyle"])) for look in looks}) == figure_look.MAX_LINES
    assert all(a["color"] != b["color"] and a["marker"] != b["marker"] for a, b in pairwise(looks))


@pytest.mark.parametrize("back", [figure_look.LIGHT["back"], figure_look.DARK["back"]])
@pytest.mark.parametrize("color", figure_look.COLORS)
def test_every_colour_stands_out_from_both_backgrounds(color, back):
    # WCAG 2.2, success criterion 1.4.11, asks for 3; markers and dashes tell lines apart as well, so 2 will do
    assert contrast(color, back) >= 2


@pytest.mark.parametrize("look", [figure_look.LIGHT, figure_look.DARK])
@pytest.mark.parametrize("part", ["text", "limit"])
def test_letters_can_be_read_on_their_background(look, part):
    assert contrast(look[part], look["back"]) >= 4.5


def contrast(a, b):
    """WCAG 2.2, contrast ratio."""
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(color):
    values = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(
    "axes",
    [
        pytest.param(CTX, id="one-line"),
        pytest.param(
            {**CTX, "kv": ("f16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "bf16", "f32")}, id="eight"
        ),
        pytest.param({"ctx": (4096,)}, id="one-point"),
        pytest.param({"ctx": tuple(range(1024, 32769, 1024))}, id="many-ticks"),
        pytest.param({"np": (1, 2, 3, 4, 5, 6, 7, 8)}, id="slots"),
    ],
)
def test_nothing_that_is_written_lies_on_anything_else(axes):
    picture = drawn(found(axes))
    picture.draw_without_rendering()
    (ax,) = picture.axes
    inside = ax.get_window_extent()
    limits = [text.get_window_extent() for text in ax.texts]
    assert limits
    assert all(box.x0 >= inside.x1 for box in limits)
    legend = [box.get_window_extent() for box in picture.legends]
    assert all(box.y1 <= ax.xaxis.label.get_window_extent().y0 for box in legend)
    labels = [label.get_window_extent() for label in ax.get_xticklabels()]
    assert all(a.x1 < b.x0 for a, b in pairwise(labels))
    whole = picture.bbox
    assert all(whole.x0 <= box.x0 and box.x1 <= whole.x1 for box in (*limits, *legend, *labels))


def test_limits_close_to_each_other_have_names_above_each_other():
    (ax,) = (picture := drawn(found({"ctx": (4096, 8192)}, machine(12, 12.2, 12.4, ram_gib=64)))).axes
    picture.draw_without_rendering()
    boxes = sorted((text.get_window_extent() for text in ax.texts), key=lambda box: box.y0)
    assert len(boxes) >= 3
    assert all(a.y1 <= b.y0 for a, b in pairwise(boxes))


def test_a_single_point_has_its_tick_and_the_largest_context_a_star():
    written = texts(figure.picture(found({"ctx": (4096,)}, machine(16, ram_gib=64)), "m.gguf", "svg"))
    # 8 GiB of weights and 1 MiB per token: 16 GiB hold 8192
    assert {"4k", "8,192", "fits up to -c 8192"} <= set(written)
    assert "40960" not in " ".join(written)


def test_a_line_ends_with_its_points():
    (ax,) = drawn(found({"ctx": (4096, 8192)}, machine(30, ram_gib=64))).axes
    xs = [x for line in ax.lines for x in line.get_xdata() if x > 1]
    assert max(xs) == 8192


def test_a_line_below_another_is_wider():
    (ax,) = drawn(found({**CTX, "kv": ("f16", "bf16")}, kv_bytes_per_token=1 << 20)).axes
    first, second = [
        line for line in ax.lines if line.get_linestyle() != "None" and len(line.get_xdata()) > 9
    ]
    assert first.get_linewidth() > second.get_linewidth()


@pytest.mark.parametrize("form", ["svg", "png"])
def test_equal_sweeps_give_equal_bytes(form):
    assert figure.picture(found(), "m.gguf", form) == figure.picture(found(), "m.gguf", form)
