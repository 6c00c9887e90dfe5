"""`budget devices`: what memory there is."""

from __future__ import annotations

from budget.cli.output import Output, VerboseOption
from budget.cli.question import Question, question
from budget.errors import ExitCode


@question(models="none", settings=False, budget=False)
def command(asked: Question, out: Output, verbose: VerboseOption = False) -> int:
    """The memory devices of this machine. --json writes a machine file that --machine reads."""
    from budget.machine.file import machine_to_json
    from budget.render.machine import machine_rows, machine_screen

    machine = asked.machine
    out.show(
        data=lambda: machine_to_json(machine),
        screen=lambda: machine_screen(machine, verbose=verbose),
        rows=lambda: machine_rows(machine),
    )
    return int(ExitCode.OK)
