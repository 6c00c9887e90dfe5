"""The host's memory as an account: what of it can be dropped, what cannot, and what grows."""

from __future__ import annotations

from typing import Any

from budget.memory.host import HostMemory, host_memory
from budget.planning.fit import Plan
from budget.render.screen import Block, Table, Text
from budget.units import format_size


def account_of(answer: Plan) -> HostMemory | None:
    """The account; None for a model without a file, of which too little is known."""
    request = answer.request
    if request.described is not None:
        return None
    return host_memory(request.model, request.settings, answer.layout)


def host_object(answer: Plan) -> list[dict[str, Any]] | None:
    """The account for JSON."""
    account = account_of(answer)
    if account is None:
        return None
    return [
        {
            "name": part.name,
            "kind": part.kind,
            "steady_bytes": part.steady_bytes,
            "worst_bytes": part.worst_bytes,
            "basis": part.basis,
            "source": part.source,
        }
        for part in account.parts
    ]


def host_screen(answer: Plan) -> list[Block]:
    """The account as a table: after loading, and once every slot and cache is full."""
    account = account_of(answer)
    if account is None:
        return [Text("host memory: not known without a file")]
    rows = [
        [part.name, part.kind, format_size(part.steady_bytes), format_size(part.worst_bytes)]
        for part in account.parts
    ]
    total = ["together", "", format_size(account.steady_bytes), format_size(account.worst_bytes)]
    return [Table(["host memory", "kind", "steady", "worst"], [*rows, total], left=(0, 1))]
