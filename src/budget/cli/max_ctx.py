"""`budget max-ctx`: one integer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from budget.cli.options import JsonOption, Question, QuietOption, question
from budget.cli.parameters import Option
from budget.errors import ExitCode

if TYPE_CHECKING:
    from budget.planning.fit import Request


@question(models="one")
def command(
    asked: Question,
    json: JsonOption = False,
    quiet: QuietOption = False,
    per_slot: Annotated[
        bool, Option("--per-slot", help="The context of one slot instead of the total.")
    ] = False,
    explain: Annotated[bool, Option("--explain", help="Say on stderr which device binds.")] = False,
    beyond_trained: Annotated[
        bool, Option("--beyond-trained", help="Look further than the context the model was trained with.")
    ] = False,
) -> int:
    """The largest total context (-c) that fits, as one integer. Exit 3 and no output if not even one step fits."""
    from budget.planning.fit import N_CTX_UNKNOWN, max_context, plan, with_context
    from budget.runtime.settings import resolve

    loaded = asked.load(asked.specs()[0])
    request = asked.request(loaded.model)
    n_ctx = max_context(request, limit=N_CTX_UNKNOWN if beyond_trained else None)
    if n_ctx is None:
        smallest = plan(with_context(request, 1))
        if not quiet:
            from budget.render.plain import shortfall_lines

            sys.stderr.write("\n".join(["no context fits:", *shortfall_lines(smallest)]) + "\n")
        return int(ExitCode.DOES_NOT_FIT)
    if quiet:
        return int(ExitCode.OK)
    if explain:
        sys.stderr.write(_explanation(request, n_ctx) + "\n")
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


def _explanation(request: Request, n_ctx: int) -> str:
    """What keeps the context from being longer, in one line."""
    from budget.planning.fit import context_step, plan, with_context
    from budget.units import format_count, format_size

    step = context_step(request)
    more = plan(with_context(request, n_ctx + step))
    if more.fits:
        trained = format_count(request.model.n_ctx_train)
        return (
            f"{format_count(n_ctx)} tokens are what the model was trained with ({trained} for each stream); "
            "memory would allow more (--beyond-trained)"
        )
    worst = max(more.failures, key=lambda f: f.short_bytes)
    required = sum(
        d.required_bytes
        for d in plan(with_context(request, n_ctx)).devices
        if worst.device in (d.name, "total")
    )
    return (
        f"{worst.device} binds: {format_size(required)} of {format_size(worst.available_bytes)} at "
        f"{format_count(n_ctx)} tokens; {format_count(step)} tokens more are short by "
        f"{format_size(worst.short_bytes)}"
    )
