"""Many models: one row each, as data and as a screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from budget.planning.judge import Judgement
from budget.render.plain import table
from budget.source.scan import Row
from budget.units import format_count, format_size

_MARK = {"fits": "fits", "does_not_fit": "no", "unknown": "unknown"}


def judgement_object(result: Judgement | None) -> dict[str, Any] | None:
    """The row's numbers; null where the file has none."""
    if result is None:
        return None
    return {
        "architecture": result.architecture,
        "tensor_bytes": result.tensor_bytes,
        "n_ctx_train": result.n_ctx_train,
        "n_ctx": result.n_ctx,
        "verdict": result.verdict,
        "required_bytes": result.required_bytes,
        "max_ctx": result.max_ctx,
        "reason": result.reason,
    }


def scan_object(rows: Sequence[Row[Judgement]]) -> dict[str, Any]:
    """`budget/scan/v1`."""
    return {
        "schema": "budget/scan/v1",
        "models": [
            {
                "name": row.found.name,
                "spec": row.found.spec,
                "store": row.found.store,
                "kind": row.found.kind,
                "file_bytes": row.found.file_bytes,
                "result": judgement_object(row.result),
                "error": row.error,
                "hint": row.hint,
            }
            for row in rows
        ],
    }


def scan_text(rows: Sequence[Row[Judgement]]) -> str:
    """A table by store; one bad file is a row."""
    if not rows:
        return "no models found"
    cells = [
        [row.found.store, *judgement_cells(row.found.name, row.result, row.error or row.found.kind)]
        for row in rows
    ]
    return "\n".join(table(["store", *HEADERS], cells, left=(0, 1, 2)))


HEADERS = ("model", "verdict", "weights", "needs", "largest context")


def judgement_cells(name: str, result: Judgement | None, otherwise: str) -> list[str]:
    """One model's cells; `otherwise` says why there are no numbers."""
    if result is None:
        return [name, otherwise, "", "", ""]
    return [
        name,
        _MARK[result.verdict],
        format_size(result.tensor_bytes),
        format_size(result.required_bytes),
        "-" if result.max_ctx is None else format_count(result.max_ctx),
    ]


def quants_text(rows: Iterable[tuple[str, str, Judgement | None, str]]) -> str:
    """The quantisations of one repository: (quant, file, judgement, error)."""
    cells = [judgement_cells(quant or path, result, error) for quant, path, result, error in rows]
    return "\n".join(table(["quant", *HEADERS[1:]], cells, left=(0, 1)))


def quants_object(
    spec: str, rows: Iterable[tuple[str, str, Judgement | None, str]], mmproj: Sequence[str]
) -> dict[str, Any]:
    """`budget/quants/v1`."""
    return {
        "schema": "budget/quants/v1",
        "repository": spec,
        "quants": [
            {"quant": quant, "path": path, "result": judgement_object(result), "error": error or None}
            for quant, path, result, error in rows
        ],
        "mmproj": list(mmproj),
    }
