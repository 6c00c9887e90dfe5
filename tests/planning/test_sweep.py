"""Grids of plans: what comes of each point."""

from __future__ import annotations

import pytest

from budget.errors import UnknownAnswerError, UsageError
from budget.model.read import read_model
from budget.planning.budget import resolve_budget
from budget.planning.fit import Request, placement_of, plan
from budget.planning.sweep import sweep
from budget.record import replace
from budget.runtime.settings import Settings
from budget.source.sample import open_sample
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


@pytest.mark.parametrize(
    ("gib", "n_plans", "n_max"),
    [
        pytest.param(64, 3, 32768, id="the-trained-context-is-a-point"),
        pytest.param(16, 3, 8192, id="the-largest-is-a-point"),
        pytest.param(8.5, 7, 512, id="below-the-points"),
        pytest.param(4, 4, None, id="not-even-one-step"),
    ],
)
def test_no_context_is_planned_twice(monkeypatch, gib, n_plans, n_max):
    planned = []

    def counted(asked, **options):
        planned.append(asked.settings.n_ctx)
        return plan(asked, **options)

    monkeypatch.setattr("budget.planning.sweep.plan", counted)
    series = the_series(machine(gib), {"ctx": (8192, 8448, 32768)})
    assert (series.max_ctx, len(planned)) == (n_max, n_plans)
    assert sorted(planned) == sorted(set(planned))


def test_a_model_is_placed_once_for_each_number_of_layers(monkeypatch):
    placed = []

    def counted(asked):
        placed.append(asked.settings.n_gpu_layers)
        return placement_of(asked)

    monkeypatch.setattr("budget.planning.sweep.placement_of", counted)
    axes = {"ctx": (4096, 8192), "kv": ("f16", "q8_0"), "ngl": (0, 16)}
    sweep(request(described(), machine(64)), axes)
    assert placed == [0, 16]


def test_a_machine_whose_memory_is_not_known_cannot_be_split_at_any_context():
    two = replace(unknown_machine(), devices=(*unknown_machine().devices, *machine(16, 16).devices[1:]))
    with pytest.raises(UnknownAnswerError, match="default split"):
        sweep(sample_request(two), {"ctx": (4096, 8192)})
    found = sweep(sample_request(two), {"ngl": (0, "all")})
    assert [p.problem is None for p in found.points] == [True, False]


def sample_request(on):
    model = read_model(open_sample("llama-3.1-8b"))
    return Request(
        model=model, settings=Settings(n_ctx=4096), machine=on, budget=resolve_budget("unlimited", on)
    )
