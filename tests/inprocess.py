"""The command, run in this process: exit code, stdout and stderr, without anybody's configuration."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
from unittest import mock

S = "sample:llama-3.1-8b"
CARD = "--gpu 8GiB --ram 16GiB"


def run(*arguments: str, **env: str) -> tuple[int, str, str]:
    """What `budget ARGUMENTS` ends with and prints, at 80 columns unless `env` says otherwise."""
    from budget.cli.run import run as run_command

    clean = {k: v for k, v in os.environ.items() if not k.startswith(("BUDGET_", "LLAMA_"))}
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(
            os.environ, {**clean, "XDG_CONFIG_HOME": "/nonexistent", "COLUMNS": "80", **env}, clear=True
        ),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = run_command(list(arguments))
    return code, out.getvalue(), err.getvalue()


def budget(line: str, **env: str) -> tuple[int, str, str]:
    """The same for a whole line, on a wide screen."""
    return run(*shlex.split(line), **{"COLUMNS": "200", **env})
