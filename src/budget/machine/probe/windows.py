"""Windows: commit room, processor features, and the display adapters of the registry.

Source: Microsoft, "PERFORMANCE_INFORMATION", "IsProcessorFeaturePresent", and the display class key
`HardwareInformation.qwMemorySize` (64 bits; Win32_VideoController.AdapterRAM ends at 4 GiB).
"""

from __future__ import annotations

import ctypes
from typing import Any

from budget.machine.device import Device

DISPLAY_CLASS = r"SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"
MAX_ADAPTERS = 64


class _PerformanceInformation(ctypes.Structure):
    _fields_ = (
        ("cb", ctypes.c_uint32),
        ("CommitTotal", ctypes.c_size_t),
        ("CommitLimit", ctypes.c_size_t),
        ("CommitPeak", ctypes.c_size_t),
        ("PhysicalTotal", ctypes.c_size_t),
        ("PhysicalAvailable", ctypes.c_size_t),
        ("SystemCache", ctypes.c_size_t),
        ("KernelTotal", ctypes.c_size_t),
        ("KernelPaged", ctypes.c_size_t),
        ("KernelNonpaged", ctypes.c_size_t),
        ("PageSize", ctypes.c_size_t),
        ("HandleCount", ctypes.c_uint32),
        ("ProcessCount", ctypes.c_uint32),
        ("ThreadCount", ctypes.c_uint32),
    )


def commit_room_bytes(kernel32: Any = None) -> int | None:
    """Bytes that can still be committed; None where Windows does not say."""
    try:
        library = kernel32 if kernel32 is not None else ctypes.CDLL("kernel32")
        info = _PerformanceInformation()
        info.cb = ctypes.sizeof(info)
        if not library.K32GetPerformanceInfo(ctypes.byref(info), info.cb):
            return None
    except (AttributeError, OSError):
        return None
    return int(max(0, info.CommitLimit - info.CommitTotal) * info.PageSize)


def processor_feature(number: int) -> bool:
    """`IsProcessorFeaturePresent(number)`; False where it cannot be asked."""
    try:
        return bool(ctypes.CDLL("kernel32").IsProcessorFeaturePresent(number))
    except (AttributeError, OSError):
        return False


def registry_devices(winreg: Any) -> tuple[Device, ...]:
    """Display adapters that are not NVIDIA's, with their memory; what is free of it is not known.

    `winreg` is the standard library's module, or something that behaves like it.
    """
    devices: list[Device] = []
    for number in range(MAX_ADAPTERS):
        name, size_bytes = _adapter(winreg, number)
        if name is None:
            break
        if size_bytes and "nvidia" not in name.lower():
            devices.append(
                Device(
                    name=f"Vulkan{len(devices)}",
                    backend="vulkan",
                    description=name,
                    total_bytes=size_bytes,
                    sources={
                        "total_bytes": "registry, HardwareInformation.qwMemorySize",
                        "free_bytes": "unknown: --probe-with llama-server asks llama.cpp itself",
                    },
                )
            )
    return tuple(devices)


def _adapter(winreg: Any, number: int) -> tuple[str | None, int | None]:
    """(name, bytes) of one adapter; (None, None) past the last."""
    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, rf"{DISPLAY_CLASS}\{number:04d}") as key:
            name = str(winreg.QueryValueEx(key, "DriverDesc")[0])
            try:
                size = winreg.QueryValueEx(key, "HardwareInformation.qwMemorySize")[0]
            except OSError:
                return name, None
    except OSError:
        return None, None
    if isinstance(size, bytes):
        size = int.from_bytes(size, "little")
    return name, size if isinstance(size, int) and size > 0 else None
