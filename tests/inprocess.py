"""The command, run in this process: exit code, stdout and stderr, without anybody's configuration."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
from unittest import mock

S = "sample:llama-3.1-8b"
CARD = "--gpu 8GiB --ram 16GiB"


def budget(line: str, **env: str) -> tuple[int, str, str]:
    """What `budget LINE` ends with and prints."""
    from budget.cli.run import run

    clean = {k: v for k, v in os.environ.items() if not k.startswith(("BUDGET_", "LLAMA_"))}
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(
            os.environ, {**clean, "XDG_CONFIG_HOME": "/nonexistent", "COLUMNS": "200", **env}, clear=True
        ),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = run(shlex.split(line))
    return code, out.getvalue(), err.getvalue()
