"""`budget schema`: JSON Schema."""

from __future__ import annotations

from typing import Annotated

from budget.cli.options import print_text
from budget.cli.parameters import Argument
from budget.errors import ExitCode


def command(
    name: Annotated[
        str | None,
        Argument(metavar="NAME", show_default=False, help="Leave it away for the list of names."),
    ] = None,
) -> int:
    """The JSON Schema of any JSON that budget reads or writes."""
    from budget.schema import SCHEMAS, json_schema

    if name is None:
        print_text("\n".join(SCHEMAS))
    else:
        from budget.render.json import dumps

        print_text(dumps(json_schema(name)))
    return int(ExitCode.OK)
