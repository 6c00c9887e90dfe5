"""Help of every command, and completions, start nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from budget.cli.commands import COMMANDS

HEAVY = {
    "rich",
    "pydantic",
    "numpy",
    "gguf",
    "psutil",
    "pynvml",
    "ssl",
    "asyncio",
    "httpx",
    "filelock",
    "tomllib",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_loads_nothing_heavy(name):
    code = f"import sys; sys.argv = ['budget', {name!r}, '--help']\nfrom budget.cli import main\nmain()"
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], capture_output=True, check=False, text=True
    )
    lines = (line for line in run.stderr.splitlines() if line.startswith("import time:"))
    modules = {line.rsplit("|", 1)[-1].strip() for line in lines}

    assert run.returncode == 0
    assert not modules & HEAVY
