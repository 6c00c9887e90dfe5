"""Models that are loaded already, and several models that share one machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from budget.errors import UsageError
from budget.machine.device import Machine
from budget.planning.budget import HOST, Budget
from budget.planning.fit import Plan, Request, Verdict, plan
from budget.planning.usage import Shortfall, Usage, add_usage, check, parse_usage

Live = Mapping[int, Usage]
"""Process id to the bytes it holds on each device now (NVML)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    """A model that claims memory."""

    name: str
    usage: Usage
    """Bytes claimed per device."""
    pid: int | None = None
    """Process that holds it; None where it is not known."""
    model: str | None = None
    """Where the model came from."""
    n_ctx: int | None = None
    """Context it was planned with, tokens."""

    @property
    def total_bytes(self) -> int:
        """Its claim on all devices."""
        return sum(self.usage.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Several models planned together, each beside those before it."""

    plans: tuple[Plan, ...]
    usage: Usage
    """What all of them claim per device, bytes; residents not counted."""
    failures: tuple[Shortfall, ...]
    """Every device on which all of them together do not fit."""
    verdict: Verdict
    reasons: tuple[str, ...] = field(default=())


def parse_resident(text: str, machine: Machine) -> Resident:
    """A resident from `NAME=ram:2GiB,CUDA0:10GiB`.

    Raises:
        UsageError: text of another form.
        MachineError: a device that is not there.
    """
    name, equals, claim = text.partition("=")
    if not equals or not name.strip():
        raise UsageError(
            f"--resident {text!r}: no NAME=DEVICE:SIZE", hint="such as chat=ram:2GiB,CUDA0:10GiB"
        )
    return Resident(name=name.strip(), usage=parse_usage(claim, machine))


def is_measured(budget: Budget, device: str) -> bool:
    """Whether the cap of `device` is what was free a moment ago, so that loaded models are in it already."""
    return budget.mode != "combined" and budget.sources.get(device) not in ("given", "unlimited", None)


def claims(budget: Budget, residents: Iterable[Resident], live: Live | None = None) -> dict[str, int]:
    """Bytes per device to take off the caps of `budget` for `residents`.

    Where a cap is the memory free now, what a resident's process holds already is missing from it, and only the
    rest of its claim counts. Where a cap was given, the whole claim counts.
    """
    used: dict[str, int] = {}
    for resident in residents:
        held = (live or {}).get(resident.pid, {}) if resident.pid is not None else {}
        for device, size in resident.usage.items():
            seen = held.get(device, 0) if is_measured(budget, device) else 0
            used[device] = used.get(device, 0) + max(size - seen, 0)
    return used


def credit(budget: Budget, replaced: Iterable[Resident], live: Live | None = None) -> dict[str, int]:
    """Bytes per device that come back, beyond their claims, when `replaced` are unloaded.

    Only where the cap is the memory free now: what their processes hold is missing from it.
    """
    back: dict[str, int] = {}
    for resident in replaced:
        held = (live or {}).get(resident.pid, {}) if resident.pid is not None else {}
        for device, size in held.items():
            if is_measured(budget, device):
                back[device] = back.get(device, 0) + size
    return back


def beside(
    request: Request, residents: Sequence[Resident], *, live: Live | None = None, without: Iterable[str] = ()
) -> Request:
    """`request` with `residents` counted, those named in `without` unloaded first.

    The default split over devices follows the memory that will be free, as llama.cpp will see it.

    Raises:
        UsageError: `without` names no resident.
    """
    gone = set(without)
    missing = gone - {r.name for r in residents}
    if missing:
        names = ", ".join(r.name for r in residents) or "none"
        raise UsageError(f"no resident {sorted(missing)[0]!r}", hint=f"residents: {names}")
    left = [r for r in residents if r.name not in gone]
    out = [r for r in residents if r.name in gone]
    used = add_usage(request.used, claims(request.budget, left, live))
    back = add_usage(request.reclaim, credit(request.budget, out, live))
    free = add_usage(*(_unseen(r, live) for r in left), {d: -n for d, n in credit_all(out, live).items()})
    return replace(request, used=used, reclaim=back, machine=with_less_free(request.machine, free))


def _unseen(resident: Resident, live: Live | None) -> dict[str, int]:
    """The part of a claim that is not held yet, so that free memory still shows it."""
    held = (live or {}).get(resident.pid, {}) if resident.pid is not None else {}
    return {d: max(n - held.get(d, 0), 0) for d, n in resident.usage.items()}


def credit_all(residents: Iterable[Resident], live: Live | None) -> dict[str, int]:
    """What the processes of `residents` hold now, bytes per device."""
    return add_usage(*((live or {}).get(r.pid, {}) for r in residents if r.pid is not None))


def with_less_free(machine: Machine, usage: Usage) -> Machine:
    """`machine` with `usage` taken off the free memory of its devices; a negative size gives memory back."""

    def less(free: int | None, name: str) -> int | None:
        return None if free is None else max(free - usage.get(name, 0), 0)

    host = replace(machine.host, ram_available_bytes=less(machine.host.ram_available_bytes, HOST))
    devices = tuple(replace(d, free_bytes=less(d.free_bytes, d.name)) for d in machine.devices)
    return replace(machine, host=host, devices=devices)


def fit_together(
    requests: Sequence[Request], residents: Sequence[Resident] = (), *, live: Live | None = None
) -> Fleet:
    """Do all of `requests` fit at once, loaded one after the other, each in a process of its own?

    Every model pays its own overhead on every GPU it uses, and is split over the memory that those before it leave.

    Args:
        requests: in loading order; all with the same budget.
        residents: models that are loaded already.
        live: what processes hold now.

    Raises:
        UsageError: no request, or settings that llama.cpp refuses.
    """
    if not requests:
        raise UsageError("no model given")
    budget, plans = requests[0].budget, []
    total: dict[str, int] = {}
    for request in requests:
        asked = beside(request, residents, live=live)
        asked = replace(
            asked, used=add_usage(asked.used, total), machine=with_less_free(asked.machine, total)
        )
        plans.append(plan(asked))
        total = add_usage(total, plans[-1].usage)
    reserve = {d.name: d.reserve_bytes for p in plans for d in p.devices}
    first = beside(requests[0], residents, live=live)
    failures = check(budget, add_usage(total, reserve), first.used, reclaim=first.reclaim)
    reasons = tuple(dict.fromkeys(reason for p in plans for reason in p.reasons))
    verdict: Verdict = "does_not_fit" if failures else "unknown" if reasons else "fits"
    return Fleet(plans=tuple(plans), usage=total, failures=failures, verdict=verdict, reasons=reasons)
