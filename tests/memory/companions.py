"""Headers of adapters, projectors and models with few bytes, for tests."""

from __future__ import annotations

from typing import Any

from tests import truth

from budget.gguf.header import Header
from budget.machine.device import Device, Host, Machine

GIB = 1 << 30
HOST = Host(ram_total_bytes=64 * GIB, ram_available_bytes=64 * GIB, cpu_features=("avx2",))


def gpus(*names: str, **fields: Any) -> Machine:
    """A machine with one 40 GiB card per name."""
    return Machine(
        host=HOST,
        devices=tuple(
            Device(name=n, compute_capability="8.9", total_bytes=40 * GIB, free_bytes=40 * GIB, **fields)
            for n in names
        ),
    )


def header(metadata: dict[str, Any], tensors: list[list[Any]]) -> Header:
    """A header of `{key: [type, value]}` and `[name, dims, type]`."""
    return truth.header({"metadata": metadata, "tensors": tensors})


def adapter(*pairs: tuple[str, int, int, int], architecture: str = "llama") -> Header:
    """A LoRA adapter with (weight, inputs, outputs, rank) in f16."""
    tensors = []
    for name, n_in, n_out, rank in pairs:
        tensors += [[f"{name}.lora_a", [n_in, rank], "F16"], [f"{name}.lora_b", [rank, n_out], "F16"]]
    metadata = {
        "general.architecture": ["str", architecture],
        "general.type": ["str", "adapter"],
        "adapter.type": ["str", "lora"],
    }
    return header(metadata, tensors)
