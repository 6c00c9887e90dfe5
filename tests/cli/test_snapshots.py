"""Whole screens as they are printed, at 80 and at 120 columns, with Unicode and without.

`BUDGET_SNAPSHOTS=write python -m pytest tests/cli/test_snapshots.py` writes them anew; look at what changed.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from budget.cli.commands import COMMANDS
from budget.cli.run import run
from cli.answers import ANSWERS, prepare

SNAPSHOTS = Path(__file__).parent / "snapshots"
MARKDOWN = ("fit-short", "fit-several", "fit-inventory", "sweep", "diff", "check-failing", "advise")
CSV = ("fit", "sweep", "check-failing", "scan")
WIDER = {"advise", "advise-nothing"}
"""Screens with a line to paste, which is never broken."""


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    prepare(tmp_path, monkeypatch)


def printed(command, capsys):
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
@pytest.mark.parametrize("name", ANSWERS)
def test_a_screen_is_what_it_was(name, width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    text = printed(ANSWERS[name], capsys)
    assert name in WIDER or max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text  # it is a pipe
    held(f"{name}.{width}", text)


@pytest.mark.parametrize(
    ("name", "form"), [*((name, "markdown") for name in MARKDOWN), *((name, "csv") for name in CSV)]
)
def test_a_form_is_what_it_was(name, form, capsys):
    held(f"{name}.{form}", printed(f"{ANSWERS[name]} --format {form}", capsys))


@pytest.mark.parametrize("name", ["fit", "fit-short", "sweep", "diff", "diff-models"])
def test_a_locale_without_unicode_gets_ascii(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LC_ALL", "C")
    text = printed(ANSWERS[name], capsys)
    assert text.isascii()
    held(f"{name}.ascii", text)


@pytest.mark.parametrize("name", sorted(set(ANSWERS) - WIDER))
def test_a_narrow_screen_breaks_what_it_can(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    narrow = printed(ANSWERS[name], capsys)
    longest_word = max(map(len, narrow.split()))
    bar_at_its_least = 53  # `CUDA0`, ten cells, `25.82 of 24.00 GiB`, `SHORT` and a legend of six parts
    assert max(map(len, narrow.splitlines())) <= max(longest_word + 12, bar_at_its_least)


def test_every_command_has_a_screen_that_is_held():
    assert {line.split()[0] for line in ANSWERS.values()} == set(COMMANDS)


def test_every_snapshot_is_one_that_a_test_holds():
    names = {f"{name}.{width}" for name in ANSWERS for width in (80, 120)}
    names |= {f"{name}.markdown" for name in MARKDOWN} | {f"{name}.csv" for name in CSV}
    names |= {f"{name}.ascii" for name in ("fit", "fit-short", "sweep", "diff", "diff-models")}
    assert {path.stem for path in SNAPSHOTS.glob("*.txt")} == names
