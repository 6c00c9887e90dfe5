"""A sweep as data: JSON, and rows for CSV."""

from __future__ import annotations

from typing import Any

from budget.planning.fit import DevicePlan
from budget.planning.grid import Point, Sweep
from budget.render.json import ENGINE, device_object, model_object


def sweep_object(found: Sweep, *, path: str, file_bytes: int | None) -> dict[str, Any]:
    """`budget/sweep/v1`; there is at least one plan."""
    request = found.plans[0].request
    return {
        "schema": "budget/sweep/v1",
        "engine": ENGINE,
        "model": model_object(request.model, path=path, file_bytes=file_bytes, described=request.described),
        "axis": found.axis,
        "axes": {name: list(values) for name, values in found.axes.items()},
        "series": [{"settings": dict(s.values), "max_ctx": s.max_ctx} for s in found.series],
        "points": [_point_object(point) for point in found.points],
    }


def _point_object(point: Point) -> dict[str, Any]:
    answer = point.plan
    return {
        "settings": dict(point.values),
        "n_ctx": None if answer is None else answer.layout.params.n_ctx,
        "verdict": point.verdict,
        "problem": point.problem if answer is None else "; ".join(answer.reasons) or None,
        "devices": [] if answer is None else [device_object(d) for d in answer.devices],
    }


def sweep_rows(found: Sweep) -> list[dict[str, Any]]:
    """A row per point and device for CSV, with the names of the JSON."""
    rows: list[dict[str, Any]] = []
    for point in found.points:
        first = {**point.values, "verdict": point.verdict}
        devices = [] if point.plan is None else point.plan.devices
        rows += [first | _device_row(device) for device in devices] or [first]
    return rows


def _device_row(device: DevicePlan) -> dict[str, Any]:
    found = device_object(device)
    sizes = {key: value for key, value in found.items() if key.endswith("_bytes")}
    return {"device": found["name"], **sizes, "fits": found["fits"]}
