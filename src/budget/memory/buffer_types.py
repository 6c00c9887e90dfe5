"""ggml's buffer types as data: alignment, padding, and which weights each accepts."""

from __future__ import annotations

from budget.gguf.types import GGMLType
from budget.machine.device import Device, Host
from budget.memory.placement import BufferType
from budget.units import round_up

TENSOR_ALIGNMENT = 32
"""ggml-cpu and pinned host buffers (ggml-backend.cpp, `TENSOR_ALIGNMENT`)."""
CUDA_FAMILY = frozenset({"cuda", "hip", "musa"})
"""One source, three names: ggml-cuda."""
_ALIGNMENT = {
    "cuda": 128,
    "hip": 128,
    "musa": 128,
    "sycl": 128,
    "cann": 128,
    "metal": 32,
    "rpc": 32,
    "vulkan": 256,
}
"""Bytes; each backend's `get_alignment`. Vulkan and RPC depend on the device: these are what most report."""
_PADS_ROWS = CUDA_FAMILY | {"sycl", "cann"}
_HOST_NAME = {
    "cuda": "CUDA_Host", "hip": "ROCm_Host", "musa": "MUSA_Host", "sycl": "SYCL_Host", "vulkan": "Vulkan_Host",
    "cann": "CANN_Host",
}  # fmt: skip
"""Backends with a pinned host buffer type; Metal, RPC and OpenCL have none."""
ROW_PADDING_ELEMS = 512
"""ggml-cuda/common.cuh, MATRIX_ROW_PADDING."""
OFFLOAD_MIN_BATCH = 32
"""Rows from which a GPU takes an operation whose weight lies in host memory (each backend's `offload_op`; the
environment variable GGML_OP_OFFLOAD_MIN_BATCH changes it)."""
NO_MMAP_BACKENDS = frozenset({"opencl", "hexagon"})
"""Devices that report `mmap_support` false; integrated CUDA and Vulkan devices do as well."""

CPU = BufferType(
    name="CPU", device=None, backend="cpu", is_host=True, alignment_bytes=TENSOR_ALIGNMENT, pads_rows=False
)
CPU_REPACK = BufferType(
    name="CPU_REPACK",
    device=None,
    backend="cpu",
    is_host=False,
    alignment_bytes=TENSOR_ALIGNMENT,
    pads_rows=False,
)

_REPACK_AVX2 = {"q4_0": 8, "q4_K": 8, "iq4_nl": 8, "mxfp4": 8}
_REPACK_AVX512 = _REPACK_AVX2 | {"q2_K": 8}
_REPACK_NEON = {
    "q4_0": 4, "q4_K": 8, "q5_K": 8, "q6_K": 8, "iq4_nl": 4, "mxfp4": 4, "q8_0": 4, "q1_0": 4,
}  # fmt: skip


def device_buffer_type(device: Device, index: int) -> BufferType:
    """The default buffer type of `device`, number `index` of the placement."""
    family = device.remote_backend if device.backend == "rpc" and device.remote_backend else device.backend
    return BufferType(
        name=device.name,
        device=index,
        backend=device.backend,
        is_host=False,
        alignment_bytes=device.alignment_bytes
        or _ALIGNMENT.get(family, 128 if device.backend != "rpc" else 32),
        pads_rows=family in _PADS_ROWS,
    )


def host_buffer_type(devices: tuple[Device, ...]) -> BufferType | None:
    """The pinned host buffer type of the first device that has one."""
    for device in devices:
        name = _HOST_NAME.get(device.backend)
        if name is not None:
            return BufferType(
                name=name,
                device=None,
                backend=device.backend,
                is_host=True,
                alignment_bytes=64 if device.backend == "vulkan" else TENSOR_ALIGNMENT,
                pads_rows=False,
            )
    return None


def repack_rows(host: Host) -> dict[str, int]:
    """Types that ggml-cpu repacks on this processor, with the rows a tensor must be a multiple of.

    Source: ggml-cpu/repack.cpp, `ggml_repack_get_optimal_repack_type`.
    """
    features = set(host.cpu_features)
    if "avx512f" in features:
        return _REPACK_AVX512
    if "avx2" in features:
        return _REPACK_AVX2
    if {"neon", "dotprod", "i8mm"} <= features:
        return _REPACK_NEON
    return {}


def alloc_bytes(buffer_type: BufferType, type_: GGMLType, ne: tuple[int, ...]) -> int:
    """Bytes that a tensor of shape `ne` takes in `buffer_type`, before alignment.

    Source: each backend's `get_alloc_size`.
    """
    size = type_.tensor_bytes(ne)
    if size and buffer_type.pads_rows and type_.quantized and ne[0] % ROW_PADDING_ELEMS:
        size += type_.row_bytes(ROW_PADDING_ELEMS - ne[0] % ROW_PADDING_ELEMS)
    return size


def padded_bytes(buffer_type: BufferType, type_: GGMLType, ne: tuple[int, ...]) -> int:
    """Bytes that a tensor takes in `buffer_type`, alignment included."""
    return round_up(alloc_bytes(buffer_type, type_, ne), buffer_type.alignment_bytes)
