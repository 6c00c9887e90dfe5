"""The verdict: what each device must hold, what it may, and where that falls short."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from budget.machine.device import Device, Machine
from budget.memory.extra import Companion, Extra
from budget.memory.layout import HOST, Basis, Layout, lay_out
from budget.memory.placement import Placement
from budget.model.facts import Model
from budget.planning.budget import UNLIMITED, Budget, Cap
from budget.planning.usage import Shortfall, Usage, add_usage, check
from budget.record import field, record, replace
from budget.runtime.settings import Settings

if TYPE_CHECKING:
    from budget.planning.described import Described

__all__ = ["DevicePlan", "Plan", "Request", "Shortfall", "Verdict", "headroom_bytes", "placement_of", "plan"]

Verdict = Literal["fits", "does_not_fit", "unknown"]


@record
class Request:
    """One question: this model with these settings on this machine within this budget."""

    model: Model
    settings: Settings
    machine: Machine
    budget: Budget
    overhead_bytes: int | None = None
    """Per GPU beyond llama.cpp's buffers; None estimates it."""
    reserve_bytes: int = 0
    """To be left free on every GPU, and in RAM."""
    reserves: Mapping[str, int] = field(default_factory=dict)
    """The same for single devices by name, instead of `reserve_bytes`."""
    accounting: Literal["real", "fit"] = "real"
    used: Usage = field(default_factory=dict)
    """What resident models claim already, bytes per device."""
    reclaim: Usage = field(default_factory=dict)
    """Bytes per device that come back because this model replaces another."""
    described: Described | None = None
    """The numbers of a model without a file; `model` then holds only its dimensions."""
    companions: tuple[Companion, ...] = ()
    """Projector, adapters and draft model that the settings name, with their headers read
    (`budget.memory.extras.read_companions`)."""


@record
class DevicePlan:
    """One device's side of the plan."""

    name: str
    kind: Literal["gpu", "igpu", "accel", "cpu"]
    weights_bytes: int
    context_bytes: int
    """K/V caches and recurrent state."""
    compute_bytes: int
    output_bytes: int
    overhead_bytes: int
    reserve_bytes: int
    required_bytes: int
    """Sum of the above."""
    available: Cap
    """Bytes that may be used beside the residents, UNLIMITED, or None where it is not known."""
    fits: bool | None
    """None where it is not known."""
    basis: dict[str, Basis]
    resident_bytes: int = 0
    """What other models claim there, already taken off `available`."""
    extras_bytes: int = 0
    """What projector, adapters, and drafting take there; `Plan.extras` names the parts."""

    @property
    def available_bytes(self) -> int | None:
        """The cap in bytes; None where there is none or it is not known."""
        return self.available if isinstance(self.available, int) else None

    @property
    def headroom_bytes(self) -> int | None:
        """Bytes left, negative where it falls short; None without a cap in bytes."""
        cap = self.available_bytes
        return None if cap is None else cap - self.required_bytes


@record
class Plan:
    """The answer to a request; everything shown comes from it."""

    request: Request
    layout: Layout
    devices: tuple[DevicePlan, ...]
    failures: tuple[Shortfall, ...]
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    """Why the verdict is unknown, in sentences."""
    extras: tuple[Extra, ...] = ()
    """What the companions take, part by part."""

    @property
    def fits(self) -> bool:
        """True only for the verdict `fits`."""
        return self.verdict == "fits"

    @property
    def usage(self) -> dict[str, int]:
        """What the model claims per device, bytes; what is left free on purpose is not claimed."""
        return {d.name: d.required_bytes - d.reserve_bytes for d in self.devices}


def plan(request: Request, *, placement: Placement | None = None, want_live: bool = False) -> Plan:
    """Plan `request`.

    Args:
        placement: of an equal request that differs in its context only; saves placing again.
        want_live: name the tensors alive at the peak of each compute buffer.

    Raises:
        UsageError: settings that llama.cpp refuses.
        MachineError: a named device does not exist.
        UnknownAnswerError: a number that the answer needs is not known.
    """
    layout = _layout(request, placement, want_live=want_live)
    extras, unread = _extras(request, layout)
    devices = tuple(
        _device_plan(request, layout, name, device, extras)
        for name, device in _plan_devices(request, layout, extras)
    )
    failures, unknown = _judge(request, layout, devices)
    reasons = (*_unknown_model(request, layout), *unread, *unknown)
    verdict: Verdict = "does_not_fit" if failures else "unknown" if reasons else "fits"
    return Plan(
        request=request, layout=layout, devices=devices, failures=failures, verdict=verdict, reasons=reasons,
        extras=extras,
    )  # fmt: skip


def _extras(request: Request, layout: Layout) -> tuple[tuple[Extra, ...], tuple[str, ...]]:
    """What the companions take, and why that is not all known."""
    settings = request.settings
    asked = (settings.mmproj, settings.lora, settings.model_draft, settings.control_vector)
    if request.described is not None or not (any(asked) or "draft-mtp" in settings.spec_type):
        return (), ()
    from budget.memory import extras

    unread = extras.missing(settings, request.companions)
    found = extras.extras(request.model, settings, request.machine, layout, request.companions)
    return found, tuple(f"{path} was not read, so what it takes is not known" for path in unread)


def _layout(request: Request, placement: Placement | None, *, want_live: bool) -> Layout:
    if request.described is not None:
        from budget.planning.described_layout import lay_out_described

        return lay_out_described(request.described, request.model, request.settings, request.machine)
    return lay_out(
        request.model, request.settings, request.machine, accounting=request.accounting, placement=placement,
        want_live=want_live,
    )  # fmt: skip


def _plan_devices(
    request: Request, layout: Layout, extras: tuple[Extra, ...]
) -> list[tuple[str, Device | None]]:
    """The devices of the layout, those that hold only extras, and the host."""
    names = {d.name for d in layout.devices}
    others = {e.device for e in extras} - names
    beside = [d for d in request.machine.devices if d.name in others]
    return [*((d.name, d) for d in (*layout.devices, *beside)), (HOST, None)]


def _device_plan(
    request: Request, layout: Layout, name: str, device: Device | None, extras: tuple[Extra, ...]
) -> DevicePlan:
    buffers = layout.on(name)
    overhead = _overhead(request, layout, device)
    beside = sum(e.size_bytes for e in extras if e.device == name)
    reserve = request.reserves.get(name, request.reserve_bytes)
    required = buffers.total_bytes + beside + overhead + reserve
    cap, resident = request.budget.cap(name), request.used.get(name, 0)
    if isinstance(cap, int):
        cap = max(cap - resident + request.reclaim.get(name, 0), 0)
    fits = None if cap is None else True if cap is UNLIMITED else required <= cap  # type: ignore[operator]
    basis: dict[str, Basis] = {
        "weights": layout.weights_basis,
        "context": layout.context_basis,
        "compute": layout.compute.basis,
        "overhead": "estimate" if overhead and request.overhead_bytes is None else "exact",
    }
    return DevicePlan(
        name=name,
        kind="cpu" if device is None else device.kind,
        weights_bytes=buffers.weights_bytes,
        context_bytes=buffers.context_bytes,
        compute_bytes=buffers.compute_bytes,
        output_bytes=buffers.output_bytes,
        overhead_bytes=overhead,
        reserve_bytes=reserve,
        required_bytes=required,
        available=cap,
        fits=fits,
        basis=basis,
        resident_bytes=resident,
        extras_bytes=beside,
    )


def _overhead(request: Request, layout: Layout, device: Device | None) -> int:
    if device is None:
        return 0
    if request.overhead_bytes is not None:
        return request.overhead_bytes
    from budget.memory.overhead import bare_overhead_bytes, overhead_bytes

    if device.name not in {d.name for d in layout.devices}:
        return bare_overhead_bytes(device)
    return overhead_bytes(device, layout, request.model)


def _judge(
    request: Request, layout: Layout, devices: tuple[DevicePlan, ...]
) -> tuple[tuple[Shortfall, ...], list[str]]:
    """Every device that falls short, and what is not known."""
    required = add_usage(*({d.name: d.required_bytes} for d in devices))
    failures = check(request.budget, required, request.used, reclaim=request.reclaim)
    shared = _pool(request, layout, devices)
    if shared is not None and shared.short_bytes > 0:
        failures = (*failures, shared)
    unknown = [f"memory of {d.name} is not known" for d in devices if d.fits is None and d.required_bytes]
    return failures, unknown


def _unknown_model(request: Request, layout: Layout) -> tuple[str, ...]:
    model, described = request.model, request.described
    if described is not None:
        params = layout.params
        if params.n_ctx and described.cache_bytes_per_token(params.type_k, params.type_v) is None:
            return ("what the K/V cache takes per token is not known",)
        return ()
    if model.arch is None or model.arch.memory == "unsupported":
        return (
            f"architecture {model.architecture} is not known, so its cache and compute buffers are not either",
        )
    return ()


def headroom_bytes(answer: Plan) -> int:
    """Bytes left on the device that binds, negative where one falls short.

    Devices without a cap in bytes do not bind.
    """
    request = answer.request
    pool = request.budget.combined_bytes
    if pool is not None:
        pool = max(pool - sum(request.used.values()) + sum(request.reclaim.values()), 0)
        return pool - sum(d.required_bytes for d in answer.devices)
    rooms = [d.headroom_bytes for d in answer.devices if d.headroom_bytes is not None]
    shared = _pool(request, answer.layout, answer.devices)
    if shared is not None:
        rooms.append(-shared.short_bytes)
    return min(rooms) if rooms else 0


def _pool(request: Request, layout: Layout, devices: tuple[DevicePlan, ...]) -> Shortfall | None:
    """RAM and the devices that share it, as one; None where none does."""
    if not any(d.unified for d in request.machine.devices):
        return None
    from budget.planning.unified import pool_shortfall

    required = {d.name: d.required_bytes for d in devices}
    reserves = {d.name: d.reserve_bytes for d in devices}
    mapped = [b.weights_bytes for b in layout.buffers if b.name.endswith("_Mapped")]
    once = max([sum(t.nbytes for t in request.model.tensors), *mapped])
    return pool_shortfall(
        request.machine, request.budget, required, reserves, request.used, request.reclaim,
        twice_bytes=max(sum(mapped) - once, 0),
    )  # fmt: skip


def shared_memory(answer: Plan) -> Shortfall | None:
    """What RAM and the devices that share it take and hold as one, short or not; None where none shares it."""
    return _pool(answer.request, answer.layout, answer.devices)


def placement_of(request: Request) -> Placement | None:
    """Where llama.cpp puts the model at every context; None for a described one, which `plan` places itself.

    Raises:
        UsageError: settings that llama.cpp refuses.
        MachineError: a named device does not exist.
        UnknownAnswerError: the split needs memory sizes that are not known.
    """
    if request.described is not None:
        return None
    from budget.memory.place import place

    settings = request.settings
    if request.accounting == "fit":
        settings = replace(settings, load_mode="none")  # as `lay_out` measures then
    return place(request.model, settings, request.machine)
