"""What NVML says about each NVIDIA card, as plain data.

Runs in a child process (`child.py`); the library is passed in, so that tests pass a stand-in.
Source: NVIDIA, "NVML API Reference" (nvmlDeviceGetMemoryInfo_v2, MIG and enumeration pages), nvml.h.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

# nvml.h, nvmlReturn_t
INVALID_ARGUMENT = 2
NOT_SUPPORTED = 3
NO_PERMISSION = 4
INSUFFICIENT_POWER = 8
DRIVER_NOT_LOADED = 9
LIBRARY_NOT_FOUND = 12
FUNCTION_NOT_FOUND = 13
GPU_IS_LOST = 15
RESET_REQUIRED = 16
LIB_RM_VERSION_MISMATCH = 18
ARGUMENT_VERSION_MISMATCH = 25

INIT_HELP = {
    LIBRARY_NOT_FOUND: "no libnvidia-ml of an NVIDIA driver here (in a container: start it with --gpus all)",
    DRIVER_NOT_LOADED: "the NVIDIA driver is installed but not loaded (modprobe nvidia, or reboot)",
    NO_PERMISSION: "no permission to talk to the NVIDIA driver (see the mode of /dev/nvidiactl)",
    LIB_RM_VERSION_MISMATCH: "the NVIDIA driver was updated under a running kernel module: reboot",
}
DEVICE_HELP = {
    NO_PERMISSION: "no permission to read it",
    GPU_IS_LOST: "it has fallen off the bus: reboot, or look at its power and riser",
    RESET_REQUIRED: "it needs a reset",
    INSUFFICIENT_POWER: "its power cables are not all plugged in",
    NOT_SUPPORTED: "its driver does not report memory",
}

NVML_CLOCK_MEM = 2
NVML_ADDRESSING_MODE_ATS = 2
NVML_VIRTUALIZATION_VGPU = 2

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One NVML device, or one MIG instance of it."""

    index: int
    """NVML index: PCI order."""
    name: str = "NVIDIA GPU"
    uuid: str | None = None
    pci_id: str | None = None
    compute_capability: str | None = None
    total_bytes: int | None = None
    """All of the memory, the driver's reserve included."""
    reserved_bytes: int | None = None
    """What driver and firmware keep; None from drivers that do not tell (before 510)."""
    free_bytes: int | None = None
    bandwidth_bytes_per_second: int | None = None
    memory_error: int | None = None
    """NVML's code where memory could not be read."""
    device_error: int | None = None
    """NVML's code where the device could not be opened at all."""
    ats: bool = False
    """True where CPU and GPU share one coherent address space."""
    vgpu: bool = False
    mig_enabled: bool = False
    mig: tuple[Card, ...] = ()
    processes: tuple[tuple[int, int | None], ...] = ()
    """Process id and bytes (None where the driver does not say) of what runs on it now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NvmlReport:
    """Every card NVML sees, or why it sees none."""

    cards: tuple[Card, ...] = ()
    driver_version: str | None = None
    cuda_version: str | None = None
    problem: str | None = None
    """Why there is nothing to report, in one sentence; None where NVML works."""


def read_nvml(nvml: Any) -> NvmlReport:
    """Everything of interest from `nvml`, the module `pynvml` or something that behaves like it."""
    if not callable(getattr(nvml, "nvmlDeviceGetMemoryInfo", None)):
        return NvmlReport(problem="the installed pynvml is not nvidia-ml-py (pip install nvidia-ml-py)")
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return NvmlReport(problem=INIT_HELP.get(_code(error), f"NVML does not start: {error}"))
    try:
        return NvmlReport(
            cards=tuple(_cards(nvml)),
            driver_version=_text(_ask(nvml, nvml.nvmlSystemGetDriverVersion)),
            cuda_version=_cuda_version(_ask(nvml, nvml.nvmlSystemGetCudaDriverVersion_v2)),
        )
    except nvml.NVMLError as error:
        return NvmlReport(problem=f"NVML cannot list its devices: {error}")
    finally:
        _ask(nvml, nvml.nvmlShutdown)


def _cards(nvml: Any) -> Iterator[Card]:
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
        except nvml.NVMLError as error:
            yield Card(index=index, device_error=_code(error))
            continue
        yield _card(nvml, handle, index)


def _card(nvml: Any, handle: Any, index: int) -> Card:
    capability = _ask(nvml, nvml.nvmlDeviceGetCudaComputeCapability, handle)
    pci = _ask(nvml, nvml.nvmlDeviceGetPciInfo, handle)
    mig_mode = _ask(nvml, getattr(nvml, "nvmlDeviceGetMigMode", None), handle)
    mig_enabled = mig_mode is not None and mig_mode[0] == 1
    total, reserved, free, error = _memory(nvml, handle)
    return Card(
        index=index,
        name=_text(_ask(nvml, nvml.nvmlDeviceGetName, handle)) or "NVIDIA GPU",
        uuid=_text(_ask(nvml, nvml.nvmlDeviceGetUUID, handle)),
        pci_id=None if pci is None else normal_pci_id(_text(pci.busId) or ""),
        compute_capability=None if capability is None else f"{capability[0]}.{capability[1]}",
        total_bytes=total,
        reserved_bytes=reserved,
        free_bytes=free,
        memory_error=error,
        bandwidth_bytes_per_second=_bandwidth(nvml, handle),
        ats=_ask(nvml, getattr(nvml, "nvmlDeviceGetAddressingMode", None), handle)
        == NVML_ADDRESSING_MODE_ATS,
        vgpu=_ask(nvml, getattr(nvml, "nvmlDeviceGetVirtualizationMode", None), handle)
        == NVML_VIRTUALIZATION_VGPU,
        mig_enabled=mig_enabled,
        mig=tuple(_mig(nvml, handle, index)) if mig_enabled else (),
        processes=tuple(_processes(nvml, handle)),
    )


def _mig(nvml: Any, parent: Any, index: int) -> Iterator[Card]:
    """The instances of a card in MIG mode; slots without one are passed over."""
    for slot in range(_ask(nvml, nvml.nvmlDeviceGetMaxMigDeviceCount, parent) or 0):
        handle = _ask(nvml, nvml.nvmlDeviceGetMigDeviceHandleByIndex, parent, slot)
        if handle is None:
            continue
        capability = _ask(nvml, nvml.nvmlDeviceGetCudaComputeCapability, parent)
        total, reserved, free, error = _memory(nvml, handle)
        yield Card(
            index=index,
            name=_text(_ask(nvml, nvml.nvmlDeviceGetName, handle)) or "MIG device",
            uuid=_text(_ask(nvml, nvml.nvmlDeviceGetUUID, handle)),
            compute_capability=None if capability is None else f"{capability[0]}.{capability[1]}",
            total_bytes=total,
            reserved_bytes=reserved,
            free_bytes=free,
            memory_error=error,
        )


def _memory(nvml: Any, handle: Any) -> tuple[int | None, int | None, int | None, int | None]:
    """(total, reserved, free, error code): version 2 where the driver has it, else version 1."""
    version = getattr(nvml, "nvmlMemory_v2", None)
    try:
        if version is not None:
            try:
                info = nvml.nvmlDeviceGetMemoryInfo(handle, version)
                return info.total, info.reserved, info.free, None
            except nvml.NVMLError as error:
                if _code(error) not in {FUNCTION_NOT_FOUND, ARGUMENT_VERSION_MISMATCH, INVALID_ARGUMENT}:
                    raise
        info = nvml.nvmlDeviceGetMemoryInfo(handle)
    except nvml.NVMLError as error:
        return None, None, None, _code(error)
    return info.total, None, info.free, None


def _bandwidth(nvml: Any, handle: Any) -> int | None:
    """Bytes per second: bus width times twice the highest memory clock (double data rate)."""
    width_bits = _ask(nvml, getattr(nvml, "nvmlDeviceGetMemoryBusWidth", None), handle)
    clock_mhz = _ask(nvml, getattr(nvml, "nvmlDeviceGetMaxClockInfo", None), handle, NVML_CLOCK_MEM)
    if not width_bits or not clock_mhz:
        return None
    return int(width_bits) * int(clock_mhz) * 2 * 1_000_000 // 8


def _processes(nvml: Any, handle: Any) -> Iterator[tuple[int, int | None]]:
    seen: set[int] = set()
    for name in ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses"):
        for process in _ask(nvml, getattr(nvml, name, None), handle) or ():
            if process.pid not in seen:
                seen.add(process.pid)
                yield process.pid, process.usedGpuMemory


def _ask(nvml: Any, function: Callable[..., T] | None, *args: Any) -> T | None:
    """The answer, or None where this driver, card or pynvml has none."""
    if function is None:
        return None
    try:
        return function(*args)
    except nvml.NVMLError:
        return None


def _code(error: Any) -> int:
    return int(getattr(error, "value", -1))


def _text(value: Any) -> str | None:
    """Text of either kind: pynvml before 11.5 answers bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _cuda_version(number: int | None) -> str | None:
    """13000 -> `13.0`."""
    return None if not number else f"{number // 1000}.{number % 1000 // 10}"


def normal_pci_id(text: str) -> str | None:
    """llama.cpp's form: NVML's `00000000:01:00.0` -> `0000:01:00.0`; None where it is no PCI id."""
    domain, _, rest = text.strip().lower().partition(":")
    return f"{domain[-4:].rjust(4, '0')}:{rest}" if rest.count(":") == 1 and "." in rest else None
