"""`budget request`: the tokens of one request."""

from __future__ import annotations

from typing import Annotated

from budget.cli.output import Output
from budget.cli.parameters import Option
from budget.cli.question import Question, question
from budget.cli.values import count
from budget.errors import ExitCode, UsageError


@question(models="one")
def command(
    asked: Question,
    out: Output,
    used: Annotated[
        str, Option("--used", metavar="N", show_default=False,
                          help="Tokens of the prompt, and what the slot holds.")
    ],
    completion: Annotated[
        str, Option("--completion", metavar="N", help="Completion tokens that are wanted.")
    ] = "256",
    capacity: Annotated[
        str | None,
        Option("--capacity", metavar="N", show_default=False,
                     help="Context of one slot; left away, the largest that MODEL gets within the budget."),
    ] = None,
) -> int:  # fmt: skip
    """How many completion tokens one request may have, and the context it needs. Exit 3 if the prompt is too long."""
    from budget.planning.request import request_budget

    n_capacity = count("--capacity", capacity)
    if n_capacity is None:
        n_capacity = _capacity(asked)
    answer = request_budget(
        n_used=count("--used", used) or 0,
        n_completion=count("--completion", completion) or 0,
        n_capacity=n_capacity,
    )
    from budget.render.request import request_object, request_screen

    out.show(data=lambda: request_object(answer), screen=lambda: request_screen(answer))
    return int(ExitCode.OK if answer.fits else ExitCode.DOES_NOT_FIT)


def _capacity(asked: Question) -> int:
    """Context of one slot of the model within the budget, tokens."""
    from budget.planning.longest import max_context, with_context
    from budget.runtime.settings import resolve

    if asked.values.get("model") is None and not asked.line and asked.described is None:
        raise UsageError("--capacity or a model is needed", hint="such as --capacity 8192")
    model = asked.load(asked.specs()[0]).model
    request = asked.request(model)
    n_ctx = request.settings.n_ctx or max_context(request) or 0
    return resolve(with_context(request, n_ctx).settings, model).n_ctx_seq if n_ctx else 0
