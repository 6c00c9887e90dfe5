"""`budget max-ctx`: one integer."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from budget.cli.output import Output
from budget.cli.parameters import Option
from budget.cli.question import Question, question
from budget.cli.values import count, reserve_of
from budget.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction

    from budget.model.facts import Model
    from budget.planning.ceiling import AutoContext
    from budget.planning.fit import Request
    from budget.runtime.settings import ContextParams


@question(models="one", window=True)
def command(
    asked: Question,
    out: Output,
    per_slot: Annotated[
        bool, Option("--per-slot", help="The context of one slot instead of the total.")
    ] = False,
    explain: Annotated[
        bool, Option("--explain", "--verbose", "-v", help="Say on stderr which device binds.")
    ] = False,
    beyond_trained: Annotated[
        bool, Option("--beyond-trained", help="Look further than the context the model was trained with.")
    ] = False,
    utilization: Annotated[
        str | None,
        Option(
            "--utilization",
            metavar="SHARE",
            show_default=False,
            help="Fill only this share of the budget, such as 0.85.",
        ),
    ] = None,
    align: Annotated[
        str | None,
        Option("--align", metavar="N", show_default=False, help="Round down to multiples of this."),
    ] = None,
    floor: Annotated[
        str | None,
        Option(
            "--floor",
            metavar="N",
            show_default=False,
            help="At least this, beyond --utilization where the budget holds it; exit 3 where it does not.",
        ),
    ] = None,
) -> int:
    """The largest total context (-c) that fits, as one integer. Exit 3 and no output if not even one step fits."""
    from budget.planning.fit import plan
    from budget.planning.longest import N_CTX_MOST, context_step, max_context, with_context
    from budget.runtime.settings import resolve

    is_chosen = bool(utilization or align or floor)
    if is_chosen and beyond_trained:
        raise UsageError(
            "--beyond-trained looks for all that fits; --utilization, --align and --floor choose less",
            hint="leave it away, or leave them away",
        )
    loaded = asked.load(asked.specs()[0])
    request = asked.request(loaded.model)
    chosen = _chosen(request, utilization, align, floor) if is_chosen else None
    if chosen is not None:
        n_ctx = chosen.n_ctx if chosen.fits else None
    else:
        n_ctx = max_context(request, limit=N_CTX_MOST if beyond_trained else None)
    data = partial(_data, asked, request, chosen=chosen, beyond_trained=beyond_trained)
    if n_ctx is None:
        least = count("--floor", floor) or 0
        smallest = plan(with_context(request, least or context_step(request)))
        if not out.quiet:
            from budget.render.words import shortfall_lines

            why = (
                shortfall_lines(smallest.failures)
                or list(smallest.reasons)
                or [_too_little(request, utilization, align)]
            )
            of = f" of {least:,} tokens or more" if least else ""
            sys.stderr.write("\n".join([f"no context{of} fits:", *why]) + "\n")
        _show(out, None, smallest.layout.params, data, per_slot=per_slot)
        return int(ExitCode.UNKNOWN if smallest.verdict == "unknown" else ExitCode.DOES_NOT_FIT)
    if explain and not out.quiet:
        from budget.cli.explanation import explain_chosen, explain_longest

        text = (
            explain_longest(request, n_ctx)
            if chosen is None
            else explain_chosen(request, chosen, share=_share(utilization or "1"), align=align or "256")
        )
        sys.stderr.write(f"{text}\n")
    params = resolve(with_context(request, n_ctx).settings, loaded.model)
    least = _least_useful(asked, request)
    code = ExitCode.OK if n_ctx >= least else ExitCode.DOES_NOT_FIT
    if code is not ExitCode.OK and not out.quiet:
        sys.stderr.write(f"{n_ctx:,} tokens fit, below the smallest useful context of {least:,}\n")
    shown = n_ctx if code is ExitCode.OK or out.form == "json" else None
    _show(out, shown, params, data, per_slot=per_slot)
    return int(code)


def _show(
    out: Output,
    n_ctx: int | None,
    params: ContextParams,
    data_of: Callable[[int | None, ContextParams], dict[str, Any]],
    *,
    per_slot: bool,
) -> None:
    """One integer, and nothing where no context fits; in other forms what bounds it as well."""
    if out.quiet:
        return
    if out.form in ("table", "plain"):
        if n_ctx is not None:
            out.write(str(params.n_ctx_seq if per_slot else n_ctx))
        return
    from budget.render.max_ctx import max_ctx_rows, max_ctx_screen

    data = data_of(n_ctx, params)
    out.show(
        data=lambda: data,
        screen=lambda: max_ctx_screen(data, per_slot=per_slot),
        rows=lambda: max_ctx_rows(data),
    )


def _data(
    asked: Question,
    request: Request,
    n_ctx: int | None,
    params: ContextParams,
    *,
    chosen: AutoContext | None,
    beyond_trained: bool,
) -> dict[str, Any]:
    """The answer for JSON."""
    from budget.render.max_ctx import max_ctx_object

    capacity = _capacity(asked, request.model)
    return max_ctx_object(
        request, n_ctx, params, capacity=capacity, chosen=chosen, beyond_trained=beyond_trained
    )


def _least_useful(asked: Question, request: Request) -> int:
    """`--min-hot-context`, at most what the model was trained with; 0 where none is asked for."""
    from budget.planning.longest import context_limit

    least = asked.config.policy.min_hot_context if asked.config is not None else 0
    return min(least, context_limit(request)) if least else 0


def _chosen(request: Request, share: str | None, align: str | None, floor: str | None) -> AutoContext:
    """A context that uses memory well, or at least the floor."""
    from budget.planning.ceiling import auto_context

    return auto_context(
        request,
        share=_share(share or "1"),
        align=count("--align", align or "256") or 0,
        floor=count("--floor", floor or "0") or 0,
    )


def _too_little(request: Request, share: str | None, align: str | None) -> str:
    """Why no context is left although the smallest fits: of what fits, not one multiple; or too small a share."""
    from budget.planning.ceiling import share_of
    from budget.planning.longest import context_limit, max_context
    from budget.record import replace
    from budget.units import format_count

    inside = max_context(replace(request, budget=share_of(request.budget, _share(share or "1"))))
    if inside is not None and align is not None:
        largest = min(inside, request.settings.n_ctx or inside, context_limit(request))
        return f"at most {format_count(largest)} tokens fit, which is no multiple of {align} (--align)"
    return f"not even one step fits into {share} of the budget (--utilization)"


def _share(text: str) -> Fraction:
    """`--utilization` as a share."""
    from budget.planning.ceiling import utilization

    try:
        return utilization(text)
    except UsageError as e:
        raise UsageError(f"--utilization {e.message}", hint=e.hint) from e


def _capacity(asked: Question, model: Model) -> dict[str, Any]:
    """The window under the policy, for JSON."""
    from dataclasses import asdict

    from budget.planning.capacity import capacity_of
    from budget.planning.policy import Policy

    policy = asked.config.policy if asked.config else Policy(reserve=reserve_of(asked.values))
    return asdict(capacity_of(asked.request(model, with_policy=False), policy))
