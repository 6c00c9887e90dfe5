"""Which hosts hold a model, as data and as a screen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from budget.errors import BudgetError
from budget.machine.inventory.node import Node
from budget.planning.fit import Plan
from budget.render.json import device_object
from budget.render.screen import GAP, Block, Cell, Table, Title
from budget.render.words import shortfall_lines, verdict_cell
from budget.units import counted

Rows = Sequence[tuple[Node, Plan | BudgetError | None]]


def _why(node: Node, answer: Plan | BudgetError | None) -> tuple[str, str]:
    """Verdict and reason."""
    if answer is None:
        return "unavailable", node.problem or ""
    if isinstance(answer, BudgetError):
        return "does_not_fit", answer.message
    return answer.verdict, "; ".join(shortfall_lines(answer.failures) or answer.reasons)


def inventory_object(rows: Rows) -> dict[str, Any]:
    """`budget/fit-inventory/v1`."""
    nodes = []
    for node, answer in rows:
        verdict, reason = _why(node, answer)
        devices = [device_object(d) for d in answer.devices] if isinstance(answer, Plan) else []
        nodes.append({"name": node.name, "verdict": verdict, "reason": reason, "devices": devices})
    return {"schema": "budget/fit-inventory/v1", "nodes": nodes}


def inventory_screen(rows: Rows) -> list[Block]:
    """How many hosts hold it, then a row per host: the verdict, its devices, and why not."""
    cells: list[list[Cell]] = []
    n_fitting = 0
    for node, answer in rows:
        verdict, reason = _why(node, answer)
        n_fitting += verdict == "fits"
        cells.append([node.name, verdict_cell(verdict), _cards(node), reason])
    found = f"FITS on {n_fitting or 'none'} of {counted(len(rows), 'host')}"
    return [
        Title(found, "good" if n_fitting else "bad"),
        GAP,
        Table(["node", "verdict", "devices", "why"], cells, left=(0, 1, 2, 3), wrap=3),
    ]


def _cards(node: Node) -> str:
    """`2x NVIDIA L4`."""
    names = Counter(d.description or d.name for d in node.machine.devices)
    return ", ".join(f"{n}x {name}" if n > 1 else name for name, n in names.items()) or "no GPU"
