"""What goes to the host when not all fits."""

from __future__ import annotations

from dataclasses import replace

import pytest

import truth
from budget.machine.device import Device, Host, Machine
from budget.planning.budget import resolve_budget
from budget.planning.exchange import exchange
from budget.planning.fit import Request, plan
from budget.planning.movable import Item, Sizes
from budget.planning.offload import gpu_weight_bytes, offload, offloads
from budget.planning.packing import Packing, first_layers, pack
from budget.runtime.command_line import parse_settings

GiB = 1 << 30


def request(name, gpus_gib, *arguments, ram_gib=256, budget="auto"):
    machine = Machine(
        host=Host(ram_total_bytes=ram_gib * GiB, ram_available_bytes=ram_gib * GiB),
        devices=tuple(
            Device(name=f"CUDA{i}", compute_capability="8.9", total_bytes=n * GiB, free_bytes=n * GiB)
            for i, n in enumerate(gpus_gib)
        ),
    )
    return Request(
        model=truth.model(f"real/{name}"), settings=parse_settings(list(arguments))[0], machine=machine,
        budget=resolve_budget(budget, machine),
    )  # fmt: skip


def sizes(n_layers, fixed=10, expert=(30, 30, 20)):
    """Layers that each have experts of three projections, and an output layer without."""
    experts = [[Item(il, f"ffn_{k}_exps", n, n) for k, n in enumerate(expert)] for il in range(n_layers)]
    return Sizes([fixed] * (n_layers + 1), [*experts, []], [[] for _ in range(n_layers + 1)])


def packed(rooms, n_layers=4, **options):
    asked = request("qwen3-30b-a3b", (24,) * len(rooms), "-c", "4096")
    return pack(asked, sizes(n_layers, **options), rooms, first_layers, frozenset())


def test_experts_of_the_first_layers_go_to_the_host():
    # 5 x 10 fixed, 4 x 80 experts: 200 bytes leave room for 150, so 170 of 320 must go
    packing = packed([200])
    assert packing.counts == (5,)
    assert sum(t.size for t in packing.hosted) == 180
    assert {t.layer for t in packing.hosted} == {0, 1, 2}


def test_two_devices_share_the_layers_and_what_stays():
    packing = packed([130, 130])
    assert sum(packing.counts) == 5
    kept = 4 * 80 - sum(t.size for t in packing.hosted)
    assert 5 * 10 + kept <= 260


def test_layers_without_room_for_their_fixed_part_stay_on_the_host():
    packing = packed([35])
    assert packing.counts == (3,)
    assert len(packing.hosted) == 6


def test_no_room_at_all_is_no_layer_at_all():
    assert packed([5]).counts == (0,)


def test_an_exchange_fills_what_is_free_with_larger_tensors():
    table = sizes(2)
    everything = frozenset(t for items in table.experts for t in items)
    one_small_kept = Packing(counts=(3,), hosted=everything - {table.experts[0][2]})
    # 10 free bytes: the 20 that are kept leave for 30
    filled = exchange(table, one_small_kept, [10])
    assert sum(t.size for t in everything - filled.hosted) == 30


@pytest.mark.parametrize("gpus_gib", [(8,), (12,), (6, 6), (3, 9)])
@pytest.mark.parametrize("name", ["qwen3-30b-a3b", "qwen3-32b", "granite-4.0-h-small"])
def test_every_plan_fits_and_each_has_more_on_gpus_than_the_one_before(name, gpus_gib):
    found = offloads(request(name, gpus_gib, "-c", "8192"))
    assert found
    assert all(p.fits and p == plan(p.request) for p in found)
    weights = [gpu_weight_bytes(p.layout) for p in found]
    assert weights == sorted(set(weights))


def test_what_fits_is_left_alone():
    asked = request("qwen3-30b-a3b", (24,), "-c", "8192")
    assert offload(asked).request == asked


def test_pinned_layers_split_and_overrides_stay():
    asked = request("qwen3-30b-a3b", (8, 8), "-c", "8192", "-ngl", "20", "-ts", "1,3")
    answer = offload(asked, frozenset({"n_gpu_layers", "tensor_split"}))
    settings = answer.request.settings
    assert (settings.n_gpu_layers, settings.tensor_split) == (20, (1.0, 3.0))
    layers = offload(
        replace(asked, settings=parse_settings(["-c", "8192"])[0]), frozenset({"tensor_buft_overrides"})
    )
    assert layers.request.settings.tensor_buft_overrides == ()


def test_nothing_is_found_where_everything_is_pinned():
    asked = request("qwen3-30b-a3b", (8,), "-c", "8192")
    assert offload(asked, frozenset({"n_gpu_layers", "tensor_split", "tensor_buft_overrides"})) is None


def test_ram_counts():
    assert offload(request("qwen3-30b-a3b", (8,), "-c", "8192", ram_gib=4)) is None


def test_one_pool_is_one_limit():
    assert offload(request("qwen3-30b-a3b", (8,), "-c", "8192", budget="12GiB")) is None
