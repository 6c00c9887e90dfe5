"""AMD cards and APUs from sysfs, named and ordered as ROCm does.

Source: kernel Documentation/gpu/amdgpu/driver-misc.rst (mem_info_*), include/uapi/linux/kfd_sysfs.h
(topology), ROCm documentation "Environment variables"; the ROCm totals of `RESERVE_BYTES` are from logs of
llama.cpp: 16 MiB under the card's own size on RDNA2, RDNA3 and Instinct, 80 to 144 MiB on RDNA4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from budget.machine.device import Device
from budget.machine.probe.drm import AMD, DrmCard, drm_cards
from budget.machine.probe.files import read_int, read_table, read_text
from budget.machine.probe.visible import visible_entries
from budget.units import GiB, KiB, MiB

APU_TARGETS = frozenset(
    f"gfx{number}" for number in ("902", "90c", "1033", "1035", "1036", "1103", "1150", "1151", "1152")
)
"""Integrated graphics by LLVM target; a large carve-out hides them from every other test."""
BIG_APUS = frozenset({"gfx1103", "gfx1150", "gfx1151", "gfx1152"})
"""Those that ROCm builds of llama.cpp run on; the others draw desktops."""
RESERVE_BYTES = {"gfx12": 144 * MiB}
RESERVE_DEFAULT_BYTES = 16 * MiB
GTT_KERNEL = (6, 10)
"""From this kernel on ROCm allocates from the carve-out and GTT together; before, from the carve-out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KfdNode:
    """One compute node of the amdkfd topology: a device as ROCm counts them."""

    target: str
    render_minor: int
    unique_id: str | None
    memory_bytes: int


def amd_devices(
    root: Path = Path("/"), *, environ: Mapping[str, str]
) -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """AMD devices in ROCm's order, or in PCI order as Vulkan's without the compute driver; and notes."""
    cards = [card for card in drm_cards(root) if card.vendor == AMD]
    reachable = [card for card in cards if _can_open(root, card)]
    notes = [
        f"AMD {card.pci_id}: its device node is not in this container"
        for card in cards
        if card not in reachable
    ]
    nodes = kfd_nodes(root)
    by_minor = {card.render_minor: card for card in reachable}
    rows: list[tuple[DrmCard, KfdNode | None]] = [
        (by_minor[node.render_minor], node) for node in nodes if node.render_minor in by_minor
    ]
    has_rocm = bool(rows)
    if not has_rocm:
        rows = [(card, None) for card in reachable]
    else:
        rows, hidden = _visible(rows, environ)
        notes += [f"AMD {card.pci_id}: hidden by a *_VISIBLE_DEVICES variable" for card, _ in hidden]
    devices: list[Device] = []
    for card, node in rows:
        shared_by = sum(other is card for other, _ in rows)
        name = f"ROCm{len(devices)}" if has_rocm else f"Vulkan{len(devices)}"
        device = _device(root, card, node, name=name, n_sharing=shared_by)
        if device.kind == "igpu" and device.compute_capability not in BIG_APUS:
            notes.append(f"{device.description} ({card.pci_id}): integrated graphics, not planned on")
            continue
        devices.append(device)
    return tuple(devices), tuple(notes)


def kfd_nodes(root: Path = Path("/")) -> tuple[KfdNode, ...]:
    """GPU nodes of the topology, in ROCm's order; empty without the compute driver or without /dev/kfd."""
    base = root / "sys/class/kfd/kfd/topology/nodes"
    if not (root / "dev/kfd").exists():
        return ()
    try:
        numbers = sorted(int(entry.name) for entry in base.iterdir() if entry.name.isdigit())
    except OSError:
        return ()
    nodes = []
    for number in numbers:
        table = read_table(base / str(number) / "properties")
        version, minor = table.get("gfx_target_version"), table.get("drm_render_minor")
        if version and minor:  # a processor is a node too, without either
            nodes.append(
                KfdNode(
                    target=gfx_target(version),
                    render_minor=minor,
                    unique_id=f"GPU-{table['unique_id']:016x}" if table.get("unique_id") else None,
                    memory_bytes=_bank_bytes(base / str(number)),
                )
            )
    return tuple(nodes)


def gfx_target(version: int) -> str:
    """`110501` -> `gfx1151`: two digits each, minor and step written in hex (kfd_topology.c)."""
    return f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}"


def _bank_bytes(node: Path) -> int:
    """Memory of the node's own heaps: types 1 (visible) and 2 (not) of kfd_sysfs.h are on the device."""
    total = 0
    try:
        banks = sorted((node / "mem_banks").iterdir())
    except OSError:
        return 0
    for bank in banks:
        table = read_table(bank / "properties")
        if table.get("heap_type") in (1, 2):
            total += table.get("size_in_bytes", 0)
    return total


def _can_open(root: Path, card: DrmCard) -> bool:
    """A container sees every card in sysfs, but only the nodes it was given."""
    if card.render_minor is None:
        return True
    nodes = root / "dev/dri"
    return not nodes.exists() or (nodes / f"renderD{card.render_minor}").exists()


def _visible(
    rows: Sequence[tuple[DrmCard, KfdNode | None]], environ: Mapping[str, str]
) -> tuple[list[tuple[DrmCard, KfdNode | None]], list[tuple[DrmCard, KfdNode | None]]]:
    """ROCR_VISIBLE_DEVICES first, then each of the others numbers what is left again."""
    left = tuple(rows)
    for name in ("ROCR_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "HIP_VISIBLE_DEVICES"):
        value = environ.get(name)
        if name == "HIP_VISIBLE_DEVICES" and value is None:
            value = environ.get("CUDA_VISIBLE_DEVICES")
        left = visible_entries(value, left, [node.unique_id if node else None for _, node in left])
    return list(left), [row for row in rows if row not in left]


def _device(root: Path, card: DrmCard, node: KfdNode | None, *, name: str, n_sharing: int) -> Device:
    target = node.target if node is not None else None
    vram, used = (read_int(card.directory / f"mem_info_vram_{key}") for key in ("total", "used"))
    apu = is_apu(card, target)
    total, free, source = _memory(root, card, target, apu=apu)
    if n_sharing > 1 and node is not None:
        total, free, source = node.memory_bytes or None, None, "KFD mem_banks of this partition"
    product = read_text(card.directory / "product_name")
    problem = "its driver reports no memory (mem_info_vram_total is missing)" if vram is None else None
    return Device(
        name=name,
        kind="igpu" if apu else "gpu",
        backend="hip" if node is not None else "vulkan",
        description=product or "AMD GPU",
        compute_capability=target,
        total_bytes=total,
        free_bytes=free if used is not None else None,
        uuid=node.unique_id if node is not None else None,
        pci_id=card.pci_id,
        unified=apu,
        sources={"total_bytes": source, "free_bytes": source},
        problem=problem,
    )


def is_apu(card: DrmCard, target: str | None) -> bool:
    """Whether the card's memory is a part of RAM: by its target, or by the shape of its memory."""
    if target in APU_TARGETS:
        return True
    if "MI300A" in (read_text(card.directory / "product_name") or ""):
        return True
    vram = read_int(card.directory / "mem_info_vram_total")
    gtt = read_int(card.directory / "mem_info_gtt_total")
    if vram is None or gtt is None or read_text(card.directory / "mem_info_vram_vendor"):
        return False
    return vram <= 4 * GiB and gtt >= 8 * GiB and gtt >= 4 * vram


def _memory(
    root: Path, card: DrmCard, target: str | None, *, apu: bool
) -> tuple[int | None, int | None, str]:
    """(total, free, source) in bytes."""
    names = ("vram_total", "vram_used", "gtt_total", "gtt_used")
    vram, used, gtt, gtt_used = (read_int(card.directory / f"mem_info_{name}") for name in names)
    if vram is None:
        return None, None, "unknown"
    if not apu:
        reserve = RESERVE_BYTES.get((target or "")[:5], RESERVE_DEFAULT_BYTES)
        total = max(0, vram - reserve)
        return (
            total,
            max(0, total - (used or 0)),
            f"sysfs mem_info_vram less {reserve // MiB} MiB that ROCm keeps",
        )
    if _kernel(root) < GTT_KERNEL or gtt is None:
        return vram, max(0, vram - (used or 0)), "sysfs mem_info_vram, the BIOS carve-out alone (old kernel)"
    meminfo = read_table(root / "proc/meminfo")
    ram, available = meminfo.get("MemTotal", 0) * KiB, meminfo.get("MemAvailable", 0) * KiB
    total = vram + min(gtt, ram)
    free = max(0, vram - (used or 0)) + min(max(0, gtt - (gtt_used or 0)), available)
    return total, free, "sysfs carve-out and GTT, no more than RAM (shared with the host)"


def _kernel(root: Path) -> tuple[int, int]:
    """Version of the running kernel; a text that cannot be read counts as old."""
    text = read_text(root / "proc/sys/kernel/osrelease") or ""
    parts = text.split(".")
    if len(parts) < 2 or not parts[0].isdigit():
        return 0, 0
    minor = "".join(char for char in parts[1][:3] if char.isdigit())
    return int(parts[0]), int(minor or 0)
