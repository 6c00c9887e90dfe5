"""completions/budget.ps1 through PowerShell's grammar: it parses, and its tables say what the parser of budget says."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from generate.commands import commands
from generate.values import ADDRESSES, architectures, gpus, machines, samples

tree_sitter = pytest.importorskip("tree_sitter", reason="no grammar of PowerShell for this system")
powershell = pytest.importorskip("tree_sitter_powershell", reason="no grammar of PowerShell for this system")

SCRIPT = (Path(__file__).parent.parent.parent / "completions" / "budget.ps1").read_text(encoding="utf-8")
KINDS = {
    "model": (*samples(), *ADDRESSES), "gpu": gpus(), "machine": machines(), "arch": architectures(),
}  # fmt: skip


def parsed(text):
    return tree_sitter.Parser(tree_sitter.Language(powershell.language())).parse(text.encode()).root_node


def every(node):
    yield node
    for child in node.children:
        yield from every(child)


def faults(text):
    return [(n.type, n.start_point) for n in every(parsed(text)) if n.is_error or n.is_missing]


def texts(node):
    """Strings and numbers below a node, in order."""
    for part in every(node):
        if part.type == "verbatim_string_characters":
            yield part.text.decode()[1:-1].replace("''", "'")
        elif part.type == "decimal_integer_literal":
            yield int(part.text)


@cache
def tables():
    """Variable to key to values, of every `$variable['key'] = ...` outside the completer."""
    found = {}
    for node in every(parsed(SCRIPT)):
        if node.type == "assignment_expression":
            target, _, value = node.children
            access = next((n for n in every(target) if n.type == "element_access"), None)
            if access is not None:
                (key,) = texts(access)
                found.setdefault(access.children[0].text.decode(), {})[key] = tuple(texts(value))
    return found


def offered(path, spelling):
    """What the value of an option is completed from, as the script looks it up; nothing for a switch."""
    values = tables()["$budgetValues"]
    return named(values.get(f"{path} {spelling}", values[spelling]))


def named(values):
    names = tables()["$budgetNames"]
    return tuple(name for value in values for name in names.get(value, (value,)))


def test_the_script_parses():
    assert faults(SCRIPT) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("foreach ($element in $elements) {", "foreach ($element in $elements) ", id="brace"),
        pytest.param("$found = @()", "$found = @(", id="bracket"),
        pytest.param("'ParameterValue', $tip)", "'ParameterValue, $tip)", id="quote"),
    ],
)
def test_a_mistake_does_not_parse(old, new):
    assert old in SCRIPT
    assert faults(SCRIPT.replace(old, new, 1))


def test_windows_powershell_reads_it_without_a_byte_order_mark():
    assert SCRIPT.isascii()


def test_the_tables_hold_every_command_and_its_options():
    expected = {" ".join(c.words): tuple(s for o in c.options for s in o.every_spelling) for c in commands()}
    assert tables()["$budgetOptions"] == expected


def test_every_option_has_the_values_of_the_parser():
    for command in commands():
        for option in command.options:
            expected = () if option.metavar is None else option.offered or KINDS.get(option.values, ("",))
            for spelling in option.every_spelling:
                assert offered(" ".join(command.words), spelling) == expected, (command.name, spelling)


def test_options_with_several_values_are_counted():
    several = {
        s: o.n_values for c in commands() for o in c.options for s in o.every_spelling if o.n_values > 1
    }
    assert {key: n for key, (n,) in tables()["$budgetCounts"].items()} == several


def test_every_command_has_its_commands_or_the_values_of_its_argument():
    for command in commands():
        first = command.arguments[0] if command.arguments else None
        expected = tuple(c.words[-1] for c in command.commands)
        if not expected and first:
            expected = first.choices or KINDS.get(first.values, ())
        assert named(tables()["$budgetArguments"][" ".join(command.words)]) == expected, command.name


def test_what_is_shown_beside_a_word_is_its_help():
    shown = tables()["$budgetHelp"]
    for command in commands():
        path = " ".join(command.words)
        for option in command.options:
            for spelling in option.every_spelling:
                (text,) = shown.get(f"{path} {spelling}", shown[spelling])
                assert text == (" ".join(option.help.split()) or spelling)
        for below in command.commands:
            assert shown[f"{path} {below.words[-1]}"] == (below.summary,)


def test_the_completer_is_registered_for_a_native_command():
    (call,) = [
        n for n in every(parsed(SCRIPT))
        if n.type == "command" and n.text.startswith(b"Register-ArgumentCompleter")
    ]  # fmt: skip
    words = call.text.decode().partition("{")[0].split()
    assert words == ["Register-ArgumentCompleter", "-Native", "-CommandName", "budget", "-ScriptBlock"]
    assert "param($wordToComplete, $commandAst, $cursorPosition)" in call.text.decode()


def test_every_variable_that_is_read_is_set():
    """PowerShell reads a misspelt variable as nothing, without a word."""
    given = {
        "$_",
        "$wordtocomplete",
        "$commandast",
        "$cursorposition",
        "$matches",
        "$name",
        "$true",
        "$false",
    }
    nodes = list(every(parsed(SCRIPT)))
    written = {
        name.text.decode().lower()
        for node in nodes
        if node.type == "left_assignment_expression"
        for name in every(node)
        if name.type == "variable"
    }
    loops = {n.children[2].text.decode().lower() for n in nodes if n.type == "foreach_statement"}
    read = {n.text.decode().lower() for n in nodes if n.type == "variable"}
    assert read <= written | loops | given
