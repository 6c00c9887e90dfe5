"""The progress bar: for people who wait, and for nobody else."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from budget.source import progress
from budget.source.progress import ReadProgress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(stream, *, patience_s=0.0, **options):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress, "PATIENCE_S", patience_s)
        with ReadProgress("https://example.org/m.gguf", stream=stream, **options) as bar:
            bar.update(1_000_000, 4_000_000)
            bar.update(4_000_000, 4_000_000)
    return stream.getvalue()


def test_a_terminal_sees_what_is_read():
    assert "https://example.org/m.gguf" in shown(Terminal())


def test_other_things_are_counted_by_number():
    assert "4000000/4000000" in shown(Terminal(), unit="models")


@pytest.mark.parametrize(
    ("stream", "options"),
    [
        pytest.param(io.StringIO(), {}, id="pipe"),
        pytest.param(Terminal(), {"quiet": True}, id="quiet"),
        pytest.param(Terminal(), {"patience_s": 60.0}, id="quick"),
    ],
)
def test_nobody_else_does(stream, options):
    assert shown(stream, **options) == ""


def test_a_pipe_never_loads_rich():
    code = """
import sys
from budget.source.progress import ReadProgress
with ReadProgress("x") as bar:
    bar._start_s -= 10
    bar.update(1, 2)
sys.exit("rich" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, check=False).returncode == 0


def test_a_local_file_loads_no_network():
    code = """
import sys
from budget.source import open_model
open_model("sample:llama-3.1-8b")
heavy = {"httpx", "ssl", "rich", "asyncio", "json", "tenacity", "numpy", "gguf", "logging"}
sys.exit(",".join(heavy & set(sys.modules)) or 0)
"""
    run = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, check=False)
    assert (run.returncode, run.stderr) == (0, b"")
