"""`--help`: groups as in llama-server, examples that are true, and what was meant by a mistake."""

from __future__ import annotations

import shlex

import pytest

from budget.cli.commands import COMMANDS, function_of
from budget.cli.direct import parse
from budget.cli.help import EXAMPLES, GROUPS, LLAMA_GROUPS, OWN, group_of
from budget.cli.parameters import Option, own_parameters
from budget.cli.run import split_line
from budget.runtime.options import SETTINGS_OPTIONS


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def test_every_shared_option_has_a_group():
    command = function_of("fit")
    own = {p.name for p in own_parameters(command.__wrapped__)}
    shared = [p for p in command.parameters if isinstance(p.declared, Option) and p.name not in own]
    assert {p.name for p in shared if group_of(p.name) == OWN} == set()


def test_llama_cpps_options_stand_in_llama_servers_groups(run):
    _, out, _ = run("fit", "--help")
    at = [out.index(f"\n{title}:\n") for title in (OWN, *GROUPS, *list(LLAMA_GROUPS.values())[1:])]
    assert at == sorted(at)
    for option in SETTINGS_OPTIONS:
        assert group_of(f"llama_{option.name}") == LLAMA_GROUPS[option.group]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_one_screen_wide_and_ends_in_its_examples(run, name):
    code, out, _ = run(name, "--help")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    *_, last = EXAMPLES[name]
    assert out.rstrip().endswith(f"  {last[0]}\n      {last[1]}")


def test_the_help_of_budget_itself_has_every_command_examples_and_exit_codes(run):
    code, out, _ = run("--help")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert all(f"\n  {name} " in out for name in COMMANDS)
    assert all(f"\n  {line}\n      {what}\n" in out for line, what in EXAMPLES[""])
    assert "3 does not fit" in " ".join(out.split())


def test_a_spelling_is_shown_once(run):
    _, out, _ = run("fit", "--help")
    for line in out.splitlines():
        words = (
            [word.strip(",") for word in line.split("  ")[1].split() if word.startswith("-")]
            if line[2:3] == "-"
            else []
        )
        assert len(words) == len(set(words)), line


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (name, line)
        for name, lines in EXAMPLES.items()
        for line, _ in lines
        if line.startswith(f"budget {name}") and name
    ],
)
def test_every_line_of_an_example_is_one_that_the_command_takes(name, line):
    words = shlex.split(line.partition(" | ")[0].partition(" > ")[0])
    own, rest = split_line(words[2:])
    assert parse(function_of(name).parameters, own) is not None
    if rest:
        from budget.runtime.command_line import parse_command_line

        assert parse_command_line(rest, {}).model


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fit", "m.gguf", "--cxt-size", "8k"), "did you mean --ctx-size"),
        (("fit", "m.gguf", "--format", "tabel"), "did you mean table?"),
        (("fit", "m.gguf", "--gpu"), "write --gpu SPEC"),
        (("chek",), "did you mean check"),
        (("sweep", "sample:llama-3.1-8b", "--kv", "q80"), "did you mean q8_0"),
        (("fit", "sample:llama-3.1-8b", "--gpu", "24GiB", "--ram", "64GiB", "-dev", "CUDA1"), "CUDA0"),
        (("schema", "fitt"), "fit"),
    ],
)
def test_a_mistake_is_answered_with_what_was_meant(run, arguments, words):
    code, out, err = run(*arguments)
    assert code in (2, 5)
    assert out == ""
    assert err.startswith("budget: error: ")
    assert words in err
