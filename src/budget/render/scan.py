"""Many models: one row each, as data and as a screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from budget.planning.judge import Judgement
from budget.render.screen import GAP, Block, Cell, Table, Text, Title
from budget.render.words import verdict_cell
from budget.source.scan import Row
from budget.units import counted, format_count, format_size


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
        "mmproj": result.mmproj,
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


def scan_screen(rows: Sequence[Row[Judgement]]) -> list[Block]:
    """A row per model, then what is wrong with those that cannot be read."""
    if not rows:
        return [Text("no models found", "warn")]
    cells = [
        [row.found.store, *judgement_cells(row.found.name, row.result, row.error, row.found.kind)]
        for row in rows
    ]
    errors = [Text(f"{row.found.name}: {row.error}", "bad") for row in rows if row.error]
    return [Table(["store", *_HEADERS], cells, left=(0, 1, 2)), *([GAP, *errors] if errors else [])]


_HEADERS = ("model", "verdict", "weights", "needs", "largest context")


def judgement_cells(name: str, result: Judgement | None, error: str | None, kind: str = "") -> list[Cell]:
    """One model's cells; without a result, that it could not be read, or what kind of file it is instead."""
    if result is None:
        return [name, ("error", "bad") if error else (kind, "dim"), "", "", ""]
    return [
        name,
        verdict_cell(result.verdict),
        format_size(result.tensor_bytes),
        format_size(result.required_bytes),
        "-" if result.max_ctx is None else format_count(result.max_ctx),
    ]


Quants = Sequence[tuple[str, str, Judgement | None, str]]
"""The quantisations of one repository: (quant, file, judgement, error)."""


def quants_screen(spec: str, rows: Quants) -> list[Block]:
    """How many fit, a row each, then what is wrong with those that cannot be read."""
    n_fitting = sum(result is not None and result.verdict == "fits" for _, _, result, _ in rows)
    found = f"FITS in {n_fitting or 'none'} of {counted(len(rows), 'quantisation')}"
    cells = [judgement_cells(quant or path, result, error) for quant, path, result, error in rows]
    errors = [Text(f"{path}: {error}", "bad") for _, path, result, error in rows if result is None]
    return [
        Title(found, "good" if n_fitting else "bad", spec),
        GAP,
        Table(["quant", *_HEADERS[1:]], cells, left=(0, 1)),
        *([GAP, Text(_PROJECTOR_TOO, "dim")] if _counts_projector(rows) else []),
        *([GAP, *errors] if errors else []),
    ]


_PROJECTOR_TOO = (
    "Note: -hf loads the repository's projector too, and it is counted; --no-mmproj leaves it away"
)


def _counts_projector(rows: Quants) -> bool:
    """Whether a projector is counted that the settings did not name."""
    return any(result is not None and (result.mmproj or "").startswith("hf://") for _, _, result, _ in rows)


def quants_object(spec: str, rows: Quants, mmproj: Sequence[str]) -> dict[str, Any]:
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
