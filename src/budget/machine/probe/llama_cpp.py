"""The devices that a llama.cpp program the user names lists itself: `llama-server --list-devices`.

It is the best answer there is: the very backends, order, totals and free memory that a load will see.
Source: llama.cpp, `common_print_available_devices` (common/arg.cpp), one line per device:
`  NAME: DESCRIPTION (T MiB, F MiB free)`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from budget.errors import MachineError
from budget.machine.device import Device
from budget.units import MiB

LIST_TIMEOUT_S = 60.0
"""Seconds; a CUDA build makes a context on every card before it answers."""

_LINE = re.compile(
    r"^\s+(?P<name>\S+): (?P<description>.*) \((?P<total>\d+) MiB, (?P<free>\d+) MiB free\)\s*$"
)
_BACKEND_OF = {
    "CUDA": "cuda", "ROCm": "hip", "MUSA": "musa", "MTL": "metal", "Metal": "metal", "Vulkan": "vulkan",
    "SYCL": "sycl", "CANN": "cann", "GPUOpenCL": "opencl", "RPC": "rpc",
}  # fmt: skip

Run = Callable[[Sequence[str], float], str]


def llama_cpp_devices(
    program: str, *, run: Run | None = None, timeout_s: float = LIST_TIMEOUT_S
) -> tuple[Device, ...]:
    """The devices that `program --list-devices` prints, in its order.

    `free_bytes` was read with a context on the device (`context_in_use`); sizes are whole MiB.

    Raises:
        MachineError: the program cannot be run, fails, takes too long, or prints something else.
    """
    text = (run or _run)([program, "--list-devices"], timeout_s)
    if "Available devices" not in text:
        raise MachineError(
            f"{program} --list-devices printed no list of devices",
            hint="it takes a llama.cpp of 2025 or newer",
        )
    return parse_devices(text)


def parse_devices(text: str) -> tuple[Device, ...]:
    """The devices of a `--list-devices` output; lines of other kinds are passed over."""
    matches = [match for match in map(_LINE.match, text.splitlines()) if match is not None]
    return tuple(
        _device(m["name"], m["description"], int(m["total"]), int(m["free"]))
        for m in matches
        if _is_memory(m)
    )


def _is_memory(match: re.Match[str]) -> bool:
    """BLAS and the like are listed with nothing to allocate from."""
    return backend_of(match["name"]) is not None


def backend_of(name: str) -> str | None:
    """`CUDA0` -> `cuda`; None for a name that belongs to no backend with memory."""
    return _BACKEND_OF.get(re.sub(r"\d.*$", "", name.partition("[")[0]))


def _device(name: str, description: str, total_mib: int, free_mib: int) -> Device:
    known = total_mib > 0  # 0 of 0 MiB is how a backend says that it does not know
    return Device(
        name=name,
        backend=backend_of(name) or "cuda",
        description=description,
        total_bytes=total_mib * MiB if known else None,
        free_bytes=free_mib * MiB if known else None,
        context_in_use=True,
        sources=dict.fromkeys(("total_bytes", "free_bytes"), "llama.cpp --list-devices, whole MiB"),
    )


def with_details(listed: Sequence[Device], probed: Sequence[Device]) -> tuple[Device, ...]:
    """`listed` devices with what only the probes know: target, ids, bandwidth, and whether RAM is shared.

    They are matched by name and description; a device that does not match stays as it was listed.
    """
    known = {(device.name, device.description): device for device in probed}
    return tuple(_with(device, known.get((device.name, device.description))) for device in listed)


def _with(device: Device, probed: Device | None) -> Device:
    if probed is None:
        return device
    return replace(
        device,
        kind=probed.kind,
        compute_capability=probed.compute_capability,
        uuid=probed.uuid,
        pci_id=probed.pci_id,
        bandwidth_bytes_per_second=probed.bandwidth_bytes_per_second,
        unified=probed.unified,
    )


def _run(command: Sequence[str], timeout_s: float) -> str:
    import subprocess

    try:
        done = subprocess.run(  # noqa: S603  (the program the user named)
            list(command), stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise MachineError(
            f"{command[0]} did not list its devices within {timeout_s:g} s", hint="does it run by itself?"
        ) from error
    except OSError as error:
        raise MachineError(
            f"cannot run {command[0]}: {error.strerror or error}", hint="give its full path"
        ) from error
    if done.returncode != 0:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no message"]
        raise MachineError(f"{command[0]} --list-devices failed (exit {done.returncode}): {last[0]}")
    return (done.stdout + b"\n" + done.stderr).decode("utf-8", "replace")
