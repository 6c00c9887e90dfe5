"""`budget cache`: the headers that were read before."""

from __future__ import annotations

from typing import Annotated

from budget.cli.options import JsonOption, QuietOption, print_text
from budget.cli.parameters import Argument
from budget.errors import ExitCode, UsageError


def command(
    action: Annotated[str, Argument(metavar="info|clear", help="What to do.")] = "info",
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> int:
    """The cache of headers: where it is and how large, or `clear` to empty it."""
    from budget.source.cache import HeaderCache
    from budget.units import format_size

    cache = HeaderCache()
    if action not in ("info", "clear"):
        raise UsageError(f"budget cache {action}: no such action", hint="info or clear")
    before = cache.info()
    n_removed = cache.clear() if action == "clear" else 0
    if quiet:
        return int(ExitCode.OK)
    if json:
        from budget.render.json import dumps

        print_text(
            dumps(
                {
                    "schema": "budget/cache/v1",
                    "folder": str(before.folder),
                    "n_entries": before.n_entries,
                    "total_bytes": before.n_bytes,
                    "n_removed": n_removed,
                }
            )
        )
    elif action == "clear":
        print_text(f"removed {n_removed} headers, {format_size(before.n_bytes)}, from {before.folder}")
    else:
        print_text(f"{before.n_entries} headers, {format_size(before.n_bytes)}, in {before.folder}")
    return int(ExitCode.OK)
