"""`budget schema`: JSON Schema."""

from __future__ import annotations

from typing import Annotated

from budget.cli.output import Output, write_json
from budget.cli.parameters import Argument
from budget.cli.question import Question, question
from budget.errors import ExitCode


@question(models="none", settings=False, machine=False, budget=False)
def command(
    _asked: Question,
    out: Output,
    name: Annotated[
        str | None,
        Argument(metavar="NAME", show_default=False, help="Leave it away for the list of names."),
    ] = None,
) -> int:
    """The JSON Schema of any JSON that budget reads or writes."""
    from budget.schema import json_schema, schemas_object

    if name is not None:
        schema = json_schema(name)
        if not out.quiet:
            write_json(schema)
        return int(ExitCode.OK)
    from budget.render.schema import schemas_screen

    data = schemas_object()
    out.show(data=lambda: data, screen=lambda: schemas_screen(data), rows=lambda: data["schemas"])
    return int(ExitCode.OK)
