"""completions/_budget: zsh, with a description of every option."""

from __future__ import annotations

from generate.commands import Argument, Command, Option, commands
from generate.values import ADDRESSES, architectures, gpus, machines, samples

HEAD = """\
#compdef budget
# zsh completion for budget. Written by `python -m tests.generated` from the parser; do not edit.
# To use it: put this file into a folder of $fpath, before compinit runs.
"""
ACTIONS = {
    "": " ",
    "model": "_budget_models",
    "gpu": "_budget_gpus",
    "machine": "_budget_machines",
    "arch": "_budget_architectures",
    "program": "_files",
    "folder": "_files -/",
    "gate": '_files -g "*.toml(-.)"',
    "file": "_files",
}
TAIL = """
if [[ $funcstack[1] == _budget ]]; then
    _budget "$@"
else
    compdef _budget budget
fi
"""


def script() -> str:
    """The whole file."""
    shared = [o for o in max(commands(), key=lambda c: len(c.options)).options if o.is_llama]
    llama = [spec for option in shared for spec in _specs(option)]
    return "\n".join(
        [
            HEAD,
            _names("_budget_gpus", "gpu", gpus()),
            _names("_budget_architectures", "architecture", architectures()),
            _names("_budget_models", "model", (*samples(), *ADDRESSES), files='-g "*.gguf(-.)"'),
            _names("_budget_machines", "machine", machines(), files='-g "*.json(-.)"'),
            "typeset -ga _budget_llama=(\n" + "".join(f"    {spec}\n" for spec in llama) + ")\n",
            *(_function(command, shared) for command in commands()),
            TAIL.lstrip("\n"),
        ]
    )


def _names(function: str, what: str, words: tuple[str, ...], files: str | None = None) -> str:
    offer = f"    local -a names=({' '.join(words)})\n"
    if files is None:
        offer += f"    _wanted {what}s expl {what} compadd -a names\n"
    else:
        offer += f"    _alternative '{what}s:{what}:compadd -a names' 'files:file:_files {files}'\n"
    return f"{function}() {{\n    local expl\n{offer}}}\n"


def _function_name(command: Command) -> str:
    return "_" + "_".join(("budget", *(w.replace("-", "_") for w in command.words)))


def _function(command: Command, shared: list[Option]) -> str:
    has_shared = {o.name for o in shared} <= {o.name for o in command.options}
    specs = [s for o in command.options if not (has_shared and o.is_llama) for s in _specs(o)]
    if command.commands:
        specs += ["'1:command:->command'", "'*::argument:->argument'"]
    specs += [_argument(a, i) for i, a in enumerate(command.arguments, 1)]
    if has_shared and not any(a.repeatable for a in command.arguments):
        specs.append("'*:: :_files'")
    lines = [f"{_function_name(command)}() {{"]
    lines.append("    local curcontext=$curcontext state line")
    lines.append("    typeset -A opt_args")
    shared_specs = ['"${_budget_llama[@]}"'] if has_shared else []
    lines.append("    _arguments -S -C : \\")
    lines.append(" \\\n".join(f"        {spec}" for spec in (*specs, *shared_specs)))
    if command.commands:
        lines += _below(command)
    return "\n".join([*lines, "}", ""])


def _below(command: Command) -> list[str]:
    names = [f"            {_quoted(c.words[-1] + ':' + c.summary)}" for c in command.commands]
    calls = [f"                {c.words[-1]}) {_function_name(c)} ;;" for c in command.commands]
    return [
        "    case $state in",
        "        command)",
        "            local -a names=(",
        *names,
        "            )",
        "            _describe command names ;;",
        "        argument)",
        "            case $line[1] in",
        *calls,
        "            esac ;;",
        "    esac",
    ]


def _specs(option: Option) -> list[str]:
    """One spec for each spelling; a switch and its negation exclude each other."""
    others = " ".join(option.every_spelling)
    lead = "*" if option.repeatable else f"({others})"
    value = "" if option.metavar is None else f":{_escaped(option.metavar)}:{_action(option)}"
    value += ":further value: " * (option.n_values - 1)
    specs = []
    for spelling in option.every_spelling:
        equals = "=" if value and spelling.startswith("--") else ""
        specs.append(_quoted(f"{lead}{spelling}{equals}[{_escaped(option.help)}]{value}"))
    return specs


def _action(value: Option | Argument) -> str:
    if value.offered:
        return f"({' '.join(value.offered)})"
    return ACTIONS[value.values]


def _argument(argument: Argument, position: int) -> str:
    where = "*" if argument.repeatable else str(position)
    optional = "" if argument.required or argument.repeatable else ":"
    return _quoted(f"{where}:{optional}{_escaped(argument.metavar)}:{_action(argument)}")


def _escaped(text: str) -> str:
    return (
        " ".join(text.split())
        .replace("\\", "\\\\")
        .replace(":", "\\:")
        .replace("[", "\\[")
        .replace("]", "\\]")
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
