"""A plan in one line, and how tight it is."""

from __future__ import annotations

from typing import Literal

from budget.machine.device import Machine
from budget.planning.budget import HOST
from budget.planning.fit import Plan, headroom_bytes
from budget.units import GiB, format_size

Tightness = Literal["ok", "tight", "short"]
TIGHT_BYTES = GiB
"""Less than this left over is tight: one more slot or a longer prompt may not fit."""


def tightness(required_bytes: int, available_bytes: int, *, tight_bytes: int = TIGHT_BYTES) -> Tightness:
    """`short` where it does not fit, `tight` where less than `tight_bytes` are left, else `ok`."""
    left = available_bytes - required_bytes
    return "short" if left < 0 else "tight" if left < tight_bytes else "ok"


def plan_tightness(answer: Plan, *, tight_bytes: int = TIGHT_BYTES) -> Tightness | None:
    """The same for the device that binds; None where the verdict is unknown or nothing is limited."""
    if answer.verdict == "unknown":
        return None
    limited = answer.request.budget.combined_bytes is not None or any(
        d.available_bytes is not None and d.required_bytes for d in answer.devices
    )
    return tightness(0, headroom_bytes(answer), tight_bytes=tight_bytes) if limited else None


def one_line(answer: Plan) -> str:
    """`fits at 8,192 tokens: CUDA0 7.2 of 24.0 GiB, CPU 0.5 of 51.2 GiB`: every device that holds something."""
    words = {"fits": "fits", "does_not_fit": "does not fit", "unknown": "unknown"}[answer.verdict]
    parts = []
    for device in answer.devices:
        if not device.required_bytes:
            continue
        cap = device.available_bytes
        limit = f" of {format_size(cap)}" if cap is not None else ""
        parts.append(f"{device.name} {format_size(device.required_bytes)}{limit}")
    text = f"{words} at {answer.layout.params.n_ctx:,} tokens: {', '.join(parts) or 'nothing to hold'}"
    pool = answer.request.budget.combined_bytes
    if pool is None:
        return text
    needed = sum(d.required_bytes for d in answer.devices)
    return f"{text}; {format_size(needed)} of {format_size(pool)} in one pool"


def notes_of(answer: Plan) -> list[str]:
    """What is worth saying beside the numbers: of the layout, of the disk, and what is not known."""
    found = (_read_again(answer), _larger_than_devices(answer))
    return [*answer.layout.notes, *(note for note in found if note), *answer.reasons]


def _larger_than_devices(answer: Plan) -> str | None:
    """Devices that would hold more than they have, where the budget is one pool and says nothing of them."""
    if answer.request.budget.combined_bytes is None:
        return None
    sizes = memory_of(answer.request.machine)
    over = [
        f"{d.name} would hold {format_size(d.required_bytes)} and has {format_size(sizes[d.name] or 0)}"
        for d in answer.devices
        if sizes.get(d.name) is not None and d.required_bytes > (sizes[d.name] or 0)
    ]
    if not over:
        return None
    return f"the budget is one pool and limits no single device, but {'; '.join(over)}: cap them with --budget auto"


def memory_of(machine: Machine) -> dict[str, int | None]:
    """What each device and the host have free, else in total, bytes; None where neither is known."""
    host = machine.host
    ram = host.ram_available_bytes if host.ram_available_bytes is not None else host.ram_total_bytes
    sizes = {d.name: d.total_bytes if d.free_bytes is None else d.free_bytes for d in machine.devices}
    return {HOST: ram, **sizes}


def _read_again(answer: Plan) -> str | None:
    """Weights mapped from the file that RAM cannot keep: llama.cpp starts all the same, and is slow."""
    mapped = sum(b.weights_bytes for b in answer.layout.buffers if b.name == "CPU_Mapped")
    if not mapped or "mlock" in answer.request.settings.load_mode:
        return None
    short = {f.device: f.short_bytes for f in answer.failures}
    if set(short) != {HOST} or short[HOST] > mapped:
        return None
    return (
        f"RAM is short by {format_size(short[HOST])} of {format_size(mapped)} of weights that are pages of the "
        "file: llama.cpp starts, but they will be read from disk again and again"
    )
