"""A machine as plain data: its host and its memory devices, each number with its source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from budget.record import field, record

DeviceKind = Literal["gpu", "igpu", "accel", "cpu"]


@record
class Device:
    """One memory device as llama.cpp would list it."""

    name: str
    """Name as llama.cpp prints it: `CUDA0`, `ROCm0`, `MTL0`, `Vulkan0`, `SYCL0`, `RPC0[host:port]`."""
    kind: DeviceKind = "gpu"
    backend: str = "cuda"
    """ggml backend: `cuda hip musa metal vulkan sycl cann opencl rpc cpu`."""
    description: str = ""
    """The card's own name."""
    compute_capability: str | None = None
    """NVIDIA compute capability such as `8.9`, or an AMD target such as `gfx1100`."""
    total_bytes: int | None = None
    """Memory that the backend reports as total; None where it is unknown."""
    free_bytes: int | None = None
    """Memory free now, before this process has a context on the device; None where it is unknown."""
    uuid: str | None = None
    pci_id: str | None = None
    """Lower-case `0000:01:00.0`."""
    bandwidth_bytes_per_second: int | None = None
    unified: bool = False
    """True where the device's memory is the host's RAM."""
    alignment_bytes: int | None = None
    """Buffer alignment where the backend's own default does not hold (RPC, Vulkan)."""
    max_buffer_bytes: int | None = None
    """Largest single allocation where the backend limits it (Vulkan, Metal)."""
    remote_backend: str | None = None
    """For an RPC device: the backend of the server behind it (`cuda`, `cpu`, ...); None where unknown."""
    context_in_use: bool = False
    """True where `free_bytes` was read by llama.cpp itself, so that its driver context is paid already."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where each number comes from, by field name."""
    problem: str | None = None
    """Why the device cannot be used or read, in one sentence."""


@record
class Host:
    """The host's memory and the processor features that change llama.cpp's buffers."""

    ram_total_bytes: int | None = None
    """Physical RAM or the tightest limit around this process; None where it is unknown."""
    ram_available_bytes: int | None = None
    """RAM that can be used now without swapping, inside every limit; None where it is unknown."""
    cpu_features: tuple[str, ...] = ()
    """Lower-case: `avx2 fma f16c avx512f amx_int8 neon dotprod i8mm ...`."""
    sources: Mapping[str, str] = field(default_factory=dict)


@record
class Machine:
    """A host and the devices beside it, in llama.cpp's registry order."""

    host: Host
    devices: tuple[Device, ...] = ()
    notes: tuple[str, ...] = ()
    """What the probes found worth saying (no driver, a hidden card, a limit that won)."""
