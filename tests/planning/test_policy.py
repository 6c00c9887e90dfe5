from __future__ import annotations

import pytest

from budget.errors import UsageError
from budget.machine.device import Host
from budget.planning.budget import UNLIMITED
from budget.planning.capacity import capacity_of, resolve_capacity
from budget.planning.curve import line
from budget.planning.fit import plan
from budget.planning.policy import (
    Policy,
    apply_policy,
    host_cold_bytes,
    max_resident_bytes,
    reserve_bytes,
    usable_bytes,
)
from budget.runtime.settings import Settings
from plans import GiB, described, machine, request

AUTO = Policy(max_resident="auto", reserve="auto", host_cold="auto")
ALL = Settings(n_ctx=0)
MiB = 1 << 20


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        pytest.param(24 * GiB, 2576980377, id="a-tenth"),
        pytest.param(3 * GiB, 512 * MiB, id="at-least-512-MiB"),
        pytest.param(16 * MiB, 4 * MiB, id="at-most-a-quarter"),
        pytest.param(None, 512 * MiB, id="unknown-total"),
    ],
)
def test_the_automatic_reserve_is_a_tenth_of_a_gpu(total, expected):
    assert reserve_bytes(AUTO, total, is_gpu=True) == expected
    assert reserve_bytes(AUTO, total, is_gpu=False) == 0
    assert reserve_bytes(Policy(reserve=7), total, is_gpu=False) == 7


def test_automatic_limits_follow_what_is_free_now():
    assert max_resident_bytes(AUTO, 10 * MiB) == 8 * MiB
    assert max_resident_bytes(AUTO, None) is None
    assert max_resident_bytes(Policy(max_resident=5), 10 * MiB) == 5
    assert host_cold_bytes(AUTO, Host(ram_available_bytes=16 * MiB)) == 4 * MiB
    assert host_cold_bytes(AUTO, Host()) == 0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 1000),
        ({"reserve_bytes": 100}, 900),
        ({"reserve_bytes": 2000}, 0),
        ({"reserve_bytes": 100, "max_resident_bytes": 500}, 500),
        ({"max_resident_bytes": 500, "resident_bytes": 200}, 300),
        ({"max_resident_bytes": 500, "resident_bytes": 600}, 0),
        ({"reserve_bytes": 100, "headroom": 0.1}, 810),
    ],
)
def test_reserve_then_limit_then_headroom(options, expected):
    assert usable_bytes(1000, **options) == expected


@pytest.mark.parametrize(
    "options", [{"max_resident": -1}, {"reserve": -1}, {"host_cold": -1}, {"min_hot_context": -1},
                {"headroom": -0.1}, {"headroom": 1.0}, {"headroom": float("nan")}],
)  # fmt: skip
def test_policies_out_of_range_are_refused(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        Policy(**options)


def test_a_policy_lowers_the_caps_and_shows_the_reserve():
    asked = request(described(), machine(20), budget="vram=20GiB")  # 8 + 4 GiB
    bound = apply_policy(asked, Policy(reserve=4 * GiB, headroom=0.25))
    gpu = plan(bound).devices[0]
    # (20 - 4) x 0.75 = 12 GiB may be used, and the reserve stands beside them
    assert (gpu.reserve_bytes, gpu.required_bytes, gpu.available_bytes) == (4 * GiB, 16 * GiB, 16 * GiB)
    assert plan(bound).fits
    assert "headroom 0.25" in bound.budget.sources["CUDA0"]
    limited = apply_policy(asked, Policy(max_resident=11 * GiB))
    assert plan(limited).failures[0].short_bytes == GiB


def test_a_limit_caps_even_what_is_unlimited():
    asked = request(described(), machine(20), budget=None)
    assert apply_policy(asked, Policy()).budget.cap("CUDA0") is UNLIMITED
    assert apply_policy(asked, Policy(max_resident=GiB)).budget.cap("CUDA0") == GiB
    pool = request(described(), machine(20), budget=20 * GiB)
    assert apply_policy(pool, Policy(headroom=0.5)).budget.combined_bytes == 10 * GiB


def test_the_window_of_a_model_by_numbers():
    # 9 of 10 MiB are usable; 4 of weights and 2 of buffers leave 3 MiB for 1 KiB per token
    found = resolve_capacity(
        usable_bytes=9 * MiB, weights_bytes=4 * MiB, overhead_bytes=2 * MiB, kv=line(0, 1024),
        n_ctx_model=32768, host_cold_bytes=MiB,
    )  # fmt: skip
    assert (found.n_ctx, found.n_ctx_hot, found.n_ctx_cold, found.n_ctx_planner) == (3072, 3072, 1024, 4096)
    assert (found.usable_bytes, found.required_bytes) == (9 * MiB, 9 * MiB)
    assert (found.clamped, found.reason, found.verdict) == (True, "memory", "fits")


@pytest.mark.parametrize(
    ("options", "n_ctx", "reason", "verdict"),
    [
        pytest.param({"n_ctx_model": 1000}, 1000, None, "fits", id="all-of-it"),
        pytest.param({"n_ctx_model": 1000, "n_ctx_requested": 5000}, 1000, "model_limit", "does_not_fit", id="model"),
        pytest.param({"n_ctx_requested": 5000}, 4096, "memory", "does_not_fit", id="memory"),
        pytest.param({"n_ctx_requested": 100}, 100, None, "fits", id="request"),
        pytest.param({"n_ctx_requested": 5000, "max_resident_bytes": 4 * MiB}, 4096, "max_resident", "does_not_fit",
                     id="limit"),
        pytest.param({"n_ctx_model": 9000, "min_hot_context": 8192}, 4096, "min_hot_context", "does_not_fit",
                     id="useless"),
        pytest.param({"n_ctx_model": 2048, "min_hot_context": 8192}, 2048, None, "fits", id="small-model"),
        pytest.param({"weights_bytes": 5 * MiB, "n_ctx_model": 9}, 0, "memory", "does_not_fit", id="weights"),
        pytest.param({"kv": None, "n_ctx_model": 9}, 9, "kv_unknown", "unknown", id="no-cache-known"),
        pytest.param({"kv": None, "weights_bytes": 5 * MiB, "n_ctx_model": 9}, 0, "weights", "does_not_fit",
                     id="weights-without-cache"),
        pytest.param({"n_ctx_model": 9, "reserve_is_short": True}, 9, "reserve", "fits", id="reserve"),
    ],
)  # fmt: skip
def test_the_reason_names_what_bound(options, n_ctx, reason, verdict):
    found = resolve_capacity(**({"usable_bytes": 4 * MiB, "kv": line(0, 1024)} | options))
    assert (found.n_ctx, found.reason, found.verdict) == (n_ctx, reason, verdict)
    assert found.sentence


def test_negative_numbers_are_refused():
    with pytest.raises(UsageError):
        resolve_capacity(usable_bytes=5, n_ctx_requested=-7)


@pytest.mark.parametrize(
    ("policy", "n_ctx", "reason"),
    [
        pytest.param(Policy(), 16384, "memory", id="nothing-held-back"),
        pytest.param(Policy(reserve=4 * GiB), 12288, "memory", id="reserve"),
        pytest.param(Policy(max_resident=12 * GiB), 4096, "max_resident", id="limit"),
        pytest.param(Policy(min_hot_context=20000), 16384, "min_hot_context", id="useless"),
    ],
)
def test_the_window_of_a_real_request(policy, n_ctx, reason):
    found = capacity_of(request(described(), machine(24), settings=ALL), policy)
    assert (found.n_ctx, found.n_ctx_hot, found.reason) == (n_ctx, n_ctx, reason)
    assert found.required_bytes == 8 * GiB + n_ctx * MiB
    assert found.verdict == ("does_not_fit" if reason == "min_hot_context" else "fits")


def test_cold_tokens_extend_the_window_up_to_the_models_limit():
    asked = request(described(), machine(24, ram_gib=32), settings=ALL)
    found = capacity_of(asked, Policy(host_cold="auto"))  # a quarter of 32 GiB: 8192 tokens
    assert (found.n_ctx_hot, found.n_ctx_cold, found.n_ctx_planner) == (16384, 8192, 24576)
    assert capacity_of(asked, Policy(host_cold=64 * GiB)).n_ctx_planner == 32768


def test_a_request_beyond_the_model_blames_the_model():
    asked = request(described(n_ctx_train=1024), machine(24), settings=Settings(n_ctx=2048))
    found = capacity_of(asked, Policy())
    assert (found.n_ctx, found.reason, found.verdict) == (1024, "model_limit", "does_not_fit")


def test_a_trained_context_that_is_not_known_is_none():
    asked = request(described(n_ctx_train=None), machine(24), settings=Settings(n_ctx=2048))
    found = capacity_of(asked, Policy())
    assert (found.n_ctx_model, found.n_ctx_memory, found.n_ctx) == (None, 16384, 2048)


def test_a_trained_context_that_is_no_whole_step_is_served_whole():
    found = capacity_of(request(described(n_ctx_train=1000), machine(24), settings=ALL), Policy())
    assert (found.n_ctx, found.clamped, found.reason, found.verdict) == (1000, False, None, "fits")
