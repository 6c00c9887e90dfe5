from __future__ import annotations

import pytest

from budget.planning.fit import headroom_bytes, plan
from budget.planning.longest import max_context, with_context
from budget.planning.search import largest
from budget.runtime.settings import Settings
from plans import GiB, described, machine, request

# 8 GiB of weights and 4096 tokens of 1 MiB each
ONE = machine(24)


def test_a_plan_says_what_each_device_must_hold():
    answer = plan(request(described(fixed_bytes=GiB), ONE))
    gpu, cpu = answer.devices
    assert (gpu.weights_bytes, gpu.context_bytes, gpu.compute_bytes) == (8 * GiB, 4 * GiB, GiB)
    assert (gpu.required_bytes, gpu.available_bytes, cpu.required_bytes) == (13 * GiB, 24 * GiB, 0)
    assert answer.verdict == "fits"
    assert gpu.basis["weights"] == "estimate"


def test_residents_and_reserve_are_taken_off():
    asked = request(described(), ONE, used={"CUDA0": 10 * GiB}, reserve_bytes=3 * GiB)
    answer = plan(asked)
    gpu = answer.devices[0]
    assert (gpu.required_bytes, gpu.available_bytes, gpu.resident_bytes) == (15 * GiB, 14 * GiB, 10 * GiB)
    assert [(f.device, f.short_bytes) for f in answer.failures] == [("CUDA0", GiB)]
    assert answer.usage == {"CUDA0": 12 * GiB, "CPU": 0}
    assert plan(request(described(), ONE, used={"CUDA0": 10 * GiB}, reclaim={"CUDA0": GiB})).fits


def test_a_reserve_can_differ_by_device():
    asked = request(described(), ONE, reserve_bytes=GiB, reserves={"CUDA0": 2 * GiB})
    assert [d.reserve_bytes for d in plan(asked).devices] == [2 * GiB, GiB]


def test_one_pool_holds_everything():
    asked = request(described(), ONE, budget=12 * GiB)
    assert plan(asked).fits
    short = plan(request(described(), ONE, budget=12 * GiB, used={"CPU": 1}))
    assert [(f.device, f.required_bytes, f.available_bytes) for f in short.failures] == [
        ("total", 12 * GiB, 12 * GiB - 1)
    ]
    assert headroom_bytes(short) == -1


def test_unknown_never_fits():
    no_cache = described(kv_bytes_per_token=None)
    assert plan(request(no_cache, ONE)).verdict == "unknown"
    assert plan(request(no_cache, machine(4))).verdict == "does_not_fit"


@pytest.mark.parametrize(
    ("gib", "expected"),
    [
        pytest.param(24, 16384, id="16-GiB-left"),
        pytest.param(8.25, 256, id="one-step"),
        pytest.param(8, None, id="weights-alone"),
        pytest.param(64, 32768, id="trained"),
    ],
)
def test_the_largest_context_fills_what_is_left(gib, expected):
    assert max_context(request(described(), machine(gib))) == expected


def test_residents_shrink_the_largest_context():
    assert max_context(request(described(), ONE, used={"CUDA0": 8 * GiB})) == 8192


def test_a_context_without_a_trained_limit_ends_where_memory_does():
    endless = described(n_ctx_train=None)
    assert max_context(request(endless, ONE)) == 16384


@pytest.mark.parametrize("bend", [3, 700, 999])
def test_the_search_never_assumes_a_straight_line(bend):
    def room(n):
        return 1000 - n if n < bend else 1000 - bend - (n - bend) * 50

    best = max(n for n in range(1, 1200) if room(n) >= 0)
    assert largest(room, low=1, high=1200) == best


def test_layers_are_split_like_llama_cpp_splits_them():
    model = described(n_layer=3, kv_bytes_per_token=3 << 20)  # 4 slots of 2 GiB; 4 GiB of K/V per layer
    asked = request(model, machine(24, 24), settings=Settings(n_ctx=4096, tensor_split=(1, 1)))
    assert plan(asked).usage == {"CUDA0": 2 * 2 * GiB + 2 * 4 * GiB, "CUDA1": 2 * 2 * GiB + 4 * GiB, "CPU": 0}
    part = request(model, machine(24), settings=Settings(n_ctx=4096, n_gpu_layers=2))
    assert plan(part).usage == {"CUDA0": 2 * 2 * GiB + 4 * GiB, "CPU": 2 * 2 * GiB + 2 * 4 * GiB}


def test_the_cache_can_stay_in_ram():
    asked = request(described(), ONE, settings=Settings(n_ctx=4096, offload_kqv=False))
    assert plan(asked).usage == {"CUDA0": 8 * GiB, "CPU": 4 * GiB}


def test_a_search_uses_the_plans_that_there_are():
    asked, planned = request(described(), machine(24)), []

    def plan_at(n_ctx):
        planned.append(n_ctx)
        return plan(with_context(asked, n_ctx))

    assert max_context(asked, low=8192, limit=16640, plan_at=plan_at) == 16384
    assert min(planned) == 8192
    assert max(planned) == 16640
