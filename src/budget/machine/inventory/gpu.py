"""Devices from what a cluster says of them: a product name, a memory label, a count."""

from __future__ import annotations

from dataclasses import replace

from budget.errors import BudgetError
from budget.machine import catalog
from budget.machine.device import Device
from budget.machine.hardware import device_of
from budget.machine.probe.nvidia import reserve_estimate_bytes
from budget.machine.probe.nvml import Card


def named_device(
    product: str | None, *, nvml_bytes: int | None = None, compute_capability: str | None = None
) -> Device:
    """The device that `product` and NVML's total, bytes, describe; memory is None where both say nothing.

    A card of the catalogue within 4 % of that total is taken with its own numbers; else the driver's reserve
    is estimated off the total.
    """
    found = catalog.find(product) if product else ()
    if nvml_bytes is not None:
        near = [entry for entry in found if entry.memory_bytes and _near(entry.memory_bytes, nvml_bytes)]
        if near:
            return device_of(min(near, key=lambda entry: entry.plan_total_bytes or 0))
        return _unknown_card(product, nvml_bytes, compute_capability)
    if len(found) == 1:
        return device_of(found[0])
    return Device(name="CUDA0", description=product or "GPU", problem=_why(product, found))


def _near(one: int, other: int) -> bool:
    return abs(one - other) <= catalog.SIZE_TOLERANCE * one


def _unknown_card(product: str | None, nvml_bytes: int, compute_capability: str | None) -> Device:
    card = Card(index=0, total_bytes=nvml_bytes, compute_capability=compute_capability)
    total_bytes = max(0, nvml_bytes - reserve_estimate_bytes(card))
    source = "the node's label, less an estimated driver reserve"
    return Device(
        name="CUDA0",
        description=product or "GPU",
        compute_capability=compute_capability,
        total_bytes=total_bytes,
        free_bytes=total_bytes,
        sources={"total_bytes": source, "free_bytes": source},
    )


def _why(product: str | None, found: tuple[catalog.Entry, ...]) -> str:
    if not product:
        return "the inventory does not say which card it is"
    if found:
        return f"{product!r} can be {', '.join(entry.id for entry in found)}: say which"
    try:
        catalog.resolve(product)
    except BudgetError as error:
        return f"{error.message} ({error.hint})"
    return f"{product!r} is not known"


def several(device: Device, count: int) -> tuple[Device, ...]:
    """`count` of the same card, numbered as llama.cpp would."""
    from budget.machine.describe import NAME_OF_BACKEND

    prefix = NAME_OF_BACKEND[device.backend]
    return tuple(replace(device, name=f"{prefix}{i}") for i in range(count))
