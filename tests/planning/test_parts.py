"""Plans as rows: the parts of each device, the pool, and what binds."""

from __future__ import annotations

from budget.planning.fit import plan
from budget.planning.parts import binding, rows_of
from plans import GiB, described, machine, request


def test_parts_add_up_to_what_the_device_needs():
    answer = plan(request(described(), machine(16), reserve_bytes=GiB))
    card, host = rows_of(answer)
    assert (card.parts["weights"], card.parts["kv"], card.parts["reserve"]) == (8 * GiB, 4 * GiB, GiB)
    assert card.required_bytes == answer.devices[0].required_bytes == 13 * GiB
    assert card.left_bytes == 3 * GiB
    assert host.name == "CPU"


def test_a_pool_is_a_row_of_its_own_and_the_only_one_that_binds():
    rows = rows_of(plan(request(described(), machine(64), budget="10GiB")))
    assert [r.name for r in rows] == ["CUDA0", "CPU", "total"]
    assert binding(rows).name == "total"
    # 8 GiB of weights and 4 of K/V against 10
    assert (rows[-1].available, rows[-1].left_bytes, rows[-1].fits) == (10 * GiB, -2 * GiB, False)


def test_without_a_limit_nothing_binds():
    assert binding(rows_of(plan(request(described(), machine(16), budget="unlimited")))) is None
