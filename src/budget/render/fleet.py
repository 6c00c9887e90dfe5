"""Several models on one machine: together, admitted to a ledger, or making room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from budget.planning.budget import HOST
from budget.planning.evict import Eviction
from budget.planning.fit import Plan
from budget.planning.ledger import Admission
from budget.planning.residents import Fleet, Resident
from budget.render.json import ENGINE, device_object, failures_object
from budget.render.screen import GAP, Block, Cell, Table, Text, Title
from budget.render.words import MARK, VERDICT_STYLE, shortfall_lines, verdict_cell
from budget.units import counted, format_size

_VERDICT = {"fits": "FIT", "does_not_fit": "DO NOT FIT", "unknown": "UNKNOWN"}


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
        "failures": failures_object(answer.failures),
        "reasons": list(answer.reasons),
    }


def fleet_screen(answer: Fleet, specs: Sequence[str]) -> list[Block]:
    """A row per model, a column per device, and the sum."""
    used = {d.name for plan in answer.plans for d in plan.devices}
    machine = answer.plans[0].request.machine
    devices = [*(d.name for d in machine.devices if d.name in used), HOST]
    rows: list[list[Cell]] = []
    for spec, plan in zip(specs, answer.plans, strict=True):
        sizes = {d.name: d.required_bytes - d.reserve_bytes for d in plan.devices}
        rows.append(
            [spec, verdict_cell(plan.verdict), *(format_size(sizes.get(name, 0)) for name in devices)]
        )
    total = [(format_size(answer.usage.get(name, 0)), "bold") for name in devices]
    rows.append([("together", "bold"), (MARK[answer.verdict], VERDICT_STYLE[answer.verdict]), *total])
    return [
        Title(f"{_VERDICT[answer.verdict]} TOGETHER", VERDICT_STYLE[answer.verdict]),
        GAP,
        Table(["model", "verdict", *devices], rows, left=(0, 1)),
        Text("Loaded in this order: each is judged beside those above it.", "dim"),
        GAP,
        *(Text(text, "bad") for text in shortfall_lines(answer.failures, "all together need")),
        *(Text(reason, "warn") for reason in answer.reasons),
    ]


def fleet_rows(answer: Fleet, specs: Sequence[str]) -> list[dict[str, Any]]:
    """A row per model and device, for CSV."""
    return [
        {"model": model["path"], "verdict": model["verdict"], **device}
        for model in fleet_object(answer, specs)["models"]
        for device in model["devices"]
    ]


def admission_object(plan: Plan, admission: Admission, name: str) -> dict[str, Any]:
    """`budget/admission/v1`."""
    return {
        "schema": "budget/admission/v1",
        "name": name,
        "admitted": admission.admitted,
        "verdict": plan.verdict,
        "devices": [device_object(d) for d in plan.devices],
        "failures": failures_object(admission.failures),
        "unknown": list(admission.unknown),
        "residents": [_resident(r) for r in admission.ledger.residents],
    }


def admission_screen(plan: Plan, admission: Admission, name: str) -> list[Block]:
    """Whether it was admitted, and why not."""
    if not admission.admitted:
        texts = [*shortfall_lines(admission.failures, "all together need"), *admission.unknown]
        return [Title("NOT ADMITTED", "bad", name), *(Text(text) for text in texts)]
    claim = ", ".join(f"{d.name} {format_size(d.required_bytes)}" for d in plan.devices if d.required_bytes)
    n = len(admission.ledger.residents)
    return [Title("ADMITTED", "good", name), Text(claim), Text(f"{n} in the ledger")]


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


def eviction_screen(answer: Eviction | None) -> list[Block]:
    """What to unload: the names, with what each gives back."""
    if answer is None:
        return [Title("DOES NOT FIT", "bad"), Text("No set of residents makes room.")]
    if not answer.residents:
        return [Title("FITS", "good"), Text("Nothing has to be unloaded.")]
    rows = [[r.name, format_size(r.total_bytes)] for r in answer.residents]
    return [
        Title(f"FITS after unloading {counted(len(rows), 'resident')}", "good"),
        Table((), rows, indent=2),
    ]
