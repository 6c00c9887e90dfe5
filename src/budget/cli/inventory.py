"""`budget fit --inventory`: many hosts at once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from budget.cli.output import Output, exit_of_any
from budget.cli.question import Question
from budget.errors import BudgetError, UsageError

if TYPE_CHECKING:
    from budget.machine.device import Machine
    from budget.machine.inventory.node import Node
    from budget.model.facts import Model
    from budget.planning.fit import Plan


def fit_inventory(
    asked: Question, out: Output, model: Model, *, path: str, pods: str | None, emit: str | None
) -> int:
    """Plan `model` on every host of an inventory; the exit code is 0 if one of them holds it."""
    from budget.machine.inventory.load import judge, load_inventory
    from budget.planning.fit import plan

    if emit not in (None, "kubernetes"):
        raise UsageError(f"--emit {emit}: no such form", hint="kubernetes is the one there is")

    def answer(machine: Machine) -> Plan | BudgetError:
        try:
            return plan(asked.request(model, on=machine, count_residents=False))
        except BudgetError as e:
            return e

    rows = judge(load_inventory(path, pods=pods), answer)
    _refuse_what_no_host_takes([answer for _, answer in rows if answer is not None])
    if emit:
        _emit(rows, out)
    else:
        from budget.render.inventory import inventory_object, inventory_screen

        out.show(
            data=lambda: inventory_object(rows),
            screen=lambda: inventory_screen(rows),
            rows=lambda: inventory_object(rows)["nodes"],
        )
    return int(exit_of_any(getattr(answer, "verdict", None) for _, answer in rows))


def _refuse_what_no_host_takes(answers: list[Plan | BudgetError]) -> None:
    """Raise the mistake in the question itself, which every host answers alike."""
    messages = {answer.message if isinstance(answer, UsageError) else None for answer in answers}
    if len(messages) == 1 and isinstance(answers[0], UsageError):
        raise answers[0]


def _emit(rows: Any, out: Output) -> None:
    """The resources and node selector of a pod for the fitting node with the least room."""
    from budget.machine.inventory.emit import pod_fragment, to_yaml
    from budget.memory.layout import HOST
    from budget.planning.fit import headroom_bytes
    from budget.render.host import account_of
    from budget.units import format_size

    fitting: list[tuple[int, str, Node, Plan]] = [
        (headroom_bytes(a), node.name, node, a) for node, a in rows if getattr(a, "fits", False)
    ]
    if not fitting:
        return
    _, _, node, answer = min(fitting, key=lambda row: row[:2])
    ram = next(d.required_bytes for d in answer.devices if d.name == HOST)
    account = account_of(answer)
    steady, worst = (ram, ram) if account is None else (account.steady_bytes, account.worst_bytes)
    used = sum(d.weights_bytes > 0 for d in answer.devices if d.name != HOST)
    ram_bytes = node.machine.host.ram_total_bytes
    if ram_bytes is not None and worst > ram_bytes and not out.quiet:
        sys.stderr.write(
            f"{node.name} has {format_size(ram_bytes)} of RAM and the server may grow to {format_size(worst)}: "
            "-cram and -ctxcp lower it (budget fit --host)\n"
        )
    out.write(to_yaml(pod_fragment(node, steady_bytes=steady, worst_bytes=worst, n_gpus=used)))
