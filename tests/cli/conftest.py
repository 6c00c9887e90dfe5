"""The command, run in this process with what the test set up."""

from __future__ import annotations

import pytest

from budget.cli.run import run as run_command


@pytest.fixture(name="run")
def _run(capsys):
    """Runs `budget ARGUMENTS`: exit code, stdout and stderr."""

    def run(*arguments):
        code = run_command([str(a) for a in arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run
