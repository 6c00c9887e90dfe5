from __future__ import annotations

import pytest

from budget.errors import MachineError, UsageError
from budget.planning.budget import resolve_budget
from budget.planning.usage import add_usage, check, parse_usage, unknown_devices
from plans import GiB, machine

RIG = machine(24, 12)


def failures(budget, required, used=None, **options):
    found = check(resolve_budget(budget, RIG), required, used, **options)
    return [(f.device, f.required_bytes, f.available_bytes, f.short_bytes) for f in found]


def test_every_device_that_falls_short_is_named():
    assert failures("ram=10,vram=5:5", {"CUDA0": 6, "CUDA1": 5, "CPU": 12}) == [
        ("CUDA0", 6, 5, 1),
        ("CPU", 12, 10, 2),
    ]


@pytest.mark.parametrize(
    ("budget", "required", "used", "expected"),
    [
        pytest.param("100", {"CPU": 60, "CUDA0": 40}, {}, [], id="filled-to-the-byte"),
        pytest.param("100", {"CPU": 1}, {"CUDA0": 500}, [("total", 1, 0, 1)], id="never-negative"),
        pytest.param("100", {"CPU": 20, "CUDA0": 31}, {"CUDA1": 50}, [("total", 51, 50, 1)], id="pool"),
        pytest.param("ram=0", {"CPU": 0, "CUDA0": GiB}, {}, [], id="nothing-fits-in-nothing"),
        pytest.param("unlimited", {"CPU": 1 << 60}, {"CPU": 1 << 60}, [], id="unlimited"),
    ],
)
def test_residents_are_counted(budget, required, used, expected):
    assert failures(budget, required, used) == expected


def test_memory_that_comes_back_is_credited():
    assert failures("ram=10", {"CPU": 8}, {"CPU": 5}) == [("CPU", 8, 5, 3)]
    assert failures("ram=10", {"CPU": 8}, {"CPU": 5}, reclaim={"CPU": 3}) == []


def test_a_device_without_a_known_cap_neither_fits_nor_fails():
    budget = resolve_budget("ram=1", RIG)
    assert check(budget, {"Vulkan0": 5}) == ()
    assert unknown_devices(budget, {"Vulkan0": 5, "CUDA0": 1, "Vulkan1": 0}) == ("Vulkan0",)


def test_usage_adds_up_per_device():
    assert add_usage() == {}
    assert add_usage({"a": 1, "b": 2}, {"b": 3, "c": 4}) == {"a": 1, "b": 5, "c": 4}


def test_claims_are_read_from_text():
    assert parse_usage("ram:2GiB,cuda0:10GiB", RIG) == {"CPU": 2 * GiB, "CUDA0": 10 * GiB}
    assert parse_usage("vram:1GiB", machine(8)) == {"CUDA0": GiB}


@pytest.mark.parametrize("text", ["", "2GiB", "ram:", "ram:2 cows", "ram:1,cpu:2", ":5"])
def test_claims_of_another_form_are_refused(text):
    with pytest.raises(UsageError):
        parse_usage(text, RIG)


@pytest.mark.parametrize("text", ["CUDA7:1GiB", "vram:1GiB"])
def test_claims_on_devices_that_are_not_there_are_refused(text):
    with pytest.raises(MachineError, match="no device"):
        parse_usage(text, RIG)
