"""completions/budget.fish."""

from __future__ import annotations

from generate.commands import Option, commands, root
from generate.values import ADDRESSES, architectures, gpus, machines, samples

HEAD = """\
# fish completion for budget. Written by `python -m tests.generated` from the parser; do not edit.
# To use it: put this file into ~/.config/fish/completions/.
"""
FUNCTIONS = r"""
# the command that was typed so far: `fit`
function __budget_path
    set -l path
    for word in (commandline -opc)[2..-1]
        string match -q -- '-*' $word; and continue
        set -l longer (string join ' ' $path $word)
        contains -- $longer $__budget_commands; or break
        set path $longer
    end
    echo "$path"
end

# whether that command is one of these
function __budget_at
    contains -- (__budget_path) $argv; and not __budget_after_dashes
end

function __budget_after_dashes
    contains -- -- (commandline -opc)
end
"""
VALUES = {
    "": "-x",
    "model": "-r -k -a '(__fish_complete_suffix .gguf; string join \\n $__budget_models)'",
    "gpu": '-x -a "$__budget_gpus"',
    "machine": '-r -F -a "$__budget_machines"',
    "arch": '-x -a "$__budget_architectures"',
    "program": "-r -F -a '(__fish_complete_command)'",
    "gate": "-r -k -a '(__fish_complete_suffix .toml)'",
    "folder": "-x -a '(__fish_complete_directories)'",
    "file": "-r -F",
}


def script() -> str:
    """The whole file."""
    lines = [
        HEAD,
        _list("models", (*samples(), *ADDRESSES)),
        _list("gpus", gpus()),
        _list("machines", machines()),
        _list("architectures", architectures()),
        "set -g __budget_commands " + " ".join(_quoted(" ".join(c.words)) for c in commands() if c.words),
        FUNCTIONS,
        "complete -c budget -f",
        "complete -c budget -n __budget_after_dashes -F",
        *_commands(),
        *_arguments(),
        *_options(),
    ]
    return "\n".join(lines) + "\n"


def _list(name: str, words: tuple[str, ...]) -> str:
    return f"set -g __budget_{name} {' '.join(words)}"


def _commands() -> list[str]:
    return [
        f"complete -c budget -n '__budget_at {_path(group.words)}' -a {below.words[-1]} -d {_quoted(below.summary)}"
        for group in root().every()
        for below in group.commands
    ]


def _path(words: tuple[str, ...]) -> str:
    return f'"{" ".join(words)}"' if len(words) != 1 else words[0]


def _arguments() -> list[str]:
    lines = []
    for command in commands():
        for argument in command.arguments[:1]:
            value = _value(argument.values, argument.choices)
            if argument.values:
                text = value.replace("-x ", "").replace("-r ", "")
                lines.append(f"complete -c budget -n '__budget_at {_path(command.words)}' {text}")
    return lines


def _options() -> list[str]:
    """One line for each different option, with the commands that have it."""
    where: dict[tuple[str, str, str], list[str]] = {}
    for command in commands():
        for option in command.options:
            value = "" if option.metavar is None else " " + _value(option.values, option.offered)
            for spellings, text in _forms(option):
                where.setdefault((spellings, _quoted(text), value), []).append(_path(command.words))
    return [
        f"complete -c budget -n '__budget_at {' '.join(paths)}' {spellings}{value} -d {text}"
        for (spellings, text, value), paths in where.items()
    ]


def _forms(option: Option) -> list[tuple[str, str]]:
    """The spellings that turn it on, and those that turn it off."""
    on = [s for s in option.spellings if s not in option.negated]
    text = " ".join(option.help.split())
    forms = [(_flags(on), text)]
    if option.negated:
        forms.append((_flags(list(option.negated)), f"Not: {text}"))
    return forms


def _flags(spellings: list[str]) -> str:
    return " ".join(
        f"-l {s[2:]}" if s.startswith("--") else f"-s {s[1:]}" if len(s) == 2 else f"-o {s[1:]}"
        for s in spellings
    )


def _value(kind: str, choices: tuple[str, ...]) -> str:
    return f"-x -a {_quoted(' '.join(choices))}" if choices else VALUES[kind]


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
