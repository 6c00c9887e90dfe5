"""`budget devices`: what memory there is."""

from __future__ import annotations

from typing import Annotated

from budget.cli.options import JsonOption, Question, QuietOption, print_text, question
from budget.cli.parameters import Option
from budget.errors import ExitCode


@question(models="none", settings=False, budget=False)
def command(
    asked: Question,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: Annotated[bool, Option("--verbose", "-v", help="Where each number comes from.")] = False,
) -> int:
    """The memory devices of this machine. --json writes a machine file that --machine reads."""
    machine = asked.machine
    if quiet:
        return int(ExitCode.OK)
    if json:
        from budget.machine.file import machine_to_json
        from budget.render.json import dumps

        print_text(dumps(machine_to_json(machine)))
    else:
        from budget.render.machine import machine_text

        print_text(machine_text(machine, verbose=verbose))
    return int(ExitCode.OK)
