"""Where each number of a plan comes from, in sentences: what `-v` shows."""

from __future__ import annotations

from budget.machine.device import Device
from budget.memory.layout import HOST, Basis
from budget.memory.overhead import overhead_parts
from budget.memory.placement import cache_buffer_type
from budget.model.architectures import VALIDATED_COMMIT
from budget.planning.budget import UNLIMITED
from budget.planning.fit import DevicePlan, Plan
from budget.record import record

_WEIGHTS = "tensor table of the file; each tensor padded as its buffer type pads it"


@record
class Source:
    """One number and how it is known."""

    device: str
    part: str
    """`weights context compute output extras overhead reserve available`."""
    size_bytes: int | None
    """None where it is not known, or has no limit."""
    basis: Basis
    text: str
    """Where it comes from, without a full stop."""


def sources_of(answer: Plan) -> list[Source]:
    """Every number above zero of every device, and what each device may hold."""
    return [source for device in answer.devices for source in _device(answer, device)]


def _device(answer: Plan, device: DevicePlan) -> list[Source]:
    layout = answer.layout
    found: list[Source] = []

    def add(part: str, size_bytes: int | None, basis: Basis, text: str) -> None:
        if size_bytes or part == "available":
            found.append(Source(device=device.name, part=part, size_bytes=size_bytes, basis=basis, text=text))

    described = answer.request.described is not None
    add("weights", device.weights_bytes, layout.weights_basis,
        "the numbers given" if described else _WEIGHTS)  # fmt: skip
    add("context", device.context_bytes, layout.context_basis,
        "the numbers given" if described else _caches(answer, device.name))  # fmt: skip
    add("compute", device.compute_bytes, layout.compute.basis, layout.compute.note or
        f"llama.cpp's graph at {VALIDATED_COMMIT[:7]}, replayed through the rules of ggml's allocator")  # fmt: skip
    add("output", device.output_bytes, layout.context_basis,
        f"logits of {layout.params.n_seq_max} rows, one for each sequence")  # fmt: skip
    for extra in answer.extras:
        if extra.device == device.name:
            add("extras", extra.size_bytes, extra.basis, f"{extra.part} {extra.kind}: {extra.source}")
    for size_bytes, basis, text in _overhead(answer, device):
        add("overhead", size_bytes, basis, text)
    add("reserve", device.reserve_bytes, "exact", "left free on request")
    add("available", device.available_bytes, "exact", _available(answer, device))
    return found


def _overhead(answer: Plan, device: DevicePlan) -> list[tuple[int, Basis, str]]:
    """Size, basis and origin of each part of the overhead."""
    request = answer.request
    if request.overhead_bytes is not None:
        return [(device.overhead_bytes, "exact", "--overhead")]
    card = _card_of(answer, device)
    if card is None or device.name not in {d.name for d in answer.layout.devices}:
        return [(device.overhead_bytes, "estimate", "driver context and kernels")]
    parts = overhead_parts(card, answer.layout, request.model)
    return [(part.size_bytes, "estimate", f"{part.name}: {part.source}") for part in parts]


def _caches(answer: Plan, device: str) -> str:
    """`base: 32 x K f16[1024 x 16384], 32 x V f16[1024 x 16384]` of one device."""
    layout = answer.layout
    placement = layout.placement
    groups: dict[tuple[str, str], int] = {}
    for tensor in layout.caches:
        buffer = cache_buffer_type(placement, layout.params, tensor.layer)
        name = HOST if buffer.device is None else placement.devices[buffer.device].name
        if name == device or placement.meta_devices:
            shape = " x ".join(str(n) for n in tensor.ne if n != 1)
            letter = next((p.upper() for p in tensor.name.split("_") if p in "kvrs"), tensor.name)
            key = (tensor.cache, f"{letter} {tensor.type.name}[{shape}]")
            groups[key] = groups.get(key, 0) + 1
    caches: dict[str, list[str]] = {}
    for (cache, what), n in groups.items():
        caches.setdefault(cache, []).append(f"{n} x {what}")
    return "; ".join(f"{cache} cache: {', '.join(whats)}" for cache, whats in caches.items())


def _available(answer: Plan, device: DevicePlan) -> str:
    budget = answer.request.budget
    if device.available is UNLIMITED:
        return f"no limit of its own in the budget {budget.text}"
    text = budget.sources.get(device.name) or f"budget {budget.text}"
    if device.available is None:
        return f"{text}, which is not known"
    machine = answer.request.machine
    owner = machine.host if device.name == HOST else _card_of(answer, device)
    field = "ram_available_bytes" if device.name == HOST else "free_bytes"
    origin = owner.sources.get(field) if owner is not None else None
    resident = " less what residents hold" if device.resident_bytes else ""
    return f"{text}{f' ({origin})' if origin and text != 'given' else ''}{resident}"


def _card_of(answer: Plan, device: DevicePlan) -> Device | None:
    return next((d for d in answer.request.machine.devices if d.name == device.name), None)
