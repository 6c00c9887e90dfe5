"""What each ggml backend supports, how large it makes tensors, and what it adds to the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from budget.machine.device import Device
from budget.memory.buffer_types import CUDA_FAMILY
from budget.memory.compute import cuda
from budget.memory.compute.tensor import Tensor, nbytes
from budget.memory.placement import BufferType, Placement

_ASYNC_WITH_EVENTS = CUDA_FAMILY | {"metal", "vulkan", "rpc"}
"""Backends whose devices report async compute and events: what pipeline parallelism needs."""
_EXACT_FROM = (7, 5)
"""NVIDIA compute capability from which the kernel table of flash attention is modelled in full."""

Alloc = Callable[[Tensor], int]


class Backend:
    """One backend of the scheduler."""

    __slots__ = (
        "alignment_bytes", "alloc_size", "buft", "device", "exact", "index", "is_cpu", "kind", "max_chunk_bytes",
        "name", "offloads", "pipelines", "supports", "topk_deps",
    )  # fmt: skip

    def __init__(
        self, *, index: int, kind: str, buffer_type: BufferType, buft: int, device: Device | None
    ) -> None:
        self.index = index
        self.kind = kind
        """ggml backend; `cpu` for the host."""
        self.is_cpu = device is None
        self.device = device
        self.buft = buft
        """Buffer type that it computes in, as an index."""
        self.name = buffer_type.name
        self.alignment_bytes = buffer_type.alignment_bytes
        self.max_chunk_bytes = device.max_buffer_bytes if device is not None else None
        self.alloc_size: Alloc = nbytes
        self.supports: Callable[[Tensor], bool] = _everything
        self.offloads = kind in CUDA_FAMILY | {"vulkan", "sycl", "metal"}
        """Takes large operations whose weights lie in host memory (`offload_op`)."""
        self.pipelines = kind in _ASYNC_WITH_EVENTS
        self.topk_deps = kind in CUDA_FAMILY
        """Fused mixture-of-experts operations keep tensors alive (ggml-cuda.cu, `graph_optimize`)."""
        self.exact: Literal["exact", "formula"] = "exact"


def _everything(_node: Tensor) -> bool:
    return True


def backends(placement: Placement, buffer_index: dict[str, int]) -> tuple[Backend, ...]:
    """The scheduler's backends in priority order: devices, then the CPU.

    Source: llama-context.cpp, constructor: the CPU computes in the pinned host buffer of the first device, if any.
    """
    gpu_bufts = frozenset(buffer_index[t.name] for t in placement.device_buffer_types)
    result = []
    for i, (device, buffer_type) in enumerate(
        zip(placement.devices, placement.device_buffer_types, strict=True)
    ):
        backend = Backend(
            index=i,
            kind=device.backend,
            buffer_type=buffer_type,
            buft=buffer_index[buffer_type.name],
            device=device,
        )
        _specialise(backend, device, gpu_bufts)
        if placement.meta_devices:
            # ggml-backend-meta.cpp: the device of -sm tensor has no `offload_op`, no events, no `graph_optimize`
            backend.offloads = backend.pipelines = backend.topk_deps = False
        result.append(backend)
    host = placement.cpu_buffer_type
    if placement.devices and placement.host_buffer_type is not None:
        host = placement.host_buffer_type
    result.append(
        Backend(index=len(result), kind="cpu", buffer_type=host, buft=buffer_index[host.name], device=None)
    )
    return tuple(result)


def _specialise(backend: Backend, device: Device, gpu_bufts: frozenset[int]) -> None:
    kind = device.remote_backend if backend.kind == "rpc" and device.remote_backend else backend.kind
    if kind in CUDA_FAMILY:
        capability = _capability(device.compute_capability)
        rules = cuda.Rules(backend.buft, gpu_bufts, capability)
        backend.alloc_size = rules.alloc_size
        if backend.kind != "rpc":
            backend.supports = rules.supports
        if kind != "cuda" or capability < _EXACT_FROM:
            backend.exact = "formula"
    elif kind != "cpu":
        backend.exact = "formula"


def _capability(text: str | None) -> tuple[int, int]:
    """`8.9` to (8, 9); an unknown one counts as a current card."""
    try:
        major, minor = (text or "").split(".")
        return int(major), int(minor)
    except ValueError:
        return (9, 0)
