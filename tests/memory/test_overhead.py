"""Overhead: held against NVML's readings of real loads, and worked out by hand where the mechanism is known."""

from __future__ import annotations

from typing import Any

import pytest
from tests import truth

from budget.machine.device import Device, Host, Machine
from budget.memory.layout import Layout, lay_out
from budget.memory.overhead import context_bytes, overhead_bytes, overhead_parts, sharing
from budget.planning.budget import resolve_budget
from budget.planning.fit import Request, plan
from budget.runtime.command_line import parse_command_line
from budget.units import MiB

ROWS = truth.rows("runtime_h200")
HOST = Host(ram_total_bytes=1 << 42, ram_available_bytes=1 << 42, cpu_features=("avx2", "fma", "f16c"))


def machine_of(row: dict[str, Any]) -> Machine:
    """The devices as llama.cpp saw them."""
    return Machine(
        host=HOST,
        devices=tuple(
            Device(
                name=name, compute_capability="9.0", description="NVIDIA H200", free_bytes=free, total_bytes=total
            )
            for name, (free, total) in row["cuda_free_total_bytes"].items()
            if name != "CPU"
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    "row", ROWS, ids=[" ".join([r["model"], *r["args"][2:], f"gpus{r['gpus']}"]) for r in ROWS]
)
def test_required_memory_covers_what_nvml_saw_and_little_more(row: dict[str, Any]) -> None:
    machine = machine_of(row)
    answer = plan(
        Request(
            model=truth.model(f"real/{row['model']}"),
            settings=parse_command_line(["llama-server", *row["args"]], {}).settings,
            machine=machine,
            budget=resolve_budget("unlimited", machine),
        )
    )
    required = sum(d.required_bytes for d in answer.devices if d.kind == "gpu")
    seen = row["nvml_used_bytes"]["generated"] - row["nvml_used_bytes"]["before"]
    assert seen <= required <= seen + max(300 * MiB, seen * 3 // 100)


def parts(
    *flags: str, name: str = "llama-3.1-8b", capability: str = "9.0", backend: str = "cuda"
) -> dict[str, int]:
    device = Device(
        name="CUDA0", backend=backend, compute_capability=capability, total_bytes=1 << 40, free_bytes=1 << 40
    )
    model, layout = laid_out(*flags, name=name, devices=(device,))
    return {part.name: part.size_bytes for part in overhead_parts(device, layout, model)}


def laid_out(*flags: str, name: str, devices: tuple[Device, ...]) -> tuple[Any, Layout]:
    model = truth.model(f"real/{name}")
    settings = parse_command_line(["llama-server", "-c", "8192", *flags], {}).settings
    return model, lay_out(model, settings, Machine(host=HOST, devices=devices))


@pytest.mark.parametrize(
    ("flags", "capability", "pool"),
    [
        # Q8_1 activations of the widest product, 36 bytes per 32 elements: 512 rows of 14336; and one f32 tile of
        # 128 x 128 per multiprocessor, 192 of them; the last page
        pytest.param((), "8.9", 512 * 14336 * 36 // 32 + 192 * 65536 + 2 * MiB, id="quantised weights"),
        pytest.param(("-ub", "2048"), "8.9", 2048 * 14336 * 36 // 32 + 192 * 65536 + 2 * MiB, id="four times the rows"),
        # f16 scores of 32 heads against 8192 cells, and f16 results of 32 heads of 128
        pytest.param(("-fa", "off"), "8.9", 2 * 512 * 32 * (8192 + 128) + 2 * MiB, id="no flash attention"),
        # Volta multiplies dequantised weights: 14336 x 4096 f16, both operands of 512 rows in f16
        pytest.param((), "7.0", 2 * 14336 * 4096 + 2 * 512 * (14336 + 4096) + 2 * MiB, id="volta"),
    ],
)  # fmt: skip
def test_the_pool_is_the_largest_scratch_of_one_operation(
    flags: tuple[str, ...], capability: str, pool: int
) -> None:
    assert parts(*flags, capability=capability)["pool"] == pool


def test_a_mixture_of_experts_needs_a_row_per_expert_used_and_two_index_lists() -> None:
    # 512 tokens, 8 experts each; gate and up read 2048 elements; source and destination rows as int32
    expected = 512 * 8 * 2048 * 36 // 32 + 2 * 4 * 512 * 8 + 192 * 65536 + 2 * MiB
    assert parts(name="qwen3-30b-a3b", capability="8.9")["pool"] == expected


@pytest.mark.parametrize(
    ("name", "flags", "called"),
    [
        pytest.param("llama-3.1-8b", (), False, id="quantised weights with flash attention"),
        pytest.param("llama-3.1-8b", ("-fa", "off"), True, id="attention as products"),
        pytest.param("llama-3.1-8b-f16", (), True, id="float weights"),
        pytest.param("qwen3-30b-a3b", (), True, id="float router"),
    ],
)
def test_cublas_counts_only_where_it_is_called(name: str, flags: tuple[str, ...], called: bool) -> None:
    assert ("cublas" in parts(*flags, name=name)) is called


def test_the_cublas_workspace_is_32_mib_from_hopper_on_and_4_mib_before() -> None:
    new, old = (parts("-fa", "off", capability=cc)["cublas"] for cc in ("9.0", "8.9"))
    assert new - old == 28 * MiB


def test_layers_on_the_host_cost_the_device_that_computes_for_them() -> None:
    assert "transfers" in parts("-ngl", "16")
    assert "transfers" not in parts("-ngl", "99")
    assert "transfers" not in parts("-ngl", "16", "--no-op-offload")


@pytest.mark.parametrize(
    ("backend", "target", "expected"),
    [
        ("cuda", "9.0", 530 * MiB),
        ("cuda", "12.0", 530 * MiB),
        ("cuda", "8.6", 460 * MiB),
        ("hip", "gfx942", 600 * MiB),
        ("hip", "gfx1100", 50 * MiB),
        ("metal", None, 0),
        ("rpc", "9.0", 0),
    ],
)
def test_a_driver_context_is_known_by_its_backend_and_generation(
    backend: str, target: str | None, expected: int
) -> None:
    assert context_bytes(Device(name="X0", backend=backend, compute_capability=target)) == expected


GIB = 1 << 30


@pytest.mark.parametrize(
    ("a", "b", "n"),
    [
        pytest.param({"uuid": "GPU-1"}, {"uuid": "GPU-2"}, 1, id="two cards"),
        pytest.param({"uuid": "GPU-1"}, {"uuid": "GPU-1"}, 2, id="one card by its uuid"),
        pytest.param({"pci_id": "0000:01:00.0-v0"}, {"pci_id": "0000:01:00.0-v1"}, 2, id="llama.cpp's pci id"),
        pytest.param(
            {"description": "NVIDIA H200 (dev p0/v0)"}, {"description": "NVIDIA H200 (dev p0/v1)"}, 2, id="named"
        ),
        pytest.param(
            {"description": "NVIDIA H200 (dev p0/v0)"}, {"description": "NVIDIA H200 (dev p1/v0)"}, 1, id="named, apart"
        ),
        pytest.param(
            {"total_bytes": 70 * GIB, "free_bytes": 70 * GIB - 250 * MiB},
            {"total_bytes": 70 * GIB, "free_bytes": 70 * GIB - 250 * MiB}, 2, id="halves of one context",
        ),
        pytest.param(
            {"total_bytes": 70 * GIB, "free_bytes": 70 * GIB - 500 * MiB},
            {"total_bytes": 70 * GIB, "free_bytes": 70 * GIB - 500 * MiB}, 1, id="two equal cards, a context each",
        ),
        pytest.param(
            {"total_bytes": 70 * GIB, "free_bytes": 70 * GIB},
            {"total_bytes": 70 * GIB, "free_bytes": 70 * GIB}, 1, id="two equal idle cards",
        ),
    ],
)  # fmt: skip
def test_virtual_devices_share_the_context_of_their_card(
    a: dict[str, Any], b: dict[str, Any], n: int
) -> None:
    devices = (Device(name="CUDA0", **a), Device(name="CUDA1", **b))
    assert [sharing(d, devices) for d in devices] == [n, n]


def test_backends_nobody_measured_have_no_overhead_of_their_own() -> None:
    device = Device(name="MTL0", backend="metal", total_bytes=1 << 40, free_bytes=1 << 40)
    model, layout = laid_out(name="llama-3.1-8b", devices=(device,))
    assert overhead_bytes(device, layout, model) == 0
