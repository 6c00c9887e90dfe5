from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budget.errors import UsageError
from budget.planning.request import finish_reason, remaining_tokens, request_budget


@pytest.mark.parametrize(
    ("used", "wanted", "capacity", "remaining", "completion", "target", "reason"),
    [
        pytest.param(32, 64, 4096, 4064, 64, 96, "stop", id="all"),
        pytest.param(4090, 64, 4096, 6, 6, 4096, "length", id="clamped"),
        pytest.param(4096, 64, 4096, 0, 0, 4096, "length", id="full"),
        pytest.param(5000, 64, 4096, 0, 0, 4096, "length", id="over-full"),
        pytest.param(10, 5, 0, 0, 0, 0, "length", id="no-capacity"),
        pytest.param(0, 0, 0, 0, 0, 0, "stop", id="nothing"),
    ],
)
def test_what_a_request_may_have(used, wanted, capacity, remaining, completion, target, reason):
    found = request_budget(n_used=used, n_completion=wanted, n_capacity=capacity)
    assert (found.n_remaining, found.n_completion, found.n_ctx_target) == (remaining, completion, target)
    assert found.finish_reason == reason


def test_a_prompt_that_is_too_long_says_by_how_much():
    found = request_budget(n_used=5000, n_completion=64, n_capacity=4096)
    assert (found.fits, found.n_short) == (False, 904)
    assert "5,000" in found.sentence
    assert "904" in found.sentence
    assert request_budget(n_used=4096, n_completion=64, n_capacity=4096).fits


def test_a_clamped_completion_that_stops_early_stopped_by_itself():
    found = request_budget(n_used=0, n_completion=256, n_capacity=64)
    assert (finish_reason(found, 64), finish_reason(found, 12)) == ("length", "stop")


@pytest.mark.parametrize("name", ["n_used", "n_completion", "n_capacity"])
def test_negative_counts_are_refused(name):
    with pytest.raises(UsageError, match=name.removeprefix("n_")):
        request_budget(**{"n_used": 1, "n_completion": 1, "n_capacity": 1, name: -1})


@given(st.integers(0, 1 << 40), st.integers(0, 1 << 40), st.integers(0, 1 << 40))
def test_nothing_is_ever_negative_or_beyond_the_capacity(used, wanted, capacity):
    found = request_budget(n_used=used, n_completion=wanted, n_capacity=capacity)
    assert 0 <= found.n_completion <= found.n_remaining == remaining_tokens(used, capacity)
    assert found.n_completion <= wanted
    assert min(used, capacity) <= found.n_ctx_target <= capacity
