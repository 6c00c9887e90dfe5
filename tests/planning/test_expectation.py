"""Expectations: what a condition means, and whether a plan meets it."""

from __future__ import annotations

import pytest

from budget.errors import MachineError, UsageError
from budget.planning.expectation import outcome, parse_expectation
from budget.planning.fit import plan
from budget.record import replace
from plans import described, machine, request


@pytest.mark.parametrize(
    ("text", "left", "operator", "right"),
    [
        ("fits", "fits", "=", True),
        ("fits = true", "fits", "=", True),
        ("fits=false", "fits", "=", False),
        ("does_not_fit", "fits", "=", False),
        ("verdict = unknown", "verdict", "=", "unknown"),
        ("max_ctx >= 32768", "max_ctx", ">=", 32768),
        ("max_ctx >= 32k", "max_ctx", ">=", 32768),
        ("CUDA0 <= 22GiB", "CUDA0", "<=", 22 << 30),
        ("CUDA0.context < 1.5GiB", "CUDA0.context", "<", 3 << 29),
        ("CUDA0.weights = 4920739232", "CUDA0.weights", "=", 4920739232),
        ("RPC0[host:50052] <= 1GiB", "RPC0[host:50052]", "<=", 1 << 30),
        ("RPC0[10.0.0.1:50052] <= 1GiB", "RPC0[10.0.0.1:50052]", "<=", 1 << 30),
        ("RPC0[gpu.lan:50052].left >= 1GiB", "RPC0[gpu.lan:50052].left", ">=", 1 << 30),
        ("vram.left >= 512MiB", "vram.left", ">=", 512 << 20),
    ],
)
def test_an_expectation_is_read(text, left, operator, right):
    found = parse_expectation(text)
    assert (found.left, found.operator, found.right) == (left, operator, right)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "such as"),
        ("CUDA0", "such as"),
        ("fits = yes", "fits = true"),
        ("fits >= true", "fits = true"),
        ("max_ctx >= many", "whole number"),
        ("CUDA0 <= 22 gigs", "GiB"),
        ("CUDA0 <= 22", "such as 22GiB"),
        ("CUDA0.contxt <= 1GiB", "did you mean context"),
        ("verdict = good", "does_not_fit"),
    ],
)
def test_a_condition_that_means_nothing_is_quoted_with_what_to_write(text, words):
    with pytest.raises(UsageError) as e:
        parse_expectation(text)
    assert repr(text) in e.value.message
    assert words in e.value.hint


# 8 GiB of weights and 1 MiB per token: 12 GiB at 4096 tokens, of 16 GiB
ANSWER = plan(request(described(), machine(16)))


def status_and_actual(text, answer=ANSWER, max_ctx=8192):
    found = outcome(parse_expectation(text), answer, lambda: max_ctx)
    return found.status, found.actual


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fits", ("passed", "it fits")),
        ("fits = false", ("failed", "it fits")),
        ("verdict = fits", ("passed", "fits")),
        ("max_ctx >= 8192", ("passed", "8192")),
        ("max_ctx > 8192", ("failed", "8192")),
        ("n_ctx = 4096", ("passed", "4096")),
        ("CUDA0 <= 12GiB", ("passed", "12.00 GiB")),
        ("CUDA0 < 12GiB", ("failed", "12.00 GiB")),
        ("cuda0.weights = 8GiB", ("passed", "8.00 GiB")),
        ("CUDA0.context != 4GiB", ("failed", "4.00 GiB")),
        ("CUDA0.left >= 4GiB", ("passed", "4.00 GiB")),
        ("CUDA0.available = 16GiB", ("passed", "16.00 GiB")),
        ("vram <= 12GiB", ("passed", "12.00 GiB")),
        ("ram <= 1MiB", ("passed", "0 B")),
        ("total >= 12GiB", ("passed", "12.00 GiB")),
    ],
)
def test_a_plan_is_held_against_an_expectation(text, expected):
    assert status_and_actual(text) == expected


def test_what_does_not_fit_says_by_how_much():
    short = plan(request(described(), machine(10)))
    assert status_and_actual("fits", short) == ("failed", "it does not fit: CUDA0 short by 2.00 GiB")
    assert status_and_actual("max_ctx >= 4096", short, max_ctx=None) == ("failed", "no context fits")


def test_unknown_never_passes():
    unknown = plan(request(described(kv_bytes_per_token=None), machine(16)))
    assert unknown.verdict == "unknown"
    for text in ("fits", "fits = false", "max_ctx >= 1", "CUDA0 <= 99GiB"):
        status, actual = status_and_actual(text, unknown)
        assert status == "unknown"
        assert "not known" in actual


def test_a_device_that_is_not_there_is_an_error_with_the_nearest():
    with pytest.raises(MachineError) as e:
        status_and_actual("CUDA1 <= 1GiB")
    assert "did you mean CUDA0" in e.value.hint


def test_an_address_with_dots_is_one_name():
    rig = machine(16)
    rig = replace(rig, devices=(replace(rig.devices[0], name="RPC0[10.0.0.1:50052]"),))
    answer = plan(request(described(), rig))
    assert status_and_actual("RPC0[10.0.0.1:50052] <= 12GiB", answer) == ("passed", "12.00 GiB")
    assert status_and_actual("rpc0[10.0.0.1:50052].left = 4GiB", answer) == ("passed", "4.00 GiB")
