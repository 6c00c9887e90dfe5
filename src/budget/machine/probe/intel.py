"""Intel graphics from sysfs.

Source: kernel drivers xe (`tile*/physical_vram_size_bytes`) and i915 (`lmem_total_bytes`);
Documentation/gpu/drm-usage-stats.rst for what processes hold (fdinfo).
"""

from __future__ import annotations

from pathlib import Path

from budget.machine.device import Device
from budget.machine.probe.drm import INTEL, DrmCard, drm_cards
from budget.machine.probe.files import read_int, read_text
from budget.units import KiB

_FDINFO_KEYS = ("drm-resident-vram", "drm-total-local", "drm-memory-vram")


def intel_devices(root: Path = Path("/")) -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """Intel cards with memory of their own, in PCI order, and notes on those without."""
    devices: list[Device] = []
    notes: list[str] = []
    for card in drm_cards(root):
        if card.vendor != INTEL:
            continue
        total_bytes, source = card_memory(card)
        if total_bytes is None:
            notes.append(
                f"Intel graphics {card.pci_id}: integrated, shares the RAM, not planned on "
                "(--probe-with llama-server shows what llama.cpp would use)"
            )
            continue
        held_bytes = held_by_processes(root, card.pci_id)
        devices.append(
            Device(
                name=f"SYCL{len(devices)}",
                backend="sycl",
                description=read_text(card.directory / "label") or "Intel GPU",
                total_bytes=total_bytes,
                free_bytes=max(0, total_bytes - held_bytes),
                pci_id=card.pci_id,
                sources={
                    "total_bytes": source,
                    "free_bytes": "total less what processes of this user hold (fdinfo); others do not show",
                },
            )
        )
    return tuple(devices), tuple(notes)


def card_memory(card: DrmCard) -> tuple[int | None, str]:
    """(bytes of the card's own memory, source); None for graphics inside a processor."""
    tiles = [read_int(path) for path in sorted(card.directory.glob("tile*/physical_vram_size_bytes"))]
    sizes = [size for size in tiles if size]
    if sizes:
        return sum(sizes), "sysfs physical_vram_size_bytes (xe)"
    for path in sorted(card.directory.glob("drm/card*/lmem_total_bytes")):
        size = read_int(path)
        if size:
            return size, "sysfs lmem_total_bytes (i915)"
    return None, "unknown"


def held_by_processes(root: Path, pci_id: str | None) -> int:
    """Bytes of the card that processes hold, as far as their fdinfo can be read; each DRM client once."""
    seen: set[str] = set()
    total = 0
    for path in (root / "proc").glob("[0-9]*/fdinfo/*"):
        text = read_text(path) or ""
        if "drm-pdev" not in text:
            continue
        table = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        fields = {key.strip(): value.strip() for key, value in table.items()}
        client = fields.get("drm-client-id", str(path))
        if fields.get("drm-pdev", "").lower() != pci_id or client in seen:
            continue
        seen.add(client)
        total += max(_held(fields, key) for key in _FDINFO_KEYS)
    return total


def _held(fields: dict[str, str], prefix: str) -> int:
    """Sum of `prefix` over memory regions (`drm-resident-vram0`, ...), bytes."""
    units = {"": 1, "KiB": KiB, "MiB": KiB * KiB}
    total = 0
    for key, value in fields.items():
        number, _, unit = value.partition(" ")
        if key.startswith(prefix) and number.isdigit():
            total += int(number) * units.get(unit, 1)
    return total
