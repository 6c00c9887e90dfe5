"""What was meant."""

from __future__ import annotations

import pytest

from budget.nearest import did_you_mean, nearest, one_of

OPTIONS = ("--ctx-size", "-ctxcp", "--ctx-checkpoints", "--cache-type-k", "--gpu", "--ram", "-q", "--quiet")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        pytest.param("--ctx", ["--ctx-size", "--ctx-checkpoints"], id="begins-alike-shortest-first"),
        pytest.param("--CTX-SIZE", ["--ctx-size"], id="case"),
        pytest.param("--ctx-sise", ["--ctx-size"], id="spelled-alike"),
        pytest.param("--frobnicate", [], id="nothing-near"),
        pytest.param("-q", ["-q"], id="itself"),
        pytest.param("--", [], id="dashes-begin-everything"),
    ],
)
def test_nearest(word, expected):
    assert nearest(word, OPTIONS) == expected


def test_a_word_that_is_there_twice_is_named_once():
    assert nearest("q4", ["Q4_0", "Q4_0", "Q4_K_M"]) == ["Q4_0", "Q4_K_M"]


def test_the_sentence():
    assert did_you_mean(["a", "b"], "see c") == "did you mean a or b? see c"
    assert did_you_mean([], "see c") == "see c"


def test_a_short_list_is_shown_whole():
    assert one_of("modle", ("model", "fits"), "keys") == "did you mean model? keys: model, fits"
    assert one_of("colour", ("model", "fits"), "keys") == "keys: model, fits"
