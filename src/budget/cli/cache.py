"""`budget cache`: the headers that were read before."""

from __future__ import annotations

from typing import Annotated

from budget.cli.output import Output
from budget.cli.parameters import Argument
from budget.cli.question import Question, question
from budget.errors import ExitCode, UsageError


@question(models="none", settings=False, machine=False, budget=False)
def command(
    _asked: Question,
    out: Output,
    action: Annotated[str, Argument(metavar="info|clear", help="What to do.")] = "info",
) -> int:
    """The cache of headers: where it is and how large, or `clear` to empty it."""
    from budget.render.cache import cache_object, cache_screen
    from budget.source.cache import HeaderCache

    if action not in ("info", "clear"):
        raise UsageError(f"budget cache {action}: no such action", hint="info or clear")
    cache = HeaderCache()
    before = cache.info()
    n_removed = cache.clear() if action == "clear" else None
    out.show(
        data=lambda: cache_object(before, n_removed),
        screen=lambda: cache_screen(before, n_removed),
    )
    return int(ExitCode.OK)
