"""`budget place`: the map."""

from __future__ import annotations

from typing import Annotated

from budget.cli.output import Output
from budget.cli.parameters import Option
from budget.cli.question import Question, question
from budget.errors import ExitCode


@question(models="one")
def command(
    asked: Question,
    out: Output,
    compute: Annotated[
        bool, Option("--compute", help="The tensors alive at the peak of each compute buffer.")
    ] = False,
) -> int:
    """Which layer and which tensor group goes on which device; --json lists every tensor."""
    from budget.planning.fit import plan
    from budget.render import place as render

    loaded = asked.load(asked.specs()[0])
    if asked.described is not None:
        from budget.errors import UnknownAnswerError

        raise UnknownAnswerError(
            "the tensors of a model described by numbers are not known, so none can be placed",
            hint="budget fit says what each device holds; place needs a GGUF file",
        )
    answer = plan(asked.request(loaded.model), want_live=compute)
    out.show(
        data=lambda: render.place_object(answer, path=loaded.source.location),
        screen=lambda: (render.compute_screen if compute else render.place_screen)(answer, name=loaded.spec),
        rows=lambda: render.live_rows(answer) if compute else render.place_object(answer, path="")["tensors"],
    )
    return int(ExitCode.OK)
