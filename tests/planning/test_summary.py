from __future__ import annotations

import pytest

from budget.planning.fit import plan
from budget.planning.summary import one_line, plan_tightness, tightness
from plans import GiB, described, machine, request


@pytest.mark.parametrize(
    ("required", "available", "expected"),
    [(9 * GiB, 8 * GiB, "short"), (7 * GiB, 8 * GiB, "ok"), (7 * GiB + 1, 8 * GiB, "tight"), (0, 0, "tight")],
)
def test_less_than_a_gibibyte_left_is_tight(required, available, expected):
    assert tightness(required, available) == expected


@pytest.mark.parametrize(("gib", "expected"), [(24, "ok"), (12.5, "tight"), (11, "short")])
def test_a_plan_is_as_tight_as_the_device_that_binds(gib, expected):
    assert plan_tightness(plan(request(described(), machine(gib)))) == expected


def test_what_is_not_limited_or_not_known_is_not_tight():
    assert plan_tightness(plan(request(described(), machine(24), budget=None))) is None
    assert plan_tightness(plan(request(described(kv_bytes_per_token=None), machine(24)))) is None


def test_a_plan_in_one_line():
    asked = request(described(), machine(24))
    assert one_line(plan(asked)) == "fits at 4,096 tokens: CUDA0 12.00 GiB of 24.00 GiB"
    pool = plan(request(described(), machine(24), budget=8 * GiB))
    assert (
        one_line(pool) == "does not fit at 4,096 tokens: CUDA0 12.00 GiB; 12.00 GiB of 8.00 GiB in one pool"
    )
