"""Grids of plans: how axes are written, and what comes of each point."""

from __future__ import annotations

import pytest

from budget.errors import UsageError
from budget.planning.sweep import context_ladder, parse_axis, sweep
from plans import GiB, described, machine, request


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
        ("kv", "q80", "did you mean q8_0"),
        ("ctk", "f16,", "types"),
    ],
)
def test_an_axis_that_means_nothing_is_quoted(axis, text, hint):
    with pytest.raises(UsageError) as e:
        parse_axis(axis, text)
    assert f"--{axis} {text!r}" in e.value.message
    assert hint in e.value.hint


def test_the_ladder_ends_at_the_trained_context():
    assert context_ladder(40960) == (4096, 8192, 16384, 32768, 40960)
    assert context_ladder(2048) == (2048,)
    assert context_ladder(0)[-1] == 131072


def test_points_lie_in_their_series_and_the_largest_context_is_found():
    # 8 GiB of weights and 1 MiB per token of f16 K/V: 16 GiB hold 8192 tokens
    found = sweep(request(described(), machine(16)), {"ctx": (4096, 8192, 16384)})
    (series,) = found.series
    needs = [p.plan.devices[0].required_bytes for p in series.points]
    assert needs == [12 * GiB, 16 * GiB, 24 * GiB]
    assert [p.plan.verdict for p in series.points] == ["fits", "fits", "does_not_fit"]
    assert series.max_ctx == 8192


def test_every_combination_of_the_other_axes_is_a_series():
    found = sweep(request(described(), machine(64)), {"ctx": (4096,), "kv": ("f16", "q8_0"), "np": (1, 2)})
    assert [s.name for s in found.series] == [
        "kv f16, np 1",
        "kv f16, np 2",
        "kv q8_0, np 1",
        "kv q8_0, np 2",
    ]


def test_without_a_numeric_axis_contexts_are_swept():
    found = sweep(request(described(), machine(64)), {"kv": ("f16",)})
    assert found.axis == "ctx"
    assert found.axes["ctx"] == (4096, 8192, 16384, 32768)


def test_k_and_v_together_exclude_either_alone():
    with pytest.raises(UsageError, match="sets both"):
        sweep(request(described(), machine(16)), {"kv": ("f16",), "ctk": ("f16",)})


def test_a_grid_too_large_is_refused_before_it_starts():
    axes = {"ctx": tuple(range(4096, 4096 + 64)), "ngl": tuple(range(64))}
    with pytest.raises(UsageError, match="4096 points"):
        sweep(request(described(), machine(16)), axes)
