"""Completion scripts in the real shells, and every command and option in every script, man page and document."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from budget.errors import BudgetError
from budget.machine.catalog import DEVICE_KINDS, MACHINE_KINDS, resolve
from docs import shells
from generate.commands import commands, root
from generate.values import gpus, machines, samples

ROOT = Path(__file__).parent.parent.parent
SCRIPTS = ("budget.bash", "_budget", "budget.fish", "budget.ps1")
OFFERS = [
    ("budget ", {c.words[0] for c in root().commands}),
    ("budget max", {"max-ctx"}),
    ("budget fit --js", {"--json"}),
    ("budget fit --ctx-s", {"--ctx-size"}),
    ("budget fit -ng", {"-ngl", "-ngld"}),
    ("budget fit -fa ", {"auto", "on", "off"}),
    ("budget fit -ctk q8", {"q8_0"}),
    ("budget fit sample:llama-3.1", {"sample:llama-3.1-8b"}),
    ("budget fit --gpu rtx-4080", {"rtx-4080", "rtx-4080-laptop", "rtx-4080-super"}),
    ("budget fit --gpu 24GiB --gpu rtx-4080-s", {"rtx-4080-super"}),
    ("budget fit --machine aws:g6e.xl", {"aws:g6e.xlarge"}),
    ("budget fit sample:llama-3.1-8b --assume gemma3", {"gemma3", "gemma3n"}),
    ("budget max-ctx mod", {"model.gguf"}),
    ("budget fit --inventory nod", {"nodes.json"}),
    ("budget fit -- llama-server -m mod", {"model.gguf"}),
    ("budget cache ", {"info", "clear"}),
    ("budget fit --params 8B --quant Q4_K_", {"Q4_K_M", "Q4_K_S"}),
    ("budget sweep --kv q8", {"q8_0"}),
    ("budget fit --format ma", {"markdown"}),
    ("budget place --format c", {"csv"}),
    ("budget fit --budget un", {"unlimited"}),
    ("budget check GATE.t", {"GATE.toml"}),
]
"""A line as it was typed so far, and what a shell offers then."""


IN_A_LINE = [
    ("budget fit -- llama-server --ctx-s", {"--ctx-size"}),
    ("budget fit -- llama-server -ngl", {"-ngl", "-ngld"}),
    ("budget check GA", {"GATE.toml"}),
]
"""What bash alone does: fish and zsh take what follows `--` for arguments, and fish offers other files as well."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("models")
    (path / "model.gguf").touch()
    (path / "nodes.json").touch()
    (path / "GATE.toml").touch()
    (path / "GATE.md").touch()
    return path


@pytest.fixture(scope="module")
def zsh(folder):
    shell = shells.Zsh(folder)
    yield shell
    shell.close()


@pytest.mark.parametrize(("line", "expected"), OFFERS, ids=lambda x: x if isinstance(x, str) else "")
def test_bash_offers_it(line, expected, folder):
    assert shells.bash(line, folder) == expected


@pytest.mark.parametrize(("line", "expected"), OFFERS, ids=lambda x: x if isinstance(x, str) else "")
def test_fish_offers_it(line, expected, folder):
    assert shells.fish(line, folder) == expected


@pytest.mark.parametrize(("line", "expected"), OFFERS, ids=[line for line, _ in OFFERS])
def test_zsh_offers_it(line, expected, zsh):
    assert zsh.offers(line) == expected


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_every_option_of_every_command_is_offered(shell, folder):
    for command in commands():
        offered = getattr(shells, shell)(f"{command.name} -", folder)
        assert offered == {s for o in command.options for s in o.every_spelling}, command.name


def test_zsh_offers_every_option_of_every_command(zsh):
    for command in commands():
        expected = {s for o in command.options for s in o.every_spelling}
        offered = zsh.offers(f"{command.name} -")
        assert offered == expected, (command.name, offered ^ expected)


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_command_sample_and_machine_is_in_every_script(script):
    text = (ROOT / "completions" / script).read_text()
    for name in (*(c.words[-1] for c in commands() if c.words), *samples(), *gpus(), *machines()):
        assert name in text, name


def test_every_option_stands_in_powershells_script():
    text = (ROOT / "completions" / "budget.ps1").read_text()
    for command in commands():
        line = next(
            row for row in text.splitlines() if row.startswith(f"$budgetOptions['{' '.join(command.words)}']")
        )
        assert set(re.findall(r"'([^']*)'", line.partition(" = ")[2])) == {
            s for o in command.options for s in o.every_spelling
        }


def test_powershell_parses_its_script():
    program = shells.need("pwsh")
    check = "[void][ScriptBlock]::Create((Get-Content -Raw $args[0]))"
    subprocess.run(
        [program, "-NoProfile", "-Command", check, ROOT / "completions" / "budget.ps1"], check=True
    )


@pytest.mark.parametrize("name", gpus())
def test_a_card_that_is_offered_is_one_of_the_catalogue(name):
    assert resolve(name, kinds=DEVICE_KINDS).kind in DEVICE_KINDS


def test_a_machine_that_is_offered_is_one_of_the_catalogue():
    wrong = []
    for name in machines():
        try:
            resolve(name, kinds=MACHINE_KINDS)
        except BudgetError as e:
            wrong.append(e.message)
    assert not wrong


def test_scripts_start_no_python():
    for script in SCRIPTS:
        text = (ROOT / "completions" / script).read_text().partition("\n\n")[2]
        assert not re.search(r"\bpython|\$\(budget", text)
