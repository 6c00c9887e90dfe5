"""What a command loads: the modules, not the milliseconds."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"rich", "pydantic", "numpy", "gguf", "psutil", "pynvml", "ssl", "asyncio", "httpx"}
SAMPLE = "sample:llama-3.1-8b"


def loaded(*arguments):
    code = f"import sys; sys.argv = ['budget', *{list(arguments)!r}]\nfrom budget.cli import main\nmain()"
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], capture_output=True, check=False, text=True
    )
    modules = {
        line.rsplit("|", 1)[-1].strip() for line in run.stderr.splitlines() if line.startswith("import time:")
    }
    return run, modules


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("fit", "--help"),
        ("max-ctx", "--help"),
        ("max-ctx", SAMPLE, "--gpu", "24GiB", "--ram", "64GiB"),
        ("fit", SAMPLE, "--json", "--gpu", "24GiB", "--ram", "64GiB", "-c", "8192"),
        ("fit", SAMPLE, "--gpu", "24GiB", "--ram", "64GiB", "-c", "8192"),
        ("place", SAMPLE, "--gpu", "24GiB", "--ram", "64GiB", "-c", "8192"),
        ("inspect", SAMPLE),
        ("inspect", SAMPLE, "--json"),
    ],
    ids=" ".join,
)
def test_a_command_loads_nothing_heavy(arguments):
    run, modules = loaded(*arguments)
    assert run.returncode == 0, run.stderr

    assert not modules & HEAVY


@pytest.mark.parametrize(
    "arguments",
    [
        ("max-ctx", SAMPLE, "--gpu", "24GiB", "--ram", "64GiB"),
        ("fit", SAMPLE, "--gpu", "24GiB", "--ram", "64GiB", "-c", "8192"),
        ("inspect", SAMPLE),
    ],
    ids=" ".join,
)
def test_a_plain_line_loads_neither_typer_nor_what_dataclasses_bring(arguments):
    assert not loaded(*arguments)[1] & {"typer", "dataclasses", "inspect", "fractions", "hashlib"}


def test_inspect_loads_nothing_that_plans():
    modules = loaded("inspect", SAMPLE)[1]

    assert not {m for m in modules if m.startswith(("budget.planning", "budget.memory.compute"))}


def test_help_loads_no_command():
    assert not {
        m for m in loaded("--help")[1] if m.startswith(("budget.memory", "budget.model", "budget.planning"))
    }


def test_schema_is_the_only_command_that_loads_pydantic():
    assert "pydantic" in loaded("schema", "fit")[1]
