"""Graphics cards of the Linux DRM subsystem, found in /sys/class/drm."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from budget.machine.probe.files import read_int, read_text
from budget.record import record

AMD = 0x1002
INTEL = 0x8086


@record
class DrmCard:
    """One card node."""

    directory: Path
    """Its PCI device directory."""
    vendor: int
    pci_id: str | None
    render_minor: int | None
    """128 for renderD128; None where there is no render node in sysfs."""


def drm_cards(root: Path = Path("/")) -> tuple[DrmCard, ...]:
    """Every card once, in PCI order; connectors such as `card0-DP-1` are not cards."""
    base = root / "sys/class/drm"
    try:
        names = sorted(entry.name for entry in base.iterdir())
    except OSError:
        return ()
    minors = dict(_render_minors(base, names))
    cards: dict[str, DrmCard] = {}
    for name in names:
        directory = base / name / "device"
        vendor = read_int(directory / "vendor") if re.fullmatch(r"card\d+", name) else None
        if vendor is None:
            continue
        pci_id = _pci_id(directory)
        key = pci_id or name
        cards.setdefault(
            key, DrmCard(directory=directory, vendor=vendor, pci_id=pci_id, render_minor=minors.get(key))
        )
    return tuple(cards[key] for key in sorted(cards))


def _render_minors(base: Path, names: list[str]) -> Iterator[tuple[str, int]]:
    for name in names:
        match = re.fullmatch(r"renderD(\d+)", name)
        pci_id = _pci_id(base / name / "device") if match else None
        if match and pci_id is not None:
            yield pci_id, int(match[1])


def _pci_id(directory: Path) -> str | None:
    for line in (read_text(directory / "uevent") or "").splitlines():
        key, _, value = line.partition("=")
        if key == "PCI_SLOT_NAME":
            return value.strip().lower()
    return None
