"""One memory for RAM and GPU is held once, whatever the caps of its two sides say."""

from __future__ import annotations

import pytest

from budget import api
from budget.machine.device import Device, Host, Machine
from budget.machine.hardware import resolve_machine
from budget.planning.budget import resolve_budget
from budget.planning.fit import shared_memory
from budget.planning.summary import notes_of
from budget.planning.unified import pool_bytes, pool_shortfall
from budget.units import GiB


def machine(*, backend="metal", free=48 * GiB, unified=True):
    device = Device(name="MTL0", backend=backend, total_bytes=free, free_bytes=free, unified=unified)
    return Machine(host=Host(ram_total_bytes=64 * GiB, ram_available_bytes=56 * GiB), devices=(device,))


@pytest.mark.parametrize(
    ("where", "budget", "expected"),
    [
        (machine(), "auto", 56 * GiB),
        (machine(), "ram=60GiB,vram=60GiB", 64 * GiB),
        (machine(), "40GiB", None),  # one pool already
        (machine(), "unlimited", None),
        (machine(unified=False), "auto", None),
        (machine(backend="hip", free=96 * GiB), "auto", 96 * GiB),  # memory set aside is not RAM
    ],
)
def test_size_of_the_pool(where, budget, expected):
    assert pool_bytes(where, resolve_budget(budget, where)) == expected


@pytest.mark.parametrize(
    ("required", "twice", "short"),
    [
        ({"MTL0": 40 * GiB, "CPU": 16 * GiB}, 0, 0),
        ({"MTL0": 40 * GiB, "CPU": 20 * GiB}, 0, 4 * GiB),
        ({"MTL0": 40 * GiB, "CPU": 20 * GiB}, 5 * GiB, -1 * GiB),
    ],
)
def test_both_sides_count_against_it_once(required, twice, short):
    where = machine()
    answer = pool_shortfall(where, resolve_budget("auto", where), required, {}, {}, {}, twice_bytes=twice)
    assert answer.short_bytes == short


def test_what_is_left_free_is_left_free_once():
    where = machine()
    reserves = {"MTL0": 2 * GiB, "CPU": 2 * GiB}
    required = {"MTL0": 42 * GiB, "CPU": 14 * GiB}
    answer = pool_shortfall(where, resolve_budget("auto", where), required, reserves, {}, {})
    assert answer.required_bytes == 54 * GiB


def test_residents_on_either_side_take_from_it():
    where = machine()
    used, reclaim = {"MTL0": 10 * GiB, "CPU": 2 * GiB}, {"MTL0": 4 * GiB}
    answer = pool_shortfall(
        where, resolve_budget("auto", where), {"MTL0": 30 * GiB, "CPU": GiB}, {}, used, reclaim
    )
    assert answer.available_bytes == 48 * GiB


def test_nothing_on_the_device_is_a_matter_of_ram_alone():
    where = machine()
    answer = pool_shortfall(where, resolve_budget("auto", where), {"MTL0": 0, "CPU": 60 * GiB}, {}, {}, {})
    assert answer is None


def test_rows_of_one_memory_are_noted_with_what_they_take_together():
    answer = api.plan(api.request("sample:llama-3.3-70b", "-c 8k", machine=resolve_machine("m3-max:64GiB")))
    (note,) = [n for n in notes_of(answer) if "one memory" in n]
    needs = {d.name: d.required_bytes for d in answer.devices}
    shared = shared_memory(answer)
    assert shared.required_bytes == sum(needs.values())
    assert note.startswith("MTL0 and CPU share one memory: together they take ")
    assert shared.available_bytes == answer.request.machine.host.ram_available_bytes
