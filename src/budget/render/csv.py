"""Comma-separated values: sizes are bytes, unknown is empty; for spreadsheets and scripts."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from budget.planning.fit import Plan
from budget.render.json import device_object


def to_csv(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """RFC 4180 with line feeds; None is empty, and booleans are `true` and `false`."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(headers)
    writer.writerows([[_cell(value) for value in row] for row in rows])
    return out.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else value


def fit_csv(answer: Plan, *, name: str, max_ctx: int | None) -> str:
    """A row per device, with the names of `budget fit --json`."""
    rows = []
    headers: list[str] = []
    for device in answer.devices:
        numbers = {k: v for k, v in device_object(device).items() if k != "basis"}
        row = {"model": name, "verdict": answer.verdict, "n_ctx": answer.layout.params.n_ctx, **numbers,
               "max_ctx": max_ctx}  # fmt: skip
        headers = list(row)
        rows.append(list(row.values()))
    return to_csv(headers, rows)
