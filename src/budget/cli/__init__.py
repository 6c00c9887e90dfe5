"""The command line. Every command is one module, imported only when it is the one asked for."""

from __future__ import annotations

import gc
import sys
from typing import NoReturn

_GC_THRESHOLD = 50_000
"""Allocations between two collections (700 by default): a replayed graph lives until its answer is there, and looking
through it again and again for cycles takes a twentieth of the time."""


def main() -> NoReturn:
    """Read `sys.argv`, run one command, and end in SystemExit with one of the documented codes."""
    from budget.cli.run import run

    gc.set_threshold(_GC_THRESHOLD)
    raise SystemExit(run(sys.argv[1:]))
