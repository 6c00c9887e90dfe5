"""Apple silicon: how much of the shared memory Metal gives a process.

Source: llama.cpp, `ggml_metal_device_get_memory` (ggml-metal-device.m): total is Metal's
recommendedMaxWorkingSetSize. The table holds what that is by default, read from logs of llama.cpp on Macs of
each size; `sysctl iogpu.wired_limit_mb` overrides it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from budget.machine.device import Device, Host
from budget.units import GiB, MiB

WORKING_SET_MIB = {
    8: 5461, 16: 12124, 18: 13639, 24: 18186, 32: 25558, 36: 28753, 48: 38338, 64: 53084, 96: 79626,
    128: 110100, 192: 165151, 256: 228065, 512: 475136,
}  # fmt: skip
"""RAM, GiB, to the default working set, MiB, on recent macOS. 192 was not seen: the share of 128 is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetalReport:
    """What Metal says of its default device."""

    working_set_bytes: int | None = None
    max_buffer_bytes: int | None = None
    name: str = ""
    problem: str | None = None


def apple_devices(
    metal: MetalReport, sysctl: Callable[[str], int | None], host: Host, *, name: str = ""
) -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """The one Metal device of an Apple silicon Mac, and notes; nothing on an Intel Mac without Metal.

    Args:
        metal: Metal's own answer, where it gave one.
        sysctl: an integer of the kernel by name, None where there is none.
        host: RAM; other programs' memory is taken off what is free.
        name: the chip's name, such as `Apple M3 Max`.
    """
    ram_bytes = sysctl("hw.memsize")
    is_apple_silicon = sysctl("hw.optional.arm64") == 1
    total_bytes, source = _total(metal, sysctl("iogpu.wired_limit_mb"), ram_bytes, table=is_apple_silicon)
    if total_bytes is None and not is_apple_silicon:
        return (), ("no Metal device: llama.cpp uses the processor here",)
    free_bytes = total_bytes
    if total_bytes is not None and host.ram_available_bytes is not None and is_apple_silicon:
        free_bytes = min(total_bytes, host.ram_available_bytes)
    device = Device(
        name="MTL0",
        kind="gpu",  # Metal calls every device a GPU (ggml-metal.cpp, get_type)
        backend="metal",
        description=metal.name or name or "Apple GPU",
        total_bytes=total_bytes,
        free_bytes=free_bytes,
        max_buffer_bytes=metal.max_buffer_bytes,
        unified=is_apple_silicon,
        sources={"total_bytes": source, "free_bytes": "total, no more than the RAM that is available"},
    )
    notes = () if metal.problem is None else (f"Metal: {metal.problem}",)
    return (device,), notes


def _total(
    metal: MetalReport, wired_limit_mb: int | None, ram_bytes: int | None, *, table: bool
) -> tuple[int | None, str]:
    if metal.working_set_bytes:
        return metal.working_set_bytes, "Metal's recommendedMaxWorkingSetSize"
    if wired_limit_mb:
        return wired_limit_mb * MiB, "sysctl iogpu.wired_limit_mb"
    if ram_bytes and table:
        return working_set_bytes(ram_bytes), "the default working set of a Mac with this much RAM"
    return None, "unknown"


def working_set_bytes(ram_bytes: int) -> int:
    """Default working set, bytes, of a Mac with `ram_bytes`: between rows, the share of the row below."""
    rows = [(gib, mib) for gib, mib in WORKING_SET_MIB.items() if gib * GiB <= ram_bytes]
    gib, mib = rows[-1] if rows else (8, WORKING_SET_MIB[8])
    return mib * MiB * ram_bytes // (gib * GiB)


def sysctl_int(name: str) -> int | None:
    """An integer of the Darwin kernel, 4 or 8 bytes; None where there is none of that name."""
    try:
        library = ctypes.CDLL(None)
        value, size = ctypes.c_uint64(0), ctypes.c_size_t(8)
        code = library.sysctlbyname(name.encode(), ctypes.byref(value), ctypes.byref(size), None, 0)
    except (AttributeError, OSError):
        return None
    return value.value if code == 0 and size.value in (4, 8) else None


def sysctl_text(name: str) -> str:
    """A string of the Darwin kernel; empty where there is none of that name."""
    try:
        library = ctypes.CDLL(None)
        text, size = ctypes.create_string_buffer(256), ctypes.c_size_t(256)
        code = library.sysctlbyname(name.encode(), text, ctypes.byref(size), None, 0)
    except (AttributeError, OSError):
        return ""
    return text.value.decode("utf-8", "replace") if code == 0 else ""


def read_metal(load: Callable[[str], Any] = ctypes.CDLL) -> MetalReport:
    """Ask Metal's default device through the Objective-C runtime; runs in a child process."""
    try:
        metal = load("/System/Library/Frameworks/Metal.framework/Metal")
        load("/System/Library/Frameworks/CoreGraphics.framework/CoreGraphics")
        objc = load("/usr/lib/libobjc.A.dylib")
    except OSError as error:
        return MetalReport(problem=str(error))
    metal.MTLCreateSystemDefaultDevice.restype = ctypes.c_void_p
    device = metal.MTLCreateSystemDefaultDevice()
    if not device:
        return MetalReport(problem="there is no Metal device (a virtual machine has none)")
    objc.sel_registerName.restype = ctypes.c_void_p
    objc.sel_registerName.argtypes = [ctypes.c_char_p]
    objc.objc_msgSend.restype = ctypes.c_uint64
    objc.objc_msgSend.argtypes = [ctypes.c_void_p, ctypes.c_void_p]

    def ask(selector: bytes) -> int | None:
        return int(objc.objc_msgSend(device, objc.sel_registerName(selector))) or None

    return MetalReport(
        working_set_bytes=ask(b"recommendedMaxWorkingSetSize"), max_buffer_bytes=ask(b"maxBufferLength")
    )
