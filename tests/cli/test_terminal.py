"""What a real terminal gets: colour, its width, and nothing that it cannot show."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cli.answers import ANSWERS, prepare

pty = pytest.importorskip("pty", reason="pseudo-terminals are POSIX")
BUDGET = str(Path(sys.executable).parent / "budget")
FIT = ("fit", "sample:llama-3.1-8b", "--gpu", "8GiB", "--ram", "16GiB", "-c", "16k")
ESCAPE = re.compile(r"\x1b\[([0-9;]*)m")


def on_terminal(*arguments, columns=80, **environment):
    """What the command writes to a pseudo-terminal of so many columns."""
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    clean = {
        k: v
        for k, v in os.environ.items()
        if k not in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "LC_ALL", "LC_CTYPE", "COLORTERM")
    }
    clean |= {"TERM": "xterm-256color", "LANG": "en_US.UTF-8", "PYTHONUTF8": "1", **environment}
    process = subprocess.Popen([BUDGET, *arguments], stdout=theirs, stdin=theirs, stderr=theirs, env=clean)
    os.close(theirs)
    written = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # Linux says EIO where the other side is closed
            break
        if not chunk:
            break
        written += chunk
    os.close(ours)
    process.wait()
    return written.decode().replace("\r\n", "\n")


def test_a_terminal_gets_the_terminals_own_16_colours():
    text = on_terminal(*FIT)
    codes = {int(n) for match in ESCAPE.findall(text) for n in match.split(";") if n}
    # 0 reset, 1 bold, 2 dim, 30 to 37 colours of the theme: readable on light and on dark
    assert codes <= {0, 1, 2, *range(30, 38)}
    assert codes >= {1, 32, 34}
    assert ESCAPE.sub("", text).startswith("FITS: sample:llama-3.1-8b\n")


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_no_colour_where_none_is_wanted_and_the_parts_stay_apart(environment):
    text = on_terminal(*FIT, **environment)
    assert not {int(n) for m in ESCAPE.findall(text) for n in m.split(";") if n} & set(range(30, 38))
    assert all(shade in text for shade in "█▓░")


def test_a_terminal_without_unicode_gets_ascii():
    text = ESCAPE.sub("", on_terminal(*FIT, LC_ALL="C"))
    assert text.isascii()
    assert "CUDA0  ####" in text


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(columns):
    text = ESCAPE.sub("", on_terminal(*FIT, columns=columns))
    assert max(map(len, text.splitlines())) <= max(columns, 77)


def test_what_is_piped_is_plain_whatever_the_terminal_was():
    run = subprocess.run([BUDGET, *FIT], capture_output=True, text=True, check=True, encoding="utf-8")
    assert "\x1b" not in run.stdout


FORMS = ("plain", "json", "markdown", "csv")
HEAVY = {"rich", "pydantic", "numpy", "matplotlib", "psutil", "pynvml", "ssl", "asyncio"}


@pytest.mark.parametrize("name", sorted(set(ANSWERS) - {"schema"}))
def test_rich_is_loaded_for_terminals_only(name, tmp_path, monkeypatch):
    prepare(tmp_path, monkeypatch)
    form = FORMS[sorted(ANSWERS).index(name) % len(FORMS)]
    arguments = [*shlex.split(ANSWERS[name]), "--format", form]
    code = f"import sys; sys.argv = ['budget', *{arguments!r}]\nfrom budget.cli import main\nmain()"
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=False,
        cwd=tmp_path, encoding="utf-8",
    )  # fmt: skip
    modules = {line.rsplit("|", 1)[-1].strip() for line in run.stderr.splitlines() if "|" in line}
    assert run.returncode in (0, 3, 4), run.stderr[-500:]
    assert not modules & HEAVY
