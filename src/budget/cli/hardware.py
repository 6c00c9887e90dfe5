"""`budget hardware`: what people plan for and do not have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from budget.cli.options import Question, question
from budget.cli.output import Output
from budget.cli.parameters import Argument, Option
from budget.errors import ExitCode

if TYPE_CHECKING:
    from budget.machine.hardware import HardwareRow
    from budget.planning.fit import Plan


@question(models="none", machine=False, budget=False)
def command(
    asked: Question,
    out: Output,
    text: Annotated[
        str | None,
        Argument(metavar="FILTER", show_default=False, help="Words in a name, such as 'rtx 24'."),
    ] = None,
    fits: Annotated[
        str | None,
        Option("--fits", metavar="MODEL", show_default=False, help="Only what runs this model."),
    ] = None,
    ctx: Annotated[
        str | None, Option("--ctx", metavar="N", show_default=False, help="With this context (8192).")
    ] = None,
    ram: Annotated[
        str, Option("--ram", metavar="SIZE", help="RAM of the host that a card is put into.")
    ] = "64GiB",
) -> int:
    """The catalogue of cards, chips and machines; --fits MODEL keeps what runs it, least memory first."""
    from budget.machine.hardware import hardware_rows
    from budget.render.hardware import hardware_object, hardware_screen

    rows: list[tuple[HardwareRow, Plan | None]]
    rows = (
        list(_fitting(asked, text, fits, ctx, ram)) if fits else [(row, None) for row in hardware_rows(text)]
    )
    out.show(
        data=lambda: hardware_object(rows),
        screen=lambda: hardware_screen(rows),
        rows=lambda: hardware_object(rows)["hardware"],
    )
    return int(ExitCode.OK if rows else ExitCode.DOES_NOT_FIT if fits else ExitCode.NO_DEVICE)


def _fitting(
    asked: Question, text: str | None, spec: str, ctx: str | None, ram: str
) -> Iterator[tuple[HardwareRow, Plan | None]]:
    """Rows whose machine holds the model at the context, with their plans."""
    from budget.cli.options import count
    from budget.errors import BudgetError
    from budget.machine.describe import DESCRIBED_CPU_FEATURES, parse_ram
    from budget.machine.device import Host
    from budget.machine.hardware import hardware_machines
    from budget.planning.budget import resolve_budget
    from budget.planning.fit import Request, plan

    model = asked.load(spec).model
    settings = asked.settings
    if not settings.n_ctx:
        settings = replace(settings, n_ctx=count("--ctx", ctx) or 8192)
    size = parse_ram(ram)
    host = Host(ram_total_bytes=size, ram_available_bytes=size, cpu_features=DESCRIBED_CPU_FEATURES)
    for row, machine in hardware_machines(text, host=host):
        budget = resolve_budget("auto", machine)
        try:
            answer = plan(Request(model=model, settings=settings, machine=machine, budget=budget))
        except BudgetError:
            continue  # settings that this machine cannot have: it does not run the model
        if answer.fits:
            yield row, answer
