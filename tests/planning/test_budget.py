from __future__ import annotations

import copy
import math
import pickle

import pytest

from budget.errors import MachineError, UsageError
from budget.machine.device import Device, Host, Machine
from budget.planning.budget import UNLIMITED, resolve_budget
from plans import GiB, machine

RIG = machine(24, 12, ram_gib=100)


@pytest.mark.parametrize("value", [None, math.inf, "unlimited", " unlimited "])
def test_nothing_and_infinity_are_no_cap(value):
    budget = resolve_budget(value, RIG)
    assert budget.mode == "unlimited"
    assert budget.cap("CUDA0") is UNLIMITED


@pytest.mark.parametrize("value", ["24GiB", 24 * GiB])
def test_a_size_is_one_pool(value):
    budget = resolve_budget(value, RIG)
    assert (budget.mode, budget.combined_bytes) == ("combined", 24 * GiB)


def test_auto_is_most_of_the_ram_and_what_each_gpu_has_free():
    budget = resolve_budget("auto", RIG)
    assert budget.mode == "auto"
    assert budget.caps == {"CPU": 85899345920, "CUDA0": 24 * GiB, "CUDA1": 12 * GiB}  # 80 GiB


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("ram=64GiB,vram=10GiB", (64, 10, 10), id="each-gpu"),
        pytest.param("vram=10GiB:5GiB,ram=1GiB", (1, 10, 5), id="by-number"),
        pytest.param("ram=1GiB,CUDA1=5GiB", (1, 24, 5), id="the-rest-is-auto"),
        pytest.param({"ram": 64 * GiB, "vram": 10 * GiB}, (64, 10, 10), id="one-cap-for-each-gpu"),
        pytest.param({"vram": ["10GiB", "auto"], "ram": "1GiB"}, (1, 10, 12), id="list"),
        pytest.param({"vram": {1: 5 * GiB}, "host": "1GiB"}, (1, 24, 5), id="sparse"),
        pytest.param({"cuda1": "5GiB", "RAM": 0}, (0, 24, 5), id="names-in-any-case"),
    ],
)
def test_single_devices_are_capped(value, expected):
    budget = resolve_budget(value, RIG)
    assert [budget.cap(d) for d in ("CPU", "CUDA0", "CUDA1")] == [n * GiB for n in expected]
    assert budget.mode == "per_device"


def test_single_entries_may_be_auto_or_unlimited():
    for value in ("ram=unlimited,vram=auto:unlimited", {"ram": None, "vram": ["auto", math.inf]}):
        budget = resolve_budget(value, RIG)
        assert [budget.cap(d) for d in ("CPU", "CUDA0", "CUDA1")] == [UNLIMITED, 24 * GiB, UNLIMITED]
        assert [budget.sources[d] for d in ("CPU", "CUDA0", "CUDA1")] == [
            "unlimited",
            "free memory",
            "unlimited",
        ]


def test_what_is_not_named_can_be_unlimited():
    budget = resolve_budget({"ram": 5}, RIG, unnamed="unlimited")
    assert [budget.cap(d) for d in ("CPU", "CUDA0")] == [5, UNLIMITED]


def test_memory_that_is_not_known_stays_unknown():
    blind = Machine(host=Host(), devices=(Device(name="CUDA0"),))
    budget = resolve_budget("auto", blind)
    assert (budget.cap("CPU"), budget.cap("CUDA0")) == (None, None)


@pytest.mark.parametrize(
    "value",
    [
        -1, 1.5, math.nan, True, 1 << 63, [1], "", "8 Gi", "ram=", "ram=1GiB,ram=2GiB", "vram=-1", "vram=1:x",
        {"ram": -1}, {"ram": 1.5}, {"vram": [-1]}, {"vram": True}, {"vram": {"x": 1}}, {"CUDA0": "much"},
    ],
    ids=str,
)  # fmt: skip
def test_values_that_mean_nothing_are_refused(value):
    with pytest.raises(UsageError):
        resolve_budget(value, RIG)


@pytest.mark.parametrize(
    "value", ["=3", "vramm=1GiB", "CUDA2=1GiB", "vram=1:2:3", {"vram": [1, 2, 3]}, {"gpu": 1}]
)
def test_devices_that_are_not_there_are_named(value):
    with pytest.raises(MachineError) as error:
        resolve_budget(value, RIG)
    assert "CUDA0" in (error.value.hint or "") or "GPU" in error.value.message


def test_unlimited_is_one_value_in_copies_and_other_processes():
    assert copy.deepcopy(UNLIMITED) is UNLIMITED
    assert pickle.loads(pickle.dumps(UNLIMITED)) is UNLIMITED


@pytest.mark.parametrize(("key", "near"), [("vramm", "vram"), ("cuda", "CUDA0"), ("CDUA1", "CUDA1")])
def test_the_nearest_name_is_offered(key, near):
    with pytest.raises(MachineError) as error:
        resolve_budget(f"{key}=1GiB", RIG)
    assert error.value.hint.startswith(f"did you mean {near}? devices here: ram, vram, CUDA0")


def test_a_budget_passes_through():
    budget = resolve_budget("1GiB", RIG)
    assert resolve_budget(budget, RIG) is budget
