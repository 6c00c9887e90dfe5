"""man/*.1: one page per command."""

from __future__ import annotations

import re

from budget import __version__
from budget.errors import ExitCode
from generate.commands import Argument, Command, Option, commands, root

EXIT = {
    ExitCode.OK: "It fits, or the command did what it says.",
    ExitCode.FAILED: "budget itself failed or was interrupted: never an answer.",
    ExitCode.USAGE: "Wrong usage: a flag, a value or an input file that makes no sense.",
    ExitCode.DOES_NOT_FIT: "It does not fit.",
    ExitCode.BAD_MODEL: "The model file cannot be read.",
    ExitCode.NO_DEVICE: "The machine cannot be read, or a named device does not exist.",
    ExitCode.NETWORK: "The network failed.",
    ExitCode.UNKNOWN: "Unknown: budget cannot answer. Unknown never reads as fits.",
}
LINE = """\
After
.B \\-\\-
stands a whole llama\\-server or llama\\-cli command line as it is; no option of llama.cpp may stand before it then.
.B LLAMA_ARG_*
variables count there, as they do for llama\\-server.
"""
ENVIRONMENT = {
    "BUDGET_BUDGET": "What --budget says where it is not given.",
    "LLAMA_ARG_*": "Read as llama-server reads them, for a command line after --.",
    "HF_ENDPOINT, MODEL_ENDPOINT, HF_TOKEN, HF_HOME": "Where hf:// models are, and the token to read them.",
    "OLLAMA_MODELS": "The store of ollama:// models.",
    "XDG_CACHE_HOME, XDG_CONFIG_HOME": "Where the cache of headers and budget.toml are.",
    "NO_COLOR": "Print without colour.",
}


def pages() -> dict[str, str]:
    """File name to page."""
    return {f"{command.page}.1": page(command) for command in commands()}


def page(command: Command) -> str:
    """One page."""
    parts = [
        f'.\\" Written by `python -m tests.generated` from the parser; do not edit.\n'
        f'.TH {_roff(command.page.upper())} 1 "" "budget {__version__}" "budget manual"\n',
        f".SH NAME\n{_roff(command.page)} \\- {_roff(command.summary.rstrip('.'))}\n",
        f".SH SYNOPSIS\n{_synopsis(command)}",
        f".SH DESCRIPTION\n{_paragraphs(command.help)}",
    ]
    if command.arguments:
        parts.append(".SH ARGUMENTS\n" + "".join(_argument(a) for a in command.arguments))
    if command.commands:
        parts.append(".SH COMMANDS\n" + "".join(_below(c) for c in command.commands))
    for group, options in command.grouped().items():
        parts.append(f'.SH "{_roff(group.upper())}"\n' + "".join(_option(o) for o in options))
        if group == "llama.cpp":
            parts.append(LINE)
    if command.epilog:
        parts.append(f".SH NOTES\n{_verbatim(command.epilog)}")
    parts.append(
        ".SH EXIT STATUS\n" + "".join(f".TP\n.B {int(code)}\n{_roff(EXIT[code])}\n" for code in ExitCode)
    )
    if not command.words:
        parts.append(".SH ENVIRONMENT\n" + "".join(_pair(k, v) for k, v in ENVIRONMENT.items()))
    parts.append(f".SH SEE ALSO\n{_see_also(command)}\n")
    return "".join(parts)


def _synopsis(command: Command) -> str:
    name = f".B {_roff(command.name)}\n"
    if command.commands:
        return name + ".I COMMAND\n[\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]\n"
    words = ["[\\fIOPTIONS\\fR]"]
    for argument in command.arguments:
        text = f"\\fI{_roff(argument.metavar)}\\fR{'...' if argument.repeatable else ''}"
        words.append(text if argument.required else f"[{text}]")
    line = name + " ".join(words) + "\n"
    if any(o.is_llama for o in command.options):
        line += f".br\n{name}[\\fIOPTIONS\\fR] \\-\\- \\fBllama\\-server\\fR \\fIARGUMENTS\\fR...\n"
    return line


def _argument(argument: Argument) -> str:
    text = argument.help
    if argument.choices and argument.metavar != "|".join(argument.choices):
        text += f" One of: {', '.join(argument.choices)}."
    return _pair(argument.metavar, text or "What the command is about.")


def _below(command: Command) -> str:
    return f".TP\n.BR {_roff(command.page)} (1)\n{_roff(command.summary)}\n"


def _option(option: Option) -> str:
    value = "" if option.metavar is None else f" \\fI{_roff(option.metavar)}\\fR"
    spellings = ", ".join(f"\\fB{_roff(s)}\\fR" for s in option.spellings if s not in option.negated)
    if option.negated:
        spellings += " / " + ", ".join(f"\\fB{_roff(s)}\\fR" for s in option.negated)
    text = " ".join(option.help.split())
    if option.choices and option.metavar != "|".join(option.choices):
        text += f" One of: {', '.join(option.choices)}."
    if option.default is not None and f"({option.default})" not in text:
        text += f" Default: {option.default}."
    if option.repeatable:
        text += " May be repeated."
    return f".TP\n{spellings}{value}\n{_roff(text)}\n"


def _pair(name: str, text: str) -> str:
    return f".TP\n.B {_roff(name)}\n{_roff(text)}\n"


def _paragraphs(text: str) -> str:
    found = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)]
    return "".join(f"{'.PP' + chr(10) if i else ''}{_roff(part)}\n" for i, part in enumerate(found))


def _verbatim(text: str) -> str:
    lines = text.splitlines()
    if len(lines) == 1:
        return _roff(text) + "\n"
    return ".nf\n" + "".join(f"{_roff(line)}\n" for line in lines) + ".fi\n"


def _see_also(command: Command) -> str:
    others = [c.page for c in root().commands] if not command.words else ["budget"]
    others += [c.page for c in command.commands if command.words]
    return "\n".join(
        f".BR {_roff(page)} (1){',' if i + 1 < len(others) else ''}" for i, page in enumerate(others)
    )


def _roff(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga")
    escaped = escaped.replace("'", "\\(aq").replace("–", "\\(en").replace("×", "\\(mu")
    return "\\&" + escaped if escaped.startswith((".", "'")) else escaped
