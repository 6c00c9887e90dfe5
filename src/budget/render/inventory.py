"""Which hosts hold a model, as data and as a screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from budget.errors import BudgetError
from budget.machine.inventory.node import Node
from budget.planning.fit import Plan
from budget.render.json import device_object
from budget.render.plain import shortfall_lines, table

Rows = Sequence[tuple[Node, Plan | BudgetError | None]]


def _why(node: Node, answer: Plan | BudgetError | None) -> tuple[str, str]:
    """Verdict and reason."""
    if answer is None:
        return "unavailable", node.problem or ""
    if isinstance(answer, BudgetError):
        return "does_not_fit", answer.message
    return answer.verdict, "; ".join(shortfall_lines(answer) or answer.reasons)


def inventory_object(rows: Rows) -> dict[str, Any]:
    """`budget/fit-inventory/v1`."""
    nodes = []
    for node, answer in rows:
        verdict, reason = _why(node, answer)
        devices = [device_object(d) for d in answer.devices] if isinstance(answer, Plan) else []
        nodes.append({"name": node.name, "verdict": verdict, "reason": reason, "devices": devices})
    return {"schema": "budget/fit-inventory/v1", "nodes": nodes}


def inventory_text(rows: Rows) -> str:
    """A row per host: the verdict, its devices, and why not."""
    mark = {"fits": "FITS", "does_not_fit": "no", "unknown": "unknown", "unavailable": "unavailable"}
    cells = []
    for node, answer in rows:
        verdict, reason = _why(node, answer)
        cards = ", ".join(d.description or d.name for d in node.machine.devices) or "no GPU"
        cells.append([node.name, mark[verdict], cards, reason])
    return "\n".join(table(["node", "verdict", "devices", "why"], cells, left=(0, 1, 2, 3)))
