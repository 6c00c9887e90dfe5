"""`budget hardware`: what people plan for and do not have."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from budget.cli.output import Output, exit_of_any
from budget.cli.parameters import Argument, Option
from budget.cli.question import Question, question
from budget.errors import ExitCode, MachineError, UsageError

if TYPE_CHECKING:
    from budget.errors import BudgetError
    from budget.machine.hardware import HardwareRow
    from budget.planning.fit import Plan
    from budget.render.hardware import Rows


@question(models="none", machine=False, budget=False)
def command(
    asked: Question,
    out: Output,
    text: Annotated[
        str | None,
        Argument(metavar="FILTER", show_default=False, help="Words in a name, such as 'rtx 40'."),
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
    """The catalogue of cards, chips and machines; --fits MODEL keeps what runs it, least memory first.

    What may be used there is what budget.toml and BUDGET_* say; what is loaded on this machine does not count.
    """
    from budget.machine.hardware import hardware_rows
    from budget.render.hardware import hardware_object, hardware_screen

    if ctx is not None and fits is None:
        raise UsageError(
            "--ctx is the context that --fits MODEL is asked about", hint="name a model with --fits"
        )
    found = hardware_rows(text)
    if not found:
        raise _no_entry(text or "")
    rows: Rows = [(row, None) for row in found]
    tried = _planned(asked, out, text, fits, ctx, ram, n_rows=len(found)) if fits else []
    shown = [(row, answer) for row, answer in tried if answer is not None and answer.fits] if fits else rows
    out.show(
        data=lambda: hardware_object(shown),
        screen=lambda: hardware_screen(shown, asked_for=fits, tried=tried),
        rows=lambda: hardware_object(shown)["hardware"],
    )
    return int(
        exit_of_any(answer.verdict for _, answer in tried if answer is not None) if fits else ExitCode.OK
    )


def _no_entry(text: str) -> MachineError:
    from budget.machine.catalog import DEVICE_KINDS, MACHINE_KINDS, near_names

    near = near_names(text, kinds=(*DEVICE_KINDS, *MACHINE_KINDS))
    hint = (
        f"near: {', '.join(near)}"
        if near
        else "words of a name, such as 'rtx 40'; without any, all are listed"
    )
    return MachineError(f"no entry of the catalogue has {text!r} in its name", hint=hint)


def _planned(
    asked: Question, out: Output, text: str | None, spec: str, ctx: str | None, ram: str, *, n_rows: int
) -> list[tuple[HardwareRow, Plan | None]]:
    """Each row with the plan of the model on its machine; None where the settings cannot be had there."""
    from budget.cli.values import count
    from budget.errors import BudgetError
    from budget.machine.describe import DESCRIBED_CPU_FEATURES, parse_ram
    from budget.machine.device import Host
    from budget.machine.hardware import hardware_machines
    from budget.planning.fit import plan
    from budget.source.progress import ReadProgress

    model = asked.load(spec).model
    settings = asked.settings
    if not settings.n_ctx:
        settings = replace(settings, n_ctx=count("--ctx", ctx) or 8192)
    size = parse_ram(ram)
    host = Host(ram_total_bytes=size, ram_available_bytes=size, cpu_features=DESCRIBED_CPU_FEATURES)
    rows: list[tuple[HardwareRow, Plan | None]] = []
    errors: list[BudgetError] = []
    with ReadProgress("plans", unit="plans", quiet=out.quiet) as progress:
        for row, machine in hardware_machines(text, host=host):
            try:
                answer = plan(asked.request(model, settings, on=machine, count_residents=False))
            except BudgetError as e:
                errors.append(e)
                rows.append((row, None))
            else:
                rows.append((row, answer))
            progress.update(len(rows), n_rows)
    _refuse_what_nothing_answers(errors, [answer for _, answer in rows if answer is not None])
    return rows


def _refuse_what_nothing_answers(errors: list[BudgetError], answers: list[Plan]) -> None:
    """Raise what is wrong with the question, or with the model, where not a single machine has an answer."""
    if not answers:
        raise errors[0]
    if all(answer.verdict == "unknown" for answer in answers):
        from budget.planning.summary import unknown_answer

        raise unknown_answer(answers[0])
