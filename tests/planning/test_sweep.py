"""Grids of plans: how axes are written, and what comes of each point."""

from __future__ import annotations

import pytest

from budget.errors import UsageError
from budget.planning.sweep import Series, check_axes, context_ladder, parse_axis, sweep
from budget.record import replace
from budget.units import MiB
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


@pytest.mark.parametrize("axis", ["ctk", "ctv"])
def test_k_and_v_together_exclude_either_alone(axis):
    with pytest.raises(UsageError, match=f"--kv sets both K and V types, so --{axis}") as e:
        sweep(request(described(), machine(16)), {"kv": ("f16",), axis: ("f16",)})
    assert "leave --kv away" in e.value.hint


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"ctx": range(64), "ngl": range(64)}, "4,096 points (64 of --ctx x 64 of --ngl), at most 2,048"),
        ({"ctx": range(2), "ngl": range(13), "ctk": range(9)}, "117 lines"),
        ({"ctk": range(9), "ctv": range(9)}, "81 lines (9 of --ctk x 9 of --ctv), at most 64"),
    ],
)
def test_a_grid_too_large_is_refused_before_it_starts(axes, message):
    with pytest.raises(UsageError) as e:
        check_axes(axes)
    assert e.value.message.startswith(message)


def the_series(on, axes, **options):
    (series,) = sweep(request(described(**options), on), axes).series
    return series


def test_where_nothing_fits_the_smallest_context_says_by_how_much():
    # 8 GiB of weights and 1 MiB per token: 256 tokens are the least there can be
    series = the_series(machine(4), {"ctx": (4096, 8192)})
    (short,) = series.nearest.failures
    assert (series.outcome, series.max_ctx) == ("does_not_fit", None)
    assert (short.device, short.short_bytes) == ("CUDA0", 4 * GiB + 256 * MiB)


def test_of_slots_that_do_not_fit_the_closest_is_known():
    series = the_series(machine(4), {"np": (1, 2)})
    assert series.outcome == "does_not_fit"
    assert series.nearest in [p.plan for p in series.points]


def test_memory_that_is_not_known_is_no_answer():
    series = the_series(unknown_machine(), {"ctx": (4096, 8192)})
    assert (series.outcome, series.max_ctx, series.nearest) == ("unknown", None, None)
    assert series.problems == ["memory of CUDA0 is not known"]


def unknown_machine():
    on = machine(16)
    return replace(on, devices=tuple(replace(d, total_bytes=None, free_bytes=None) for d in on.devices))


@pytest.mark.parametrize(("gib", "is_trained"), [(16, False), (64, True)])
def test_the_largest_context_may_be_all_that_was_trained(gib, is_trained):
    series = the_series(machine(gib), {"ctx": (4096,)})
    assert series.outcome == "fits"
    assert series.max_is_trained is is_trained
    assert (series.max_ctx == 32768) is is_trained


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"ctk": "f16", "ctv": "q8_0"}, "K/V f16/q8_0"),
        ({"ngl": 3, "ctk": "f16", "ctv": "q8_0"}, "ngl 3, K/V f16/q8_0"),
        ({"ctv": "q8_0"}, "ctv q8_0"),
        ({}, ""),
    ],
)
def test_both_types_have_one_name(values, name):
    assert Series(values=values, points=()).name == name


def test_progress_counts_every_point():
    told = []
    axes = {"ctx": (4096, 8192), "kv": ("f16", "q8_0")}
    sweep(request(described(), machine(64)), axes, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
