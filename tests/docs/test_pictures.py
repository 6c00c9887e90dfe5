"""Pictures of a terminal: each character in its cell, in its colour, and nothing from elsewhere."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import generated
from generate import pictures
from generate.glyphs import shape
from generate.pictures import COLOURS, TEXT, svg

PICTURES = Path(__file__).parent.parent.parent / "docs" / "pictures"
SCREEN = "a\n  \x1b[1;31mno fit\x1b[0m \x1b[34m█░\x1b[2m·\x1b[0m <&>\n"
SVG = "{http://www.w3.org/2000/svg}"


def elements(text, name):
    return list(ET.fromstring(text).iter(SVG + name))


def test_every_word_stands_in_its_columns_and_line_and_has_its_colour():
    words = [
        (e.text, e.get("x"), e.get("y"), e.get("fill"), e.get("class"))
        for e in elements(svg("x", SCREEN), "text")
    ]
    assert words == [
        ("a", "18", "62", TEXT, None),
        ("no", "42", "86", COLOURS[1], "b"),
        ("fit", "78", "86", COLOURS[1], "b"),
        ("<&>", "174", "86", TEXT, None),
    ]


def test_every_word_is_as_wide_as_its_columns_whatever_the_font():
    assert [e.get("textLength") for e in elements(svg("x", SCREEN), "text")] == ["12", "24", "36", "36"]


def test_shapes_stand_in_their_columns_and_have_their_colours():
    blocks, dot = elements(svg("x", SCREEN), "g")[1:]
    assert [p.get("transform") for p in blocks] == ["translate(126 68)", "translate(138 68)"]
    assert (blocks.get("fill"), blocks.get("class")) == (COLOURS[4], None)
    assert [p.get("transform") for p in dot] == ["translate(150 68)"]
    assert (dot.get("fill"), dot.get("class")) == (COLOURS[4], "d")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(SCREEN.replace("[1;31m", "[1;36m"), id="colour"),
        pytest.param(SCREEN.replace("[1;31m", "[31m"), id="weight"),
        pytest.param(SCREEN.replace("[2m·", "·"), id="dim"),
        pytest.param(SCREEN.replace("  \x1b[1", " \x1b[1"), id="column"),
        pytest.param("\n" + SCREEN, id="line"),
        pytest.param(SCREEN.replace("█░", "█▒"), id="shade"),
        pytest.param(SCREEN.replace("no fit", "no fits"), id="text"),
    ],
)
def test_a_screen_that_differs_is_another_picture(other):
    assert other != SCREEN
    assert svg("x", other) != svg("x", SCREEN)


@pytest.mark.parametrize(
    "same",
    [
        pytest.param(SCREEN.replace("[1;31m", "[1m\x1b[31m"), id="two-sequences-for-one"),
        pytest.param(SCREEN.replace("no fit", "no\x1b[0m\x1b[1;31m fit"), id="a-run-in-two-pieces"),
        pytest.param(SCREEN.replace("a\n", "a   \x1b[0m\n"), id="spaces-at-the-end"),
    ],
)
def test_how_a_screen_was_written_does_not_show(same):
    assert same != SCREEN
    assert svg("x", same) == svg("x", SCREEN)


def test_a_look_that_cannot_be_drawn_is_an_error():
    with pytest.raises(ValueError, match=r"\[7m"):
        svg("x", "\x1b[7minverse")


@pytest.mark.parametrize("name", pictures.COMMANDS)
def test_a_picture_needs_no_network_and_no_font_with_shapes(name):
    text = (PICTURES / name).read_text()
    assert text.replace(SVG[1:-1], "").count("http") == 0
    assert "url(" not in text
    assert "@import" not in text
    strange = {char for word in elements(text, "text") for char in word.text if not char.isascii()}
    assert not strange


def test_every_block_line_and_dot_is_a_shape():
    assert all(shape(char) for char in "█▓▒░▏▉─│┃└┘┌┐┤├┴┬┼╌·●◆★⠁⣿")
    assert not shape("x")
    for char in "█▓▒░▏▉─│┃└┘┌┐┤├┴┬┼╌·●◆★⠁⣿":
        ET.fromstring(shape(char))


def test_a_picture_of_another_colour_is_stale(tmp_path):
    path = tmp_path / "fit.svg"
    text = (PICTURES / "fit.svg").read_text()
    path.write_text(text)
    assert generated.is_fresh(path, text)
    assert not generated.is_fresh(path, text.replace(COLOURS[6], COLOURS[1]))
