"""A plan part by part: what each device holds, which device binds, and the rows that bars and tables show."""

from __future__ import annotations

from budget.memory.buffer_types import padded_bytes
from budget.memory.layout import HOST, REALLY_ALLOCATED
from budget.memory.placement import cache_buffer_type
from budget.planning.budget import UNLIMITED, Cap
from budget.planning.fit import DevicePlan, Plan, headroom_bytes
from budget.planning.usage import TOTAL
from budget.record import record

KINDS = ("weights", "kv", "state", "compute", "output", "extras", "overhead", "reserve")
"""Parts of a device's memory, in the order in which they are shown."""


@record
class Row:
    """One bar: a device, or the one pool of a combined budget."""

    name: str
    """`CUDA0`, `CPU`, or `total`."""
    parts: dict[str, int]
    """Bytes by kind, every one of `KINDS`."""
    available: Cap
    """Bytes that may be used, UNLIMITED, or None where it is not known."""
    fits: bool | None
    """None where it is not known."""

    @property
    def required_bytes(self) -> int:
        """Sum of the parts."""
        return sum(self.parts.values())

    @property
    def left_bytes(self) -> int | None:
        """Bytes left, negative where it falls short; None without a cap in bytes."""
        return self.available - self.required_bytes if isinstance(self.available, int) else None


def rows_of(answer: Plan) -> tuple[Row, ...]:
    """A row per device, and one for the pool where the budget is one pool."""
    states = _state_bytes(answer)
    rows = tuple(_row(d, states.get(d.name, 0)) for d in answer.devices)
    if answer.request.budget.combined_bytes is None:
        return rows
    left = headroom_bytes(answer)
    parts = {kind: sum(r.parts[kind] for r in rows) for kind in KINDS}
    total = Row(name=TOTAL, parts=parts, available=left + sum(parts.values()), fits=left >= 0)
    return (*rows, total)


def binding(rows: tuple[Row, ...]) -> Row | None:
    """The row with the least room; None where nothing is limited in bytes."""
    limited = [r for r in rows if r.left_bytes is not None and r.required_bytes]
    return min(limited, key=lambda r: r.left_bytes or 0) if limited else None


def unlimited(row: Row) -> bool:
    """Whether the row has no cap at all, which is not the same as an unknown one."""
    return row.available is UNLIMITED


def _row(device: DevicePlan, state_bytes: int) -> Row:
    state = min(state_bytes, device.context_bytes)
    parts = {
        "weights": device.weights_bytes,
        "kv": device.context_bytes - state,
        "state": state,
        "compute": device.compute_bytes,
        "output": device.output_bytes,
        "extras": device.extras_bytes,
        "overhead": device.overhead_bytes,
        "reserve": device.reserve_bytes,
    }
    return Row(name=device.name, parts=parts, available=device.available, fits=device.fits)


def _state_bytes(answer: Plan) -> dict[str, int]:
    """Recurrent state per device, bytes; with `-sm tensor` it is not told apart from the cache."""
    layout = answer.layout
    placement = layout.placement
    sizes: dict[str, int] = {}
    if placement.meta_devices:
        return sizes
    for tensor in layout.caches:
        if tensor.cache in REALLY_ALLOCATED:
            buffer = cache_buffer_type(placement, layout.params, tensor.layer)
            name = HOST if buffer.device is None else placement.devices[buffer.device].name
            sizes[name] = sizes.get(name, 0) + padded_bytes(buffer, tensor.type, tensor.ne)
    return sizes
