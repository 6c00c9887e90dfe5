"""Several models on one machine: together, admitted to a ledger, or making room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from budget.planning.evict import Eviction
from budget.planning.fit import Plan
from budget.planning.ledger import Admission
from budget.planning.residents import Fleet, Resident
from budget.planning.usage import Shortfall
from budget.render.json import ENGINE, device_object
from budget.render.plain import table
from budget.units import format_size

_VERDICT = {"fits": "FIT", "does_not_fit": "DO NOT FIT", "unknown": "UNKNOWN"}


def _failures(failures: Sequence[Shortfall]) -> list[dict[str, Any]]:
    return [
        {
            "device": f.device,
            "required_bytes": f.required_bytes,
            "available_bytes": f.available_bytes,
            "short_bytes": f.short_bytes,
        }
        for f in failures
    ]


def _lines(failures: Sequence[Shortfall]) -> list[str]:
    return [
        f"{f.device}: all together need {format_size(f.required_bytes)}, may use {format_size(f.available_bytes)}, "
        f"short by {format_size(f.short_bytes)}"
        for f in failures
    ]


def fleet_object(answer: Fleet, specs: Sequence[str]) -> dict[str, Any]:
    """`budget/fleet/v1`."""
    return {
        "schema": "budget/fleet/v1",
        "verdict": answer.verdict,
        "engine": ENGINE,
        "models": [
            {"path": spec, "verdict": plan.verdict, "devices": [device_object(d) for d in plan.devices]}
            for spec, plan in zip(specs, answer.plans, strict=True)
        ],
        "usage": [{"device": device, "required_bytes": size} for device, size in answer.usage.items()],
        "failures": _failures(answer.failures),
        "reasons": list(answer.reasons),
    }


def fleet_text(answer: Fleet, specs: Sequence[str]) -> str:
    """A row per model, a column per device, and the sum."""
    devices = [d.name for d in answer.plans[0].devices]
    rows = []
    for spec, plan in zip(specs, answer.plans, strict=True):
        sizes = {d.name: d.required_bytes - d.reserve_bytes for d in plan.devices}
        rows.append(
            [spec, *(format_size(sizes.get(name, 0)) for name in devices), plan.verdict.replace("_", " ")]
        )
    rows.append(["together", *(format_size(answer.usage.get(name, 0)) for name in devices), ""])
    lines = [f"{_VERDICT[answer.verdict]} TOGETHER", "", *table(["model", *devices, ""], rows)]
    return "\n".join([*lines, *_lines(answer.failures), *answer.reasons])


def admission_object(plan: Plan, admission: Admission, name: str) -> dict[str, Any]:
    """`budget/admission/v1`."""
    return {
        "schema": "budget/admission/v1",
        "name": name,
        "admitted": admission.admitted,
        "verdict": plan.verdict,
        "devices": [device_object(d) for d in plan.devices],
        "failures": _failures(admission.failures),
        "unknown": list(admission.unknown),
        "residents": [_resident(r) for r in admission.ledger.residents],
    }


def admission_text(plan: Plan, admission: Admission, name: str) -> str:
    """Whether it was admitted, and why not."""
    claim = ", ".join(f"{d.name} {format_size(d.required_bytes)}" for d in plan.devices if d.required_bytes)
    if admission.admitted:
        return f"ADMITTED: {name}\n{claim}\n{len(admission.ledger.residents)} in the ledger"
    return "\n".join([f"NOT ADMITTED: {name}", *_lines(admission.failures), *admission.unknown])


def _resident(resident: Resident) -> dict[str, Any]:
    return {
        "name": resident.name,
        "usage": dict(resident.usage),
        "model": resident.model,
        "n_ctx": resident.n_ctx,
    }


def eviction_object(answer: Eviction | None) -> dict[str, Any]:
    """`budget/evict/v1`."""
    return {
        "schema": "budget/evict/v1",
        "possible": answer is not None,
        "evict": [] if answer is None else [_resident(r) for r in answer.residents],
        "freed_bytes": 0 if answer is None else answer.freed_bytes,
    }


def eviction_text(answer: Eviction | None) -> str:
    """Names, one per line, so that a script can unload them."""
    if answer is None:
        return "no set of residents makes room"
    if not answer.residents:
        return "it fits as it is"
    return "\n".join(f"{r.name}  {format_size(r.total_bytes)}" for r in answer.residents)
