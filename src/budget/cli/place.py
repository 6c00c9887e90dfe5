"""`budget place`: the map."""

from __future__ import annotations

from typing import Annotated

from budget.cli.options import JsonOption, Question, QuietOption, print_text, question
from budget.cli.parameters import Option
from budget.errors import ExitCode


@question(models="one")
def command(
    asked: Question,
    json: JsonOption = False,
    quiet: QuietOption = False,
    compute: Annotated[
        bool, Option("--compute", help="The tensors alive at the peak of each compute buffer.")
    ] = False,
) -> int:
    """Which layer and which tensor group goes on which device; --json lists every tensor."""
    from budget.planning.fit import plan
    from budget.render.place import compute_text, place_object, place_text

    loaded = asked.load(asked.specs()[0])
    answer = plan(asked.request(loaded.model), want_live=compute)
    if quiet:
        return int(ExitCode.OK)
    if json:
        from budget.render.json import dumps

        print_text(dumps(place_object(answer, path=loaded.source.location)))
    elif compute:
        print_text(compute_text(answer, name=loaded.spec))
    else:
        print_text(place_text(answer, name=loaded.spec))
    return int(ExitCode.OK)
