"""`budget max-ctx`: one integer."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from budget.cli.options import JsonOption, Question, QuietOption, question
from budget.errors import ExitCode


@question(models="one")
def command(
    asked: Question,
    json: JsonOption = False,
    quiet: QuietOption = False,
    per_slot: Annotated[
        bool, typer.Option("--per-slot", help="The context of one slot instead of the total.")
    ] = False,
) -> int:
    """The largest total context (-c) that fits, as one integer. Exit 3 and no output if not even one step fits."""
    from budget.planning.fit import max_context, plan, with_context
    from budget.runtime.settings import resolve

    loaded = asked.load(asked.specs()[0])
    request = asked.request(loaded.model)
    n_ctx = max_context(request)
    if n_ctx is None:
        smallest = plan(with_context(request, 1))
        if not quiet:
            from budget.render.plain import shortfall_lines

            sys.stderr.write("\n".join(["no context fits:", *shortfall_lines(smallest)]) + "\n")
        return int(ExitCode.DOES_NOT_FIT)
    if quiet:
        return int(ExitCode.OK)
    params = resolve(with_context(request, n_ctx).settings, loaded.model)
    if json:
        from budget.render.json import dumps

        sys.stdout.write(
            dumps(
                {
                    "schema": "budget/max-ctx/v1",
                    "max_ctx": n_ctx,
                    "n_ctx_seq": params.n_ctx_seq,
                    "n_seq_max": params.n_seq_max,
                    "kv_unified": params.kv_unified,
                    "n_ctx_train": loaded.model.n_ctx_train,
                }
            )
            + "\n"
        )
    else:
        sys.stdout.write(f"{params.n_ctx_seq if per_slot else n_ctx}\n")
    return int(ExitCode.OK)
