"""`budget inspect`: what the header says."""

from __future__ import annotations

from budget.cli.options import JsonOption, Question, QuietOption, print_text, question
from budget.errors import ExitCode


@question(models="one", settings=False, machine=False, budget=False)
def command(asked: Question, json: JsonOption = False, quiet: QuietOption = False) -> int:
    """What the header says: layers, heads, windows, experts, and sizes by tensor type and by layer."""
    from budget.render.inspect import inspect_object, inspect_text

    loaded = asked.load(asked.specs()[0])
    if quiet:
        return int(ExitCode.OK)
    data = inspect_object(loaded.model, path=loaded.source.location, file_bytes=loaded.source.file_bytes)
    if json:
        from budget.render.json import dumps

        print_text(dumps(data))
    else:
        print_text(inspect_text(data))
    return int(ExitCode.OK)
