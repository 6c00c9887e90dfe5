"""The verdict: what each device must hold, what it may, and where that falls short."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Literal

from budget.machine.device import Device, Machine
from budget.memory.extra import Companion, Extra
from budget.memory.layout import HOST, Basis, Layout, lay_out
from budget.memory.placement import Placement
from budget.model.facts import Model
from budget.planning.budget import UNLIMITED, Budget, Cap
from budget.planning.search import largest
from budget.planning.usage import Shortfall, Usage, add_usage, check
from budget.record import field, record, replace
from budget.runtime.settings import N_CTX_PADDING, Settings, resolve

if TYPE_CHECKING:
    from budget.planning.described import Described

__all__ = [
    "DevicePlan", "Plan", "Request", "Shortfall", "Verdict", "context_limit", "context_step", "headroom_bytes",
    "max_context", "placement_of", "plan", "regain_bytes", "with_context",
]  # fmt: skip

Verdict = Literal["fits", "does_not_fit", "unknown"]
N_CTX_MOST = (1 << 31) - 1
"""Most tokens that `-c` takes: llama.cpp reads it into an int32."""


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


def _what_to_give(answer: Plan) -> str:
    """What would make an unknown answer known."""
    request = answer.request
    if request.described is not None and _unknown_model(request, answer.layout):
        return "give --layers, --kv-heads and --head-dim, or --kv-bytes-per-token"
    return "give a budget in bytes, or --assume ARCH for an unknown architecture"


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


def with_context(request: Request, n_ctx: int) -> Request:
    """The same request at another total context, tokens."""
    return replace(request, settings=replace(request.settings, n_ctx=n_ctx, kv_unified_per_slot=0))


def context_step(request: Request) -> int:
    """Tokens by which the total context can change: llama.cpp pads each stream to 256 cells."""
    return N_CTX_PADDING * _n_stream(request)


def context_limit(request: Request) -> int:
    """Largest total context worth asking for, tokens: the trained context for every stream.

    Where no trained context is known (a described model), it is the most that llama.cpp reads.
    """
    return min((request.model.n_ctx_train or N_CTX_MOST) * _n_stream(request), N_CTX_MOST)


def _n_stream(request: Request) -> int:
    """Streams of the K/V cache, whatever the context, which may be what is asked for."""
    is_open = not request.model.n_ctx_train and not request.settings.n_ctx
    settings = replace(request.settings, n_ctx=N_CTX_PADDING) if is_open else request.settings
    return resolve(settings, request.model).n_stream


def max_context(
    request: Request,
    *,
    limit: int | None = None,
    low: int | None = None,
    plan_at: Callable[[int], Plan] | None = None,
) -> int | None:
    """The largest total context (`-c`) with which `request` fits, in whole steps; None if not even one step does.

    Every candidate is a full plan; the search never assumes a straight line.

    Args:
        limit: do not look beyond this many tokens; the trained context by default.
        low: a multiple of the step that is known to fit, tokens; one step by default.
        plan_at: plans `request` at a context; one that remembers its plans saves making them again.

    Raises:
        UnknownAnswerError: what the answer needs is not known.
    """
    from budget.errors import UnknownAnswerError

    step = context_step(request)
    limit = max(limit or context_limit(request), step)
    at = cache(plan_at or _planner(request))

    def room(n_ctx: int) -> int:
        answer = at(n_ctx)
        if answer.reasons:
            raise UnknownAnswerError("; ".join(answer.reasons), hint=_what_to_give(answer))
        return headroom_bytes(answer)

    return largest(room, low=low or step, high=limit, step=step, regain=lambda n: regain_bytes(at(n)))


def regain_bytes(answer: Plan) -> int:
    """Most bytes by which a longer context is taken to need less than a shorter one; 0 where it never does.

    A cache takes more with every step. Where one of its layers is computed on a device and lies in RAM, a device sees
    only the compute buffer: what ggml's allocator loses in it between its tensors differs from context to context, and
    with it the buffer can shrink: by 36 % at most in what was tried (command-r 35b, `-ngl 0`), so half is taken.
    """
    layout = answer.layout
    placement = layout.placement
    is_shared = (
        None in placement.layer_device[:-1] or placement.has_overrides or not layout.params.offload_kqv
    )
    return max(d.compute_bytes for d in answer.devices) // 2 if placement.devices and is_shared else 0


def _planner(request: Request) -> Callable[[int], Plan]:
    """Plans `request` at any context, placed once."""
    placement = placement_of(request)
    return lambda n_ctx: plan(with_context(request, n_ctx), placement=placement)
