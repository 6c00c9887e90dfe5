"""Which devices an environment variable leaves visible, where the driver is not there to be asked.

Source: CUDA Programming Guide, "Environment Variables" (CUDA_VISIBLE_DEVICES); NVIDIA MIG User Guide,
"Device names"; ROCm documentation, "Environment variables" (ROCR_, HIP_VISIBLE_DEVICES).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from budget.machine.probe.nvml import Card

T = TypeVar("T")


def visible_cards(value: str | None, cards: Sequence[Card]) -> tuple[Card, ...]:
    """The cards and MIG instances that CUDA_VISIBLE_DEVICES leaves, in CUDA's order for PCI ordering.

    Unset shows all. The first entry that is not valid ends the list, as does a change between numbers and
    ids; a card named twice hides everything. CUDA opens one MIG instance per process, and then nothing else.
    """
    if value is None:
        chosen = [card for card in cards if not card.mig_enabled or card.mig]
        return _one_mig(tuple(card.mig[0] if card.mig else card for card in chosen))
    picked: list[Card] = []
    by_number: bool | None = None
    for entry in value.split(","):
        card, numeric = _pick(entry.strip(), cards)
        if card is None or by_number not in {None, numeric}:
            break
        if any(card is other for other in picked):
            return ()
        by_number = numeric
        picked.append(card)
    return _one_mig(tuple(picked))


def _pick(entry: str, cards: Sequence[Card]) -> tuple[Card | None, bool]:
    """The card an entry names, and whether it was a number."""
    if entry.isascii() and entry.isdigit():
        index = int(entry)
        card = cards[index] if index < len(cards) else None
        return (card.mig[0] if card is not None and card.mig else card), True
    lowered = entry.lower()
    if lowered.startswith("mig-"):
        return _pick_mig(lowered, cards), False
    if not lowered.startswith("gpu-"):
        return None, False
    found = [card for card in cards if card.uuid is not None and card.uuid.lower().startswith(lowered)]
    return (found[0] if len(found) == 1 else None), False


def _pick_mig(entry: str, cards: Sequence[Card]) -> Card | None:
    """`MIG-<uuid>`, or the form of drivers before 470: `MIG-GPU-<parent uuid>/<instance>/<compute>`."""
    found = [
        mig for card in cards for mig in card.mig
        if mig.uuid is not None and mig.uuid.lower().startswith(entry)
    ]  # fmt: skip
    return found[0] if len(found) == 1 else None


def _one_mig(cards: tuple[Card, ...]) -> tuple[Card, ...]:
    first = next((card for card in cards if is_mig(card)), None)
    return cards if first is None else (first,)


def is_mig(card: Card) -> bool:
    return card.uuid is not None and card.uuid.lower().startswith("mig-")


def visible_entries(value: str | None, items: Sequence[T], ids: Sequence[str | None]) -> tuple[T, ...]:
    """Items that a ROCm variable leaves: by number, or (ROCR) id such as `GPU-0f1e`, until one is wrong."""
    if value is None:
        return tuple(items)
    picked: list[T] = []
    for raw in value.split(","):
        entry = raw.strip()
        if entry.isascii() and entry.isdigit() and int(entry) < len(items):
            picked.append(items[int(entry)])
            continue
        match = [
            item for item, name in zip(items, ids, strict=True) if name and name.lower() == entry.lower()
        ]
        if not match:
            break
        picked += match
    return tuple(picked)
