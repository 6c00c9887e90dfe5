"""Whole screens as they are printed, at 80 and at 120 columns, with Unicode and without.

`BUDGET_SNAPSHOTS=write python -m pytest tests/cli/test_snapshots.py` writes them anew; look at what changed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from budget.cli.run import run

SNAPSHOTS = Path(__file__).parent / "snapshots"
CARD = "--gpu 8GiB --ram 16GiB --overhead 512MiB"
TWO = "--gpu 24GiB --gpu 24GiB --ram 64GiB --overhead 512MiB"
SCREENS = {
    "fit": f"fit sample:llama-3.1-8b {CARD} -c 16k",
    "fit-short": f"fit sample:llama-3.3-70b {TWO} -c 32k --reserve 256MiB",
    "fit-buffers": f"fit sample:gpt-oss-20b {TWO} -c 16k --buffers",
    "fit-pool": f"fit sample:llama-3.1-8b {CARD} -c 16k --budget 7GiB",
    "fit-unlimited": f"fit sample:llama-3.1-8b {CARD} -c 16k --budget unlimited",
    "fit-verbose": f"fit sample:llama-3.1-8b {CARD} -c 16k -v",
    "fit-markdown": f"fit sample:llama-3.1-8b {CARD} -c 16k --format markdown",
    "fit-csv": f"fit sample:llama-3.1-8b {CARD} -c 16k --format csv",
    "max-ctx": f"max-ctx sample:llama-3.1-8b {CARD}",
    "place": f"place sample:llama-3.3-70b {TWO} -c 16k -ngl 60",
    "inspect": "inspect sample:gemma-3-27b",
    "devices": "devices --gpu 24GiB --gpu 8GiB --ram 64GiB",
    "sweep": f"sweep sample:llama-3.1-8b {CARD} --ctx 4k..64k --kv f16,q8_0",
    "sweep-layers": f"sweep sample:llama-3.3-70b {TWO} -c 8k --ngl 0..81:27",
    "sweep-markdown": f"sweep sample:llama-3.1-8b {CARD} --ctx 4k..64k --kv f16,q8_0 --format markdown",
    "diff": f"diff sample:llama-3.1-8b {CARD} -c 16k --b '-ctk q8_0 -ctv q8_0'",
    "diff-models": f"diff sample:llama-3.1-8b sample:gpt-oss-20b {TWO} -c 16k",
}


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """No configuration of the person who runs the tests, no colour, a UTF-8 locale."""
    for name in [n for n in os.environ if n.startswith(("BUDGET_", "LLAMA_ARG_"))]:
        if name != "BUDGET_SNAPSHOTS":
            monkeypatch.delenv(name)
    for name in ("LC_ALL", "LC_CTYPE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("LANG", "en_US.UTF-8")


def printed(command, capsys):
    import shlex

    run(shlex.split(command))
    return capsys.readouterr().out


def held(name, text):
    """Compare with what is kept; write it where that is asked for."""
    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("BUDGET_SNAPSHOTS") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_is_what_it_was(name, width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    text = printed(SCREENS[name], capsys)
    if name not in ("fit-csv", "fit-markdown", "sweep-markdown"):
        assert max(map(len, text.splitlines())) <= width
    held(f"{name}.{width}", text)


@pytest.mark.parametrize("name", ["fit", "fit-short", "sweep", "diff"])
def test_a_locale_without_unicode_gets_ascii(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LC_ALL", "C")
    text = printed(SCREENS[name], capsys)
    assert text.isascii()
    held(f"{name}.ascii", text)


@pytest.mark.parametrize("name", SCREENS)
def test_nothing_piped_holds_a_colour(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert "\x1b" not in printed(SCREENS[name], capsys)
