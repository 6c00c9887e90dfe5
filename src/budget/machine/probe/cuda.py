"""The CUDA devices that a llama.cpp process started here would see, in its order, from libcuda itself.

No context is made, so no device memory is used. Runs in a child process (`child.py`): `cuInit` can hang,
and a process that called it must not fork.
Source: CUDA Driver API, "Device Management" (CUdevice_attribute numbers) and cuInit's error codes (cuda.h).
"""

from __future__ import annotations

import ctypes
import uuid
from dataclasses import dataclass
from typing import Any

from budget.machine.probe.nvml import normal_pci_id

ATTRIBUTE_INTEGRATED = 18
ATTRIBUTE_CC_MAJOR = 75
ATTRIBUTE_CC_MINOR = 76
CUDA_ERROR_NO_DEVICE = 100

INIT_HELP = {
    802: "the NVSwitch fabric is not up (start nvidia-fabricmanager)",
    803: "the driver's user and kernel parts are of different versions: reboot",
    804: "the CUDA compatibility package does not support this card",
    999: "the driver failed (a lost card, or /dev/nvidia-uvm cannot be opened)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CudaDevice:
    """One device by CUDA index."""

    uuid: str | None
    """Without its GPU- or MIG- prefix."""
    name: str
    pci_id: str | None
    compute_capability: str | None
    total_bytes: int | None
    """What cudaMemGetInfo would call total."""
    integrated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CudaReport:
    """The devices, or why there are none."""

    devices: tuple[CudaDevice, ...] = ()
    problem: str | None = None


def read_cuda(cuda: Any) -> CudaReport:
    """Every device of `cuda`, a loaded libcuda (`ctypes.CDLL`) or something that behaves like it."""
    code = cuda.cuInit(0)
    if code == CUDA_ERROR_NO_DEVICE:
        return CudaReport()
    if code != 0:
        return CudaReport(problem=f"cuInit fails with {code}: {INIT_HELP.get(code, 'see cuda.h')}")
    count = ctypes.c_int(0)
    if cuda.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return CudaReport(problem="libcuda cannot count its devices")
    return CudaReport(devices=tuple(_device(cuda, i) for i in range(count.value)))


def _device(cuda: Any, index: int) -> CudaDevice:
    handle = ctypes.c_int(0)
    cuda.cuDeviceGet(ctypes.byref(handle), index)
    total = ctypes.c_size_t(0)
    code = cuda.cuDeviceTotalMem_v2(ctypes.byref(total), handle)
    major, minor = _attribute(cuda, ATTRIBUTE_CC_MAJOR, handle), _attribute(cuda, ATTRIBUTE_CC_MINOR, handle)
    return CudaDevice(
        uuid=_uuid(cuda, handle),
        name=_string(cuda.cuDeviceGetName, handle) or "NVIDIA GPU",
        pci_id=normal_pci_id(_string(cuda.cuDeviceGetPCIBusId, handle) or ""),
        compute_capability=None if major is None or minor is None else f"{major}.{minor}",
        total_bytes=total.value if code == 0 and total.value else None,
        integrated=_attribute(cuda, ATTRIBUTE_INTEGRATED, handle) == 1,
    )


def _attribute(cuda: Any, number: int, handle: Any) -> int | None:
    value = ctypes.c_int(0)
    return value.value if cuda.cuDeviceGetAttribute(ctypes.byref(value), number, handle) == 0 else None


def _uuid(cuda: Any, handle: Any) -> str | None:
    """`_v2` answers a MIG instance's own id; drivers before 11.4 have only the first form."""
    raw = (ctypes.c_ubyte * 16)()
    function = getattr(cuda, "cuDeviceGetUuid_v2", None) or getattr(cuda, "cuDeviceGetUuid", None)
    if function is None or function(ctypes.byref(raw), handle) != 0:
        return None
    return str(uuid.UUID(bytes=bytes(raw)))


def _string(function: Any, handle: Any) -> str | None:
    text = ctypes.create_string_buffer(256)
    return text.value.decode("utf-8", "replace") if function(text, len(text), handle) == 0 else None
