"""`budget fit --inventory`: many hosts at once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from budget.cli.options import Question, print_text
from budget.errors import BudgetError, ExitCode, UsageError

if TYPE_CHECKING:
    from budget.machine.device import Machine
    from budget.machine.inventory.node import Node
    from budget.planning.fit import Plan, Request


def fit_inventory(
    asked: Question,
    request: Request,
    *,
    path: str,
    pods: str | None,
    emit: str | None,
    json: bool,
    quiet: bool,
) -> int:
    """Plan `request` on every host of an inventory; the exit code is 0 if one of them holds it."""
    from budget.machine.inventory.load import judge, load_inventory
    from budget.planning.budget import resolve_budget
    from budget.planning.fit import plan

    if emit not in (None, "kubernetes"):
        raise UsageError(f"--emit {emit}: no such form", hint="kubernetes is the one there is")

    def answer(machine: Machine) -> Plan | BudgetError:
        budget = resolve_budget(asked.values.get("budget") or "auto", machine)
        try:
            return plan(replace(request, machine=machine, budget=budget))
        except BudgetError as e:
            return e

    rows = judge(load_inventory(path, pods=pods), answer)
    if not quiet:
        if emit:
            _emit(rows)
        elif json:
            from budget.render.inventory import inventory_object
            from budget.render.json import dumps

            print_text(dumps(inventory_object(rows)))
        else:
            from budget.render.inventory import inventory_text

            print_text(inventory_text(rows))
    verdicts = {getattr(a, "verdict", None) for _, a in rows}
    if "fits" in verdicts:
        return int(ExitCode.OK)
    return int(ExitCode.UNKNOWN if "unknown" in verdicts else ExitCode.DOES_NOT_FIT)


def _emit(rows: Any) -> None:
    """The resources and node selector of a pod for the fitting node with the least room."""
    from budget.machine.inventory.emit import pod_fragment, to_yaml
    from budget.memory.layout import HOST
    from budget.planning.fit import headroom_bytes

    fitting: list[tuple[int, str, Node, Plan]] = [
        (headroom_bytes(a), node.name, node, a) for node, a in rows if getattr(a, "fits", False)
    ]
    if not fitting:
        return
    _, _, node, answer = min(fitting, key=lambda row: row[:2])
    ram = next(d.required_bytes for d in answer.devices if d.name == HOST)
    used = sum(d.weights_bytes > 0 for d in answer.devices if d.name != HOST)
    print_text(to_yaml(pod_fragment(node, ram_bytes=ram, n_gpus=used)))
