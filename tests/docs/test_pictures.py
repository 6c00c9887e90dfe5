"""Pictures of a terminal: each character in its cell, in its colour, and nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

import generated
from generate import pictures
from generate.pictures import cells, svg

PICTURES = Path(__file__).parent.parent.parent / "docs" / "pictures"
SCREEN = "a\n  \x1b[1;31mno fit\x1b[0m \x1b[34m█░\x1b[2m·\x1b[0m <&>\n"


def test_every_character_stands_in_its_column_and_line():
    found = {(line, column): char for line, column, char, _ in cells(svg(SCREEN))}
    assert found == {
        (0, 0): "a",
        **{(1, 2 + i): char for i, char in enumerate("no fit █░· <&>") if char != " "},
    }


def test_every_character_has_its_look():
    looks = {char: look for _, _, char, look in cells(svg(SCREEN))}
    assert looks["n"] == looks["f"]
    assert "bold" in looks["n"]
    assert len({looks[char] for char in "an█·"}) == 4


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(SCREEN.replace("[1;31m", "[1;36m"), id="colour"),
        pytest.param(SCREEN.replace("[1;31m", "[31m"), id="weight"),
        pytest.param(SCREEN.replace("\x1b[2m·", "·"), id="dim"),
        pytest.param(SCREEN.replace("  \x1b[1", " \x1b[1"), id="column"),
        pytest.param("b\n" + SCREEN, id="line"),
        pytest.param(SCREEN.replace("a\n", "a\n\n"), id="empty-line"),
        pytest.param(SCREEN.replace("█░", "█▒"), id="shade"),
        pytest.param(SCREEN.replace("no fit", "no fits"), id="text"),
    ],
)
def test_a_picture_of_another_screen_is_stale(other, tmp_path):
    path = tmp_path / "fit.svg"
    path.write_text(svg(SCREEN))
    assert generated.is_fresh(path, svg(SCREEN))
    assert not generated.is_fresh(path, svg(other))


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
    assert cells(svg(same)) == cells(svg(SCREEN))


@pytest.mark.parametrize("name", pictures.COMMANDS)
def test_a_picture_needs_no_network(name):
    text = (PICTURES / name).read_text()
    assert text.replace("http://www.w3.org/2000/svg", "").count("http") == 0
    assert "@font-face" not in text
    assert "@import" not in text
