"""NVIDIA cards as llama.cpp's CUDA backend lists them: NVML's memory joined with libcuda's order.

Source: llama.cpp, `ggml_backend_cuda_device_get_memory` and `_get_type` (ggml-cuda.cu).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from budget.machine.device import Device
from budget.machine.probe.cuda import CudaDevice, CudaReport
from budget.machine.probe.files import read_table, read_text
from budget.machine.probe.nvml import DEVICE_HELP, NOT_SUPPORTED, Card, NvmlReport
from budget.machine.probe.visible import is_mig, visible_cards
from budget.units import GiB, KiB, MiB, format_size

SHARE_OF_RAM = 0.9
"""A coherent device that reports at least this share of MemTotal as its own is the RAM itself."""


def nvidia_devices(
    nvml: NvmlReport,
    cuda: CudaReport | None,
    *,
    environ: Mapping[str, str],
    root: Path = Path("/"),
    platform: str = sys.platform,
) -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """Devices named as CUDA numbers them, and what is worth saying.

    `cuda` is None where libcuda is missing or did not answer; order and visibility are then worked out from
    CUDA_VISIBLE_DEVICES.
    """
    notes: list[str] = []
    if nvml.problem is not None:
        notes.append(f"NVIDIA: {nvml.problem}")
    if nvml.driver_version is not None:
        notes.append(f"NVIDIA driver {nvml.driver_version}, CUDA {nvml.cuda_version or 'unknown'}")
    pairs = _pairs(nvml.cards, cuda, environ)
    failed = cuda.problem if cuda is not None else None
    devices = tuple(
        _device(i, card, row, root=root, platform=platform, failed=failed)
        for i, (card, row) in enumerate(pairs)
    )
    if failed is not None:
        notes.append(f"CUDA: {failed}")
    shown = [id(card) for card, _ in pairs if card is not None]
    notes += _hidden(nvml.cards, shown, environ)
    notes += _order(nvml.cards, cuda, environ)
    notes += [
        note for i, (card, _) in enumerate(pairs) if card is not None for note in _uses(f"CUDA{i}", card)
    ]
    if "GGML_CUDA_ENABLE_UNIFIED_MEMORY" in environ and devices:
        notes.append(
            "GGML_CUDA_ENABLE_UNIFIED_MEMORY is set: llama.cpp spills into RAM instead of failing, slowly"
        )
    if platform == "win32" and devices:
        notes.append("Windows: the driver may spill into system RAM instead of failing, slowly")
    if "microsoft" in (read_text(root / "proc/version") or "").lower() and devices:
        notes.append("WSL: programs on the Windows side use the same GPU memory and do not show here")
    return devices, tuple(notes)


def _pairs(
    cards: Sequence[Card], cuda: CudaReport | None, environ: Mapping[str, str]
) -> list[tuple[Card | None, CudaDevice | None]]:
    """(NVML card, CUDA device) in CUDA's order; one of the two can be missing."""
    if cuda is None or cuda.problem is not None:
        return [(card, None) for card in visible_cards(environ.get("CUDA_VISIBLE_DEVICES"), cards)]
    every = [card for parent in cards for card in (parent, *parent.mig)]
    pairs: list[tuple[Card | None, CudaDevice | None]] = []
    for row in cuda.devices:
        card = next((c for c in every if _same_uuid(c.uuid, row.uuid)), None)
        if card is None:
            card = next((c for c in cards if c.pci_id is not None and c.pci_id == row.pci_id), None)
        pairs.append((card, row))
    return pairs


def _same_uuid(nvml_uuid: str | None, cuda_uuid: str | None) -> bool:
    if nvml_uuid is None or cuda_uuid is None:
        return False
    bare = nvml_uuid.lower().removeprefix("gpu-").removeprefix("mig-")
    return bare == cuda_uuid.lower()


def _device(
    number: int, card: Card | None, row: CudaDevice | None, *, root: Path, platform: str, failed: str | None
) -> Device:
    unified = _is_unified(card, row, root)
    total, total_source = _total(card, row, platform)
    free, free_source = (None, "unknown") if card is None else (card.free_bytes, "NVML free")
    if unified:
        total, free, total_source, free_source = _shared_memory(row, root)
    if total is not None and free is not None and free > total:
        free = total
    return Device(
        name=f"CUDA{number}",
        kind="igpu" if unified else "gpu",
        backend="cuda",
        description=_name(card, row),
        compute_capability=(row and row.compute_capability) or (card and card.compute_capability) or None,
        total_bytes=total,
        free_bytes=free,
        uuid=_uuid(card, row),
        pci_id=(card and card.pci_id) or (row and row.pci_id) or None,
        bandwidth_bytes_per_second=card.bandwidth_bytes_per_second if card is not None else None,
        unified=unified,
        sources={"total_bytes": total_source, "free_bytes": free_source},
        problem=_problem(card, unified=unified, failed=failed),
    )


def _name(card: Card | None, row: CudaDevice | None) -> str:
    if row is not None and (card is None or not is_mig(card)):
        return row.name
    return card.name if card is not None else "NVIDIA GPU"


def _uuid(card: Card | None, row: CudaDevice | None) -> str | None:
    if card is not None and card.uuid is not None:
        return card.uuid
    return f"GPU-{row.uuid}" if row is not None and row.uuid is not None else None


def _problem(card: Card | None, *, unified: bool, failed: str | None) -> str | None:
    if failed is not None:
        return f"llama.cpp cannot use it: {failed}"
    if card is None or unified:
        return None
    for code in (card.device_error, card.memory_error):
        if code is not None:
            return DEVICE_HELP.get(code, f"NVML error {code}")
    if card.mig_enabled and not card.mig:
        return "MIG mode is on and no instance can be read"
    return None


def _total(card: Card | None, row: CudaDevice | None, platform: str) -> tuple[int | None, str]:
    """What cudaMemGetInfo calls total, bytes: NVML's total without the driver's reserve."""
    if row is not None and row.total_bytes is not None:
        return row.total_bytes, "cuDeviceTotalMem" + _reserve_text(card)
    if card is None or card.total_bytes is None:
        return None, "unknown"
    if card.reserved_bytes is not None:
        return card.total_bytes - card.reserved_bytes, "NVML" + _reserve_text(card)
    reserve_bytes = 1 * MiB if platform == "win32" else reserve_estimate_bytes(card)
    at_least = card.free_bytes or 0
    return max(card.total_bytes - reserve_bytes, at_least), (
        f"NVML total less an estimated reserve of {format_size(reserve_bytes)} (old driver)"
    )


def _reserve_text(card: Card | None) -> str:
    """What lies between the card's size and what a program can have, for people."""
    if card is None or card.total_bytes is None or card.reserved_bytes is None:
        return ""
    return (
        f": {format_size(card.total_bytes)} less {format_size(card.reserved_bytes)} that the driver reserves"
    )


def reserve_estimate_bytes(card: Card) -> int:
    """Bytes the Linux driver keeps of a card where it does not tell: an upper estimate.

    Source: NVML total less CUDA total in published logs of 26 cards, from 58 MiB (GTX 1050 Ti) to 769 MiB
    (A100 80 GB); the rule covers each of them.
    """
    major = int((card.compute_capability or "8.0").partition(".")[0])
    if major <= 6:
        return 100 * MiB
    if card.compute_capability in {"7.0", "7.2"}:
        return 300 * MiB
    return min(400 + 6 * ((card.total_bytes or 0) // GiB), 800) * MiB


def _is_unified(card: Card | None, row: CudaDevice | None, root: Path) -> bool:
    """Only an integrated device, or one whose driver has no memory of its own to report, is the RAM.

    No permission, a lost card and unknown errors mean unknown, never "use RAM".
    """
    if row is not None:
        return row.integrated
    if card is None or card.device_error is not None:
        return False
    if card.memory_error == NOT_SUPPORTED:
        return not card.vgpu and not card.mig_enabled
    if card.total_bytes == 0:
        return card.memory_error is None
    ram = read_table(root / "proc/meminfo").get("MemTotal")
    return bool(card.ats and card.total_bytes and ram and card.total_bytes >= SHARE_OF_RAM * ram * KiB)


def _shared_memory(row: CudaDevice | None, root: Path) -> tuple[int | None, int | None, str, str]:
    """(total, free, their sources), bytes, of a device that shares the RAM, as llama.cpp reads it."""
    meminfo = read_table(root / "proc/meminfo")
    total, available = meminfo.get("MemTotal"), meminfo.get("MemAvailable")
    free_source = "MemAvailable of /proc/meminfo (shared with the host)"
    if meminfo.get("HugePages_Total"):
        available = meminfo.get("HugePages_Free", 0) * meminfo.get("Hugepagesize", 0)
        free_source = "HugePages_Free x Hugepagesize of /proc/meminfo (shared with the host)"
    total_bytes = None if total is None else total * KiB
    total_source = "MemTotal of /proc/meminfo (shared with the host)"
    if row is not None and row.total_bytes is not None:
        total_bytes, total_source = row.total_bytes, "cuDeviceTotalMem (shared with the host)"
    return total_bytes, None if available is None else available * KiB, total_source, free_source


def _hidden(cards: Sequence[Card], shown: Sequence[int], environ: Mapping[str, str]) -> list[str]:
    reason = "hidden by CUDA_VISIBLE_DEVICES" if "CUDA_VISIBLE_DEVICES" in environ else "not visible to CUDA"
    notes = []
    for card in cards:
        instances = [mig for mig in card.mig if id(mig) not in shown]
        if card.mig and len(instances) < len(card.mig):
            notes += [
                f"{mig.name} ({mig.uuid}): CUDA opens one MIG instance per process" for mig in instances
            ]
        elif id(card) not in shown:
            why = DEVICE_HELP.get(card.device_error or -1, reason)
            notes.append(f"{card.name} ({card.uuid or f'NVML index {card.index}'}): {why}")
    return notes


def _order(cards: Sequence[Card], cuda: CudaReport | None, environ: Mapping[str, str]) -> list[str]:
    known = cuda is not None and cuda.problem is None
    if known or environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID" or len({card.name for card in cards}) < 2:
        return []
    return [
        "the cards differ and libcuda could not be asked: CUDA0 may be another of them "
        "(set CUDA_DEVICE_ORDER=PCI_BUS_ID, or name devices by UUID)"
    ]


def _uses(name: str, card: Card) -> list[str]:
    """What runs on the card now, and that a virtual GPU is one."""
    notes = [f"{name} is a vGPU: its total is the profile's size"] if card.vgpu else []
    for pid, used_bytes in card.processes[:8]:
        size = "an unknown amount" if used_bytes is None else format_size(used_bytes)
        notes.append(f"{name}: process {pid} holds {size}")
    return notes
