"""Machines that people describe instead of own: `--gpu 24GiB`, `--gpu "2x rtx-3090"`, `--ram 64GiB`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from budget.errors import BudgetError, UsageError
from budget.machine.device import Device, Host, Machine
from budget.record import replace
from budget.units import MiB, format_size, parse_size

DESCRIBED_COMPUTE_CAPABILITY = "8.9"
"""What a `--gpu SIZE` card is taken for: Ada, the middle of what llama.cpp has kernels for. It decides only
which attention kernels, and so which compute buffers, are planned."""

DESCRIBED_CPU_FEATURES = ("avx2", "f16c", "fma")
"""What a described host is taken for where no machine is at hand: x86-64-v3 (psABI), PCs since 2013."""

_SIZE_LIKE = re.compile(r"|[-+.]?[0-9.]{1,3}|[-+.]?[0-9.]+(e[0-9]+|\s*[kmgt]i?bs?)", re.IGNORECASE)
"""What nobody calls a card: a small number, or one with an exponent or a unit. `4090` is a card."""

MAX_GPUS = 16
"""GGML_CUDA_MAX_DEVICES (ggml-cuda.h)."""

NAME_OF_BACKEND = {
    "cuda": "CUDA", "hip": "ROCm", "musa": "MUSA", "metal": "MTL", "vulkan": "Vulkan", "sycl": "SYCL",
    "cann": "CANN", "opencl": "GPUOpenCL", "rpc": "RPC",
}  # fmt: skip
"""How llama.cpp names the devices of a backend, before the number."""


def describe_machine(
    *,
    gpus: Sequence[str] = (),
    ram: str | None = None,
    no_gpu: bool = False,
    base: Machine | None = None,
) -> Machine:
    """`base` with its devices replaced by `gpus`, its RAM by `ram`, or its devices taken away.

    A described device has all of its memory free. Without `base` the host has `DESCRIBED_CPU_FEATURES`, and
    RAM that was not given is unknown.

    Raises:
        UsageError: a text is no size and no known name, more than 16 GPUs, or `gpus` with `no_gpu`.
    """
    if gpus and no_gpu:
        raise UsageError("--gpu and --no-gpu exclude each other", hint="leave one of them out")
    host = base.host if base is not None else Host(cpu_features=DESCRIBED_CPU_FEATURES)
    devices = base.devices if base is not None else ()
    notes = base.notes if base is not None else ()
    if no_gpu:
        devices, notes = (), ()
    if gpus:
        described = [device for spec in gpus for device in parse_gpu(spec)]
        devices, notes = number_devices(described), _catalogue_notes(described)
        host = _own_host(host, devices)
    if ram is not None:
        host = _with_ram(host, parse_ram(ram))
    return Machine(host=host, devices=devices, notes=notes)


def parse_ram(text: str) -> int:
    """Bytes of `--ram`; UsageError names the flag, and refuses less than a MiB, a number without its unit."""
    try:
        size_bytes = parse_size(text)
    except UsageError as error:
        raise error.at("--ram") from error
    if 0 < size_bytes < MiB:
        raise UsageError(
            f"--ram {text} is {format_size(size_bytes)}", hint="a size has a unit, such as 64GiB"
        )
    return size_bytes


def parse_gpu(spec: str) -> tuple[Device, ...]:
    """The devices that one `--gpu` means: `24GiB`, `2x 24GiB`, `rtx-4090`, `2x rtx-3090`, `h100:80GiB`.

    Names are numbered from 0 here; `number_devices` counts across several.

    Raises:
        UsageError: neither a size nor a name in the catalogue; the message quotes the text whole.
    """
    count, rest = split_count(spec)
    if count < 1 or count > MAX_GPUS:
        raise UsageError(f"--gpu {spec!r}: 1 to {MAX_GPUS} devices", hint="such as --gpu '2x 24GiB'")
    size_bytes = _size_or_none(rest)
    if size_bytes == 0:
        raise UsageError(f"--gpu {spec!r}: a device has some memory", hint="--no-gpu plans without one")
    if size_bytes is not None:
        return tuple(_sized_device(size_bytes, i) for i in range(count))
    from budget.machine.hardware import resolve_device

    try:
        device = resolve_device(rest)
    except BudgetError as error:
        raise UsageError(f"--gpu {spec!r}: {error.message}", hint=_meant(rest) or error.hint) from error
    return number_devices([device] * count)


def brings_host(specs: Sequence[str]) -> bool:
    """Whether one of these `--gpu` is a chip that is a whole machine, its RAM included."""
    from budget.machine.hardware import host_of

    shared = [d for spec in specs for d in parse_gpu(spec) if d.unified]
    return any(host_of(device) is not None for device in shared)


def _meant(text: str) -> str | None:
    """How a text that is no device is meant; None where names that are near say more."""
    several = [part.strip() for part in text.split(",")]
    if len(several) > 1 and all(several):
        return f"one option for each: {' '.join(f'--gpu {part}' for part in several)}"
    if _SIZE_LIKE.fullmatch(text):
        return "a size has a unit, such as --gpu 24GiB; `budget hardware` lists the names"
    return _as_machine(text)


def _as_machine(text: str) -> str | None:
    """How a name that is a machine of the catalogue is meant; None where it is none."""
    from budget.machine.catalog import MACHINE_KINDS, find

    found = find(text, kinds=MACHINE_KINDS)
    return f"{found[0].name} is a whole machine: --machine {text}" if found else None


def split_count(spec: str) -> tuple[int, str]:
    """`"2x rtx-3090"` -> (2, "rtx-3090"); (1, spec) without a count."""
    head, x, tail = spec.strip().partition("x")
    digits = head.strip()
    if x and tail.strip() and digits.isascii() and digits.isdigit() and len(digits) <= 4:
        return int(digits), tail.strip()
    return 1, spec.strip()


def number_devices(devices: Sequence[Device]) -> tuple[Device, ...]:
    """`devices` named as llama.cpp counts them: per backend, from 0, in order.

    Raises:
        UsageError: more devices of one backend than llama.cpp takes.
    """
    seen: dict[str, int] = {}
    named = []
    for device in devices:
        number = seen.get(device.backend, 0)
        seen[device.backend] = number + 1
        if number >= MAX_GPUS:
            raise UsageError(f"more than {MAX_GPUS} devices of one backend", hint="llama.cpp takes no more")
        named.append(replace(device, name=f"{NAME_OF_BACKEND[device.backend]}{number}"))
    return tuple(named)


def _size_or_none(text: str) -> int | None:
    """Bytes where `text` starts like a size; a name such as `4090` or `h100` is none."""
    if not text[:1].isdigit() and not text.startswith("."):
        return None
    if text.isdigit() and len(text) <= 5:
        return None  # 4090 and 3090 are cards, not bytes
    try:
        return parse_size(text)
    except UsageError:
        return None


def _sized_device(size_bytes: int, number: int) -> Device:
    return Device(
        name=f"CUDA{number}",
        description=f"{format_size(size_bytes)} GPU",
        compute_capability=DESCRIBED_COMPUTE_CAPABILITY,
        total_bytes=size_bytes,
        free_bytes=size_bytes,
        sources={"total_bytes": "--gpu", "free_bytes": "--gpu", "compute_capability": "assumed"},
    )


def _with_ram(host: Host, size_bytes: int) -> Host:
    return replace(
        host,
        ram_total_bytes=size_bytes,
        ram_available_bytes=size_bytes,
        sources={"ram_total_bytes": "--ram", "ram_available_bytes": "--ram"},
    )


def _own_host(host: Host, devices: Sequence[Device]) -> Host:
    """The host itself, or the one that a described device whose memory is the RAM comes with."""
    shared = [d for d in devices if d.unified and "catalogue" in d.sources.get("total_bytes", "")]
    if not shared:
        return host
    from budget.machine.hardware import host_of

    return host_of(shared[0]) or host


def _catalogue_notes(devices: Sequence[Device]) -> tuple[str, ...]:
    """A line for each kind of device whose numbers nobody has checked."""
    doubtful = {
        f"{device.description}: {device.sources['total_bytes']}"
        for device in devices
        if "low confidence" in device.sources.get("total_bytes", "")
    }
    return tuple(sorted(doubtful))
