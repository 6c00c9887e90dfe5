"""What a process takes on a device beyond llama.cpp's own buffers: every figure here is an estimate."""

from __future__ import annotations

import re

from budget.machine.device import Device
from budget.memory.cuda_pool import PoolUse, pool_use
from budget.memory.layout import Layout
from budget.memory.placement import Placement
from budget.model.facts import Model
from budget.record import record
from budget.units import MiB

_CONTEXT_DEFAULT_BYTES = {"cuda": 460 * MiB, "musa": 460 * MiB, "hip": 50 * MiB}
"""Driver context of one process on one card. CUDA total minus free on an idle card: 392 MiB on an RTX 4090;
ROCm: 20 MiB on an MI60, 36 MiB on an RX 7900 XTX (llama.cpp issue 16725: 24524 of 24560 MiB free)."""
_CONTEXT_HOPPER_BYTES = 530 * MiB
"""From compute capability 9.0 on: 526.8 MiB on an H200 (NVML before and after), 521 MiB on an RTX 5090."""
_CONTEXT_CDNA3_BYTES = 600 * MiB
"""gfx94x and gfx95x: 538 MiB on an MI300X, 586 MiB on an MI355X."""
_GRANULE_BYTES = 2 * MiB
"""cudaMalloc and cuMemCreate hand out physical memory in 2 MiB pages."""
_KERNELS_BYTES = 96 * MiB
"""Kernel code is loaded when it first runs (CUDA_MODULE_LOADING=LAZY): about 60 MiB for a dense model, on an
H200 (first prompt, pools taken off) as on an RTX 4090 (llama.cpp PR 15860: 451 to 456 MiB unaccounted, 392 of
them context). More types of weights and head sizes load more kernels, so half as much again is counted."""
_CUBLAS_KERNELS_BYTES = 96 * MiB
"""cuBLAS's own kernels, loaded at its first call: 60 to 70 MiB, half as much again counted."""
_GRAPHS_BYTES = 8 * MiB
"""CUDA graphs kept for single-token batches: 0 to 4 MiB more after generating than after the prompt."""
_HOST_LAYERS_BYTES = 48 * MiB
"""Layers on the host whose products run on the device: 36 MiB more on an H200 with half of a dense model's layers
on the CPU; what takes it was not found, so a third more is counted."""
_VULKAN_BYTES = 17 * MiB
"""Unaccounted on an RX 9060 XT (llama.cpp PR 20858)."""
_CONTEXT_SOURCE = "driver context: total minus free memory of an idle card with one process"


@record
class OverheadPart:
    """One part of a device's overhead."""

    name: str
    """`context pages kernels pool graphs cublas transfers`."""
    size_bytes: int
    source: str
    """Where the figure comes from, in a few words."""


def overhead_bytes(device: Device, layout: Layout, model: Model) -> int:
    """Estimate of what the process takes on `device` beyond `layout`, in bytes, once prompts have run.

    The pools count at the full context: they grow as it fills, and never shrink.
    """
    return sum(part.size_bytes for part in overhead_parts(device, layout, model))


def overhead_parts(device: Device, layout: Layout, model: Model) -> tuple[OverheadPart, ...]:
    """The parts of `overhead_bytes`; empty for backends whose overhead nobody has measured (Metal, SYCL, CANN)."""
    family = device.remote_backend if device.backend == "rpc" else device.backend
    index = _index(layout.placement, device)
    if index is None or family not in ("cuda", "hip", "musa", "vulkan"):
        return ()
    use = pool_use(model, layout, index, family=family, target=device.compute_capability)
    if family == "vulkan":
        parts = [
            OverheadPart(name="context", size_bytes=_VULKAN_BYTES, source="llama.cpp PR 20858"),
            OverheadPart(
                name="pool",
                size_bytes=use.activations_bytes,
                source="ggml-vulkan.cpp, prealloc_y: the activations of the widest product",
            ),
        ]
    else:
        parts = _cuda_parts(device, layout, use, index)
    return tuple(part for part in parts if part.size_bytes)


def bare_overhead_bytes(device: Device) -> int:
    """Estimate for a device that holds no layer, only a projector or a draft model, bytes."""
    if device.backend not in _CONTEXT_DEFAULT_BYTES:
        return 0
    return context_bytes(device) + _KERNELS_BYTES + _CUBLAS_KERNELS_BYTES + 2 * _GRANULE_BYTES


def blas_workspace_bytes(device: Device) -> int:
    """Workspace that ggml-cuda gives each cuBLAS handle; rocBLAS and muBLAS manage their own, taken as 32 MiB.

    Source: ggml-cuda/common.cuh, `cublas_handle`: 32 MiB from Hopper on, 4 MiB before.
    """
    if device.backend == "cuda" and device.compute_capability and _major(device.compute_capability) < 9:
        return 4 * MiB
    return 32 * MiB if device.backend in _CONTEXT_DEFAULT_BYTES else 0


def context_bytes(device: Device) -> int:
    """Driver context of one process on the card of `device`, bytes; 0 where the backend has none worth counting.

    An RPC server holds its context before llama.cpp connects, and reports free memory without it: 0.
    """
    if device.context_in_use:
        return 0  # free memory was read with a context already there
    target = device.compute_capability or ""
    if device.backend == "cuda" and _major(target) >= 9:
        return _CONTEXT_HOPPER_BYTES
    if device.backend == "hip" and re.match(r"gfx9[45]", target):
        return _CONTEXT_CDNA3_BYTES
    return _CONTEXT_DEFAULT_BYTES.get(device.backend, 0)


def _cuda_parts(device: Device, layout: Layout, use: PoolUse, index: int) -> list[OverheadPart]:
    cards = sharing(device, layout.devices)
    n_buffers = 2 + len({t.cache for t in layout.caches if layout.placement.layer_device[t.layer] == index})
    parts = [
        OverheadPart(name="context", size_bytes=context_bytes(device) // cards, source=_CONTEXT_SOURCE),
        OverheadPart(
            name="pages",
            size_bytes=n_buffers * _GRANULE_BYTES,
            source="each buffer ends in a 2 MiB page; streams, events and handles take one",
        ),
        OverheadPart(
            name="kernels", size_bytes=_KERNELS_BYTES // cards, source="kernels loaded at the first prompt"
        ),
        OverheadPart(
            name="pool",
            size_bytes=use.pool_bytes + (_GRANULE_BYTES if use.pool_bytes else 0),
            source=f"ggml-cuda pool: {use.reason}",
        ),
        OverheadPart(name="graphs", size_bytes=_GRAPHS_BYTES, source="CUDA graphs of generation"),
    ]
    if layout.params.op_offload and index == 0 and None in layout.placement.layer_device:
        source = "layers on the host whose products run here"
        parts.append(OverheadPart(name="transfers", size_bytes=_HOST_LAYERS_BYTES, source=source))
    if use.blas:
        workspace = blas_workspace_bytes(device)
        parts.append(
            OverheadPart(
                name="cublas",
                size_bytes=workspace + _CUBLAS_KERNELS_BYTES // cards,
                source=f"workspace of {workspace // MiB} MiB (common.cuh, cublas_handle) and kernels: {use.blas}",
            )
        )
    return parts


def _major(target: str) -> int:
    head = target.partition(".")[0]
    return int(head) if head.isdigit() else 0


def _index(placement: Placement, device: Device) -> int | None:
    if placement.meta_devices:
        return 0 if device.name in {d.name for d in placement.meta_devices} else None
    names = [d.name for d in placement.devices]
    return names.index(device.name) if device.name in names else None


_VIRTUAL = re.compile(r"\(dev p(?P<card>\d+)/v\d+\)\Z")
_ONE_CONTEXT_BYTES = range(380 * MiB, 620 * MiB)
"""What one CUDA context takes, smallest to largest seen."""


def sharing(device: Device, devices: tuple[Device, ...]) -> int:
    """How many of `devices` lie on the card of `device`, itself included: they share one driver context.

    Virtual devices (GGML_CUDA_DEVICES) are known by llama.cpp's description, by equal identifiers, or by free and
    total memory: llama.cpp divides the card's by their number, so both are equal to the byte, and what all of them
    lack together is one context.

    Source: ggml-cuda.cu, `ggml_cuda_device_description`, `ggml_backend_cuda_device_get_memory`.
    """
    mine = _card(device)
    if mine is not None:
        return max(1, sum(_card(d) == mine for d in devices))
    twins = [d for d in devices if _memory(d) == _memory(device) and d.description == device.description]
    total, free = device.total_bytes, device.free_bytes
    if len(twins) > 1 and total and free and (total - free) * len(twins) in _ONE_CONTEXT_BYTES:
        return len(twins)
    return 1


def _card(device: Device) -> tuple[str, str] | None:
    match = _VIRTUAL.search(device.description)
    if match:
        return "card", match["card"]
    if device.uuid:
        return "uuid", device.uuid
    return ("pci", re.sub(r"-v\d+\Z", "", device.pci_id)) if device.pci_id else None


def _memory(device: Device) -> tuple[str, int | None, int | None]:
    return device.backend, device.total_bytes, device.free_bytes
