"""Grids of plans: what comes of each point."""

from __future__ import annotations

import pytest

from budget.errors import UsageError
from budget.planning.sweep import sweep
from budget.record import replace
from budget.units import MiB
from plans import GiB, described, machine, request


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


@pytest.mark.parametrize("axis", ["ctk", "ctv"])
def test_k_and_v_together_exclude_either_alone(axis):
    with pytest.raises(UsageError, match=f"--kv sets both K and V types, so --{axis}") as e:
        sweep(request(described(), machine(16)), {"kv": ("f16",), axis: ("f16",)})
    assert "leave --kv away" in e.value.hint


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


def test_progress_counts_every_point():
    told = []
    axes = {"ctx": (4096, 8192), "kv": ("f16", "q8_0")}
    sweep(request(described(), machine(64)), axes, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
