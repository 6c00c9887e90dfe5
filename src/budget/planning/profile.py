"""The memory profile: what a model takes whatever the context, and what each token adds, per kind of memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from budget.memory.layout import Basis
from budget.planning.budget import HOST
from budget.planning.curve import Curve, trace
from budget.planning.fit import Plan, Request, placement_of, plan
from budget.planning.longest import context_limit, context_step, with_context


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryProfile:
    """Curves of bytes against total context (`-c`), weights included.

    `device_local` is all GPUs together, `host_visible` is RAM, pinned buffers included.
    """

    device_local: Curve
    host_visible: Curve
    unified: Curve
    """The sum of both, for a machine where they are one pool."""
    devices: Mapping[str, Curve]
    """Each device by name; `CPU` is RAM."""
    weights_bytes: Mapping[str, int]
    """The part of the fixed bytes that is weights, per device."""
    basis: Basis

    def device_local_bytes(self, n_ctx: int) -> int:
        """Bytes on all GPUs at `n_ctx`."""
        return self.device_local.bytes_at(n_ctx)

    def host_visible_bytes(self, n_ctx: int) -> int:
        """Bytes in RAM at `n_ctx`."""
        return self.host_visible.bytes_at(n_ctx)

    def unified_bytes(self, n_ctx: int) -> int:
        """Bytes of both at `n_ctx`."""
        return self.unified.bytes_at(n_ctx)


def memory_profile(request: Request, *, limit: int | None = None) -> MemoryProfile:
    """The profile of `request`: exact at every context that was planned, straight lines to the byte between them.

    Args:
        request: its context is ignored.
        limit: last context, tokens; the trained context by default.

    Raises:
        UsageError: settings that llama.cpp refuses.
        MachineError: a named device does not exist.
        UnknownAnswerError: a number that the answer needs is not known.
    """
    step = context_step(request)
    last = max(limit or context_limit(request), step)
    placement = placement_of(request)
    plans: dict[int, Plan] = {}

    def at(n_ctx: int) -> Plan:
        if n_ctx not in plans:
            plans[n_ctx] = plan(with_context(request, n_ctx), placement=placement)
        return plans[n_ctx]

    def curve(of: Callable[[str], bool]) -> Curve:
        return trace(lambda n: _bytes(at(n), of), first=step, last=last, step=step)

    first = at(step)
    names = [d.name for d in first.devices]
    bases = {basis for d in first.devices for basis in d.basis.values() if d.required_bytes}
    return MemoryProfile(
        device_local=curve(lambda name: name != HOST),
        host_visible=curve(lambda name: name == HOST),
        unified=curve(lambda _name: True),
        devices={name: curve(lambda n, wanted=name: n == wanted) for name in names},  # type: ignore[misc]
        weights_bytes={d.name: d.weights_bytes for d in first.devices},
        basis="estimate" if "estimate" in bases else "formula" if "formula" in bases else "exact",
    )


def _bytes(answer: Plan, of: Callable[[str], bool]) -> int:
    return sum(d.required_bytes - d.reserve_bytes for d in answer.devices if of(d.name))


def profile_object(profile: MemoryProfile) -> dict[str, Any]:
    """`budget/profile/v1`, for JSON."""
    return {
        "schema": "budget/profile/v1",
        "basis": profile.basis,
        "device_local": curve_object(profile.device_local),
        "host_visible": curve_object(profile.host_visible),
        "unified": curve_object(profile.unified),
        "devices": [
            {"name": name, "weights_bytes": profile.weights_bytes.get(name, 0), **curve_object(curve)}
            for name, curve in profile.devices.items()
        ],
    }


def curve_object(curve: Curve) -> dict[str, Any]:
    """A curve for JSON; a slope is an integer unless a token costs a fraction of a byte."""
    return {
        "fixed_bytes": curve.fixed_bytes,
        "step": curve.step,
        "ranges": [
            {
                "first_n_ctx": s.first_n_ctx,
                "last_n_ctx": s.last_n_ctx,
                "fixed_bytes": _number(s.fixed_bytes),
                "bytes_per_token": _number(s.bytes_per_token),
            }
            for s in curve.segments
        ],
    }


def _number(value: Fraction) -> int | float:
    return int(value) if value.denominator == 1 else float(value)
