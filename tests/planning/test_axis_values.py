"""How the values of one axis are written."""

from __future__ import annotations

import pytest

from budget.errors import UsageError
from budget.planning.axis_values import context_ladder, parse_axis


@pytest.mark.parametrize(
    ("axis", "text", "values"),
    [
        ("ctx", "4k", (4096,)),
        ("ctx", "4k,8k,4k", (4096, 8192)),
        ("ctx", "4k..32k", (4096, 8192, 16384, 32768)),
        ("ctx", "4k..20k", (4096, 8192, 16384, 20480)),
        ("ctx", "8k..32k:8k", (8192, 16384, 24576, 32768)),
        ("ctx", "8k..20k:8k", (8192, 16384, 20480)),
        ("np", "1..8", (1, 2, 4, 8)),
        ("np", "1..4:1", (1, 2, 3, 4)),
        ("ub", "256..1024", (256, 512, 1024)),
        ("ctx", "8k..8k", (8192,)),
        ("ctx", "8k..64k:1m", (8192, 65536)),
        ("ngl", "0..4", (0, 1, 2, 3, 4)),
        ("ngl", "0..33:11,all", (0, 11, 22, 33, "all")),
        ("kv", "f16,q8_0", ("f16", "q8_0")),
    ],
)
def test_an_axis_is_written_as_a_list_a_doubling_or_steps(axis, text, values):
    assert parse_axis(axis, text) == values


@pytest.mark.parametrize(
    ("axis", "text", "hint"),
    [
        ("ctx", "", "doubling"),
        ("ctx", "many", "doubling"),
        ("ctx", "4k..", "doubling"),
        ("ctx", "8k..4k", "smaller one first"),
        ("ctx", "8k..64k:0", "8k..64k:8k"),
        ("ctx", "0", "doubling"),
        ("ctx", "1..100000:1", "larger steps"),
        ("ctx", "4k,9000000000", "at most 2,147,483,647"),
        ("ctx", "9" * 6000, "doubling"),
        ("np", "0", "1..16 (doubling)"),
        ("np", "1..512", "at most 256"),
        ("ub", "0", "256..2048 (doubling)"),
        ("ngl", "some", "0,16,all"),
        ("kv", "q80", "did you mean q8_0"),
        ("ctk", "f16,", "types"),
    ],
)
def test_an_axis_that_means_nothing_is_quoted(axis, text, hint):
    with pytest.raises(UsageError) as e:
        parse_axis(axis, text)
    assert f"--{axis} {text!r}" in e.value.message
    assert hint in e.value.hint


@pytest.mark.parametrize(
    ("text", "n_values"),
    [
        pytest.param("1..100000:1", "100,000", id="every-context"),
        pytest.param("1..2147483648:1", "2,147,483,648", id="more-than-memory-holds"),
        pytest.param(
            "1..99999999999999999999:1", "99,999,999,999,999,999,999", id="more-than-a-machine-word"
        ),
        pytest.param("1..100:1,4k", "101", id="a-list-with-a-range"),
        pytest.param("1..65:1", "65", id="one-too-many"),
        pytest.param(",".join(map(str, range(1, 71))), "70", id="a-list"),
    ],
)
def test_values_are_counted_before_they_are_built(text, n_values):
    with pytest.raises(UsageError) as e:
        parse_axis("ctx", text)
    assert e.value.message == f"--ctx {text!r}: {n_values} values, at most 64"


def test_values_given_twice_count_once():
    assert parse_axis("ctx", ",".join(["1..64:1", "1..64:1"])) == tuple(range(1, 65))


def test_the_ladder_ends_at_the_trained_context():
    assert context_ladder(40960) == (4096, 8192, 16384, 32768, 40960)
    assert context_ladder(2048) == (2048,)
    assert context_ladder(0)[-1] == 131072
