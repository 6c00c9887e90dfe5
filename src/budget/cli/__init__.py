"""The command line. Every command is one module, imported only when it is the one asked for."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Read `sys.argv`, run one command, and end in SystemExit with one of the documented codes."""
    from budget.cli.run import run

    raise SystemExit(run(sys.argv[1:]))
