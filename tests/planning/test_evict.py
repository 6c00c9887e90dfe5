from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budget.errors import UnknownAnswerError
from budget.planning.evict import evict, smallest_set
from budget.planning.residents import Resident
from plans import GiB, described, machine, request


def resident(name, gib, pid=None, device="CUDA0"):
    return Resident(name=name, usage={device: int(gib * GiB)}, pid=pid)


@pytest.mark.parametrize(
    ("deficit", "sizes", "expected"),
    [
        pytest.param({}, [1, 2], (), id="nothing-lacks"),
        pytest.param({"a": 3}, [1, 5, 4], (2,), id="one-with-least-bytes"),
        pytest.param({"a": 6}, [3, 4, 1, 3], (0, 3), id="two-with-least-bytes"),
        pytest.param({"a": 5}, [5, 5], (0,), id="the-first-of-equals"),
        pytest.param({"a": 9}, [4, 4], None, id="not-even-all"),
    ],
)
def test_the_smallest_set_covers_the_deficit(deficit, sizes, expected):
    assert smallest_set(deficit, [{"a": n} for n in sizes]) == expected


gain = st.fixed_dictionaries({"a": st.integers(0, 9), "b": st.integers(0, 9)})


@given(st.lists(gain, max_size=7), st.integers(0, 25), st.integers(0, 25))
@settings(deadline=None)
def test_branch_and_bound_finds_what_trying_everything_finds(gains, a, b):
    def covers(some):
        return sum(gains[i]["a"] for i in some) >= a and sum(gains[i]["b"] for i in some) >= b

    tried = [s for n in range(len(gains) + 1) for s in combinations(range(len(gains)), n) if covers(s)]
    best = min(tried, key=lambda s: (len(s), sum(sum(gains[i].values()) for i in s), s), default=None)
    assert smallest_set({d: n for d, n in (("a", a), ("b", b)) if n}, gains) == best


def test_forty_residents_are_no_trouble():
    gains = [{"a": 100 + i} for i in range(40)]
    chosen = smallest_set({"a": 1500}, gains)
    assert chosen is not None
    assert len(chosen) == 12  # the eleven largest hold 11 x 134 = 1474
    assert sum(100 + i for i in chosen) == 1500


def test_the_fewest_residents_are_unloaded():
    # the model takes 12 of 24 GiB, 20 are taken: 8 must go
    asked = request(described(), machine(24), budget="vram=24GiB")
    loaded = [resident("a", 4), resident("b", 9), resident("c", 4), resident("d", 3)]
    found = evict(asked, loaded)
    assert found is not None
    assert [r.name for r in found.residents] == ["b"]
    assert found.plan.fits
    assert found.freed_bytes == 9 * GiB


def test_kept_residents_stay():
    asked = request(described(), machine(24), budget="vram=24GiB")
    loaded = [resident("a", 4), resident("b", 9), resident("c", 4), resident("d", 3)]
    found = evict(asked, loaded, keep=["b"])
    assert found is not None
    assert [r.name for r in found.residents] == ["a", "c"]


def test_nothing_is_unloaded_where_it_fits_or_never_can():
    asked = request(described(), machine(24), budget="vram=24GiB")
    fine = evict(asked, [resident("a", 4)])
    assert fine is not None
    assert fine.residents == ()
    assert evict(request(described(30), machine(24), budget="vram=24GiB"), [resident("a", 4)]) is None


def test_memory_that_is_not_known_is_no_answer():
    on = machine(24)
    on = replace(on, devices=tuple(replace(d, total_bytes=None, free_bytes=None) for d in on.devices))
    with pytest.raises(UnknownAnswerError, match="CUDA0"):
        evict(request(described(), on), [resident("a", 4)])


def test_what_a_process_really_holds_is_what_comes_back():
    # 10 GiB are free; "old" claimed 1 and holds 5, "new" claimed 6 and holds nothing yet
    asked = request(described(4), machine(10))
    loaded = [resident("old", 1, pid=1), resident("new", 6)]
    found = evict(asked, loaded, live={1: {"CUDA0": 5 * GiB}})
    assert found is not None
    # 8 are needed and 10 - 6 are there: unloading "old" gives 5 more, "new" 6, and 5 is less
    assert [r.name for r in found.residents] == ["old"]


def test_the_split_follows_what_is_unloaded():
    # llama.cpp splits by free memory: 12 GiB over 2 and 8 do not fit; with "right" gone, 2 and 10 take 2 and 10
    asked = request(described(), machine(10, 10), budget="vram=10GiB")
    loaded = [resident("left", 8), resident("right", 2, device="CUDA1")]
    found = evict(asked, loaded)
    assert found is not None
    assert [r.name for r in found.residents] == ["right"]
    assert found.plan.usage == {"CUDA0": 2 * GiB, "CUDA1": 10 * GiB, "CPU": 0}


def test_a_pool_shared_with_ram_is_freed_from_either_side():
    from dataclasses import replace

    rig = machine(16, ram_gib=16)
    rig = replace(rig, devices=(replace(rig.devices[0], unified=True),))
    asked = request(described(), rig, budget="ram=16GiB,vram=16GiB")
    loaded = [resident("gpu", 6), resident("host", 5, device="CPU")]
    found = evict(asked, loaded)
    assert found is not None
    assert found.plan.fits
