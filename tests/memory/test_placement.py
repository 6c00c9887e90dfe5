"""Placement rules, by hand and by property."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import truth
from budget.errors import MachineError, UnknownAnswerError, UsageError
from budget.machine.device import Device, Host, Machine
from budget.memory.buffer_types import alloc_bytes, padded_bytes
from budget.memory.devices import layer_devices, model_devices
from budget.memory.place import place
from budget.memory.weights import placed_bytes, weight_bytes
from budget.runtime.settings import Settings
from budget.units import GiB

HOST = Host(ram_total_bytes=64 * GiB, ram_available_bytes=64 * GiB, cpu_features=("avx2",))


def gpus(*free_gib, backend="cuda", kind="gpu"):
    return tuple(
        Device(
            name=f"{backend.upper()}{i}", backend=backend, kind=kind, total_bytes=g * GiB, free_bytes=g * GiB
        )
        for i, g in enumerate(free_gib)
    )


def machine(*devices):
    return Machine(host=HOST, devices=devices)


LLAMA = truth.model("real/llama-3.1-8b")  # 32 layers
MOE = truth.model("real/qwen3-30b-a3b")  # 48 layers, experts
NEXTN = truth.model("real/glm-4.5-air")  # 46 + 1 layers


@pytest.mark.parametrize(
    ("free", "changes", "expected"),
    [
        pytest.param((24,), {}, [0] * 33, id="auto-offloads-everything"),
        pytest.param((24,), {"n_gpu_layers": 0}, [None] * 33, id="ngl-0"),
        pytest.param((24,), {"n_gpu_layers": 1}, [None] * 32 + [0], id="ngl-1-is-the-output-layer"),
        pytest.param((24,), {"n_gpu_layers": 32}, [None] + [0] * 32, id="ngl-n-leaves-layer-0"),
        pytest.param((24, 24), {"tensor_split": (3.0, 1.0)}, [0] * 25 + [1] * 8, id="ts-3-1"),
        pytest.param((24, 24), {"tensor_split": (1.0,)}, [0] * 33, id="a-missing-share-is-0"),
        pytest.param((10, 30), {}, [0] * 9 + [1] * 24, id="default-split-by-free-memory"),
        pytest.param((24, 24), {"split_mode": "none", "main_gpu": 1}, [0] * 33, id="split-none"),
        pytest.param((24, 24), {"devices": ()}, [None] * 33, id="dev-none"),
    ],
)
def test_layers_go_where_llama_cpp_puts_them(free, changes, expected):
    settings, here = Settings(**changes), machine(*gpus(*free))
    assert list(layer_devices(settings, LLAMA, here, model_devices(settings, here))) == expected


@pytest.mark.parametrize(
    ("totals_gib", "expected"),
    [
        pytest.param((10, 30), [0] * 9 + [1] * 24, id="by size"),
        pytest.param((None, 30), [0] * 17 + [1] * 16, id="evenly where a size is not known"),
    ],
)
def test_devices_that_are_all_full_are_split_by_what_they_would_hold(totals_gib, expected):
    full = tuple(
        Device(name=f"CUDA{i}", total_bytes=g and g * GiB, free_bytes=0) for i, g in enumerate(totals_gib)
    )
    assert list(layer_devices(Settings(), LLAMA, machine(*full), full)) == expected


def test_multi_token_prediction_blocks_count_as_layers():
    settings, here = Settings(n_gpu_layers=47), machine(*gpus(80))
    assert layer_devices(settings, NEXTN, here, model_devices(settings, here))[0] is None


def test_rpc_devices_come_first_and_integrated_ones_only_alone():
    rpc, gpu, igpu = (gpus(8, backend="rpc")[0], gpus(8)[0], gpus(8, backend="vulkan", kind="igpu")[0])
    names = [d.name for d in model_devices(Settings(), machine(igpu, gpu, rpc))]
    assert names == ["RPC0", "CUDA0"]
    assert [d.name for d in model_devices(Settings(), machine(igpu, rpc))] == ["RPC0", "VULKAN0"]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"tensor_split": (0.0, 0.0)}, UsageError, "every share is 0"),
        ({"tensor_split": (-1.0, 2.0)}, UsageError, "negative"),
        ({"tensor_split": (float("nan"), 1.0)}, UsageError, "no number"),
        ({"tensor_split": (1.0, 1.0, 1.0)}, UsageError, "3 shares for 2 devices"),
        ({"split_mode": "none", "main_gpu": 2}, UsageError, "-mg 2"),
        ({"split_mode": "row"}, UsageError, "split buffers"),
        ({"devices": ("CUDA7",)}, MachineError, "CUDA7"),
        ({"tensor_buft_overrides": (("exps", "CUDA9"),)}, UsageError, "CUDA9"),
        ({"tensor_buft_overrides": (("(", "CPU"),)}, UsageError, "regular expression"),
    ],
)
def test_what_llama_cpp_refuses_is_refused_with_the_reason(changes, error, words):
    with pytest.raises(error, match=words):
        place(LLAMA, Settings(**changes), machine(*gpus(24, 24)))


def test_an_unknown_free_size_is_not_a_split():
    devices = (gpus(24)[0], Device(name="CUDA1", backend="cuda"))
    with pytest.raises(UnknownAnswerError, match="CUDA1"):
        place(LLAMA, Settings(), machine(*devices))


def test_cpu_moe_moves_the_experts_and_nothing_else():
    pattern = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"
    placement = place(
        MOE, Settings(tensor_buft_overrides=((pattern, "CPU"),), load_mode="none"), machine(*gpus(24))
    )
    moved = {
        p.tensor.name for p in placement.weights if p.buffer_type.name == "CUDA_Host" and p.layer is not None
    }
    assert moved == {t.name for t in MOE.tensors if "_exps." in t.name}


def test_host_weights_are_pinned_only_without_a_memory_map():
    settings = Settings(n_gpu_layers=0)
    mapped = place(LLAMA, settings, machine(*gpus(24)))
    assert {p.buffer_type.name for p in mapped.weights} == {"CPU"}
    assert {name for name, _ in weight_bytes(LLAMA, mapped)} == {"CPU_Mapped"}
    pinned = place(LLAMA, Settings(n_gpu_layers=0, load_mode="none"), machine(*gpus(24)))
    assert {p.buffer_type.name for p in pinned.weights} == {"CUDA_Host"}
    without = place(LLAMA, Settings(n_gpu_layers=0, load_mode="none", no_host=True), machine(*gpus(24)))
    assert {p.buffer_type.name for p in without.weights} == {"CPU", "CPU_REPACK"}


def test_quantised_rows_are_padded_to_512_elements_on_cuda():
    tensor = next(t for t in truth.model("real/qwen2.5-0.5b").tensors if t.type.quantized and t.ne[0] % 512)
    here = machine(*gpus(24))
    cuda = place(LLAMA, Settings(), here).device_buffer_types[0]
    padding = tensor.type.row_bytes(512 - tensor.ne[0] % 512)
    assert alloc_bytes(cuda, tensor.type, tensor.ne) == tensor.nbytes + padding


NAMES = sorted(name for name in truth.specs() if name.startswith("real/"))
OVERRIDE = st.tuples(
    st.sampled_from([r"blk\.\d*[02468]\.", "ffn_down", "attn", "exps", r"output", "token_embd"]),
    st.sampled_from(["CPU", "CUDA0", "CUDA1"]),
)


@hypothesis_settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    n_gpu_layers=st.integers(-2, 100),
    shares=st.lists(st.floats(0, 10, width=32), max_size=3).filter(lambda s: not s or sum(s) > 0),
    overrides=st.lists(OVERRIDE, max_size=3),
    free=st.lists(st.integers(1, 200), min_size=3, max_size=3),
    repack=st.booleans(),
)
def test_no_tensor_is_lost_or_counted_twice(name, n_gpu_layers, shares, overrides, free, repack):
    model = truth.model(name)
    settings = Settings(
        n_gpu_layers=n_gpu_layers, tensor_split=tuple(shares), tensor_buft_overrides=tuple(overrides),
        load_mode="none", repack=repack,
    )  # fmt: skip
    placement = place(model, settings, machine(*gpus(*free)))
    first = [p.tensor.name for p in placement.weights if not p.is_duplicate]
    assert sorted(first + [t.name for t in placement.skipped]) == sorted(t.name for t in model.tensors)
    total = sum(weight_bytes(model, placement).values())
    padding = sum(
        padded_bytes(p.buffer_type, p.tensor.type, p.tensor.ne) - p.tensor.nbytes
        for p in placement.weights
        if not p.shares_with_input
    )
    data = sum(p.tensor.nbytes for p in placement.weights if not p.shares_with_input)
    assert total == data + padding == sum(placed_bytes(p) for p in placement.weights)
    offloaded = [d for d in placement.layer_device if d is not None]
    assert offloaded == sorted(offloaded)
    assert len(placement.layer_device) == model.n_layer_all + 1
