"""What the parser complains about, in budget's words: what, where, and what was probably meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from budget.cli.commands import COMMANDS, function_of
from budget.cli.direct import spelled_options
from budget.cli.parameters import Argument, Option, Parameter
from budget.errors import UsageError
from budget.nearest import did_you_mean, nearest

ELSEWHERE = {
    "--context": "--ctx-size",
    "--context-length": "--ctx-size",
    "--context-size": "--ctx-size",
    "--in-max-ctx-size": "--ctx-size",
    "--n-ctx": "--ctx-size",
    "--num-ctx": "--ctx-size",
    "--max-model-len": "--ctx-size",
    "--num-batch": "--batch-size",
    "--num-gpu": "--gpu-layers",
    "--vram": "--gpu",
    "--gpus": "--gpu",
    "--memory": "--ram",
    "--kv-type": "--cache-type-k",
    "--cache-type": "--cache-type-k",
    "--kv-cache-dtype": "--cache-type-k",
    "--output": "--format",
    "--slots": "--parallel",
    "--visual-max-image-size": "--image-max-tokens",
    "--platform-footprint": "--overhead",
    "--device-metric": "--bandwidth",
    "--skip-cache": "--no-cache",
}
"""What other tools call an option, and what it is called here."""

MODEL_FLAGS = {
    "model.gguf": ("-m", "--model", "--path"),
    "hf://user/repo": ("-hf", "-hfr", "--hf-repo", "-hff", "--hf-file"),
    "https://...": ("-mu", "--model-url", "--url"),
    "ollama://name:tag": ("--ol-model",),
}
"""The word that is a model here, and the flags that name one elsewhere."""


def refuse_joined(words: Sequence[str]) -> None:
    """Refuse `-ngl99` as what it is, on a line of these `words`: the parser would take it for the option `-n`.

    Options of one letter may have their value joined, as in `-c8192`.

    Raises:
        UsageError: says how to write it.
    """
    if not words or words[0] not in COMMANDS:
        return
    spelled = spelled_options(function_of(words[0]).parameters)
    short = [spelling for spelling in spelled if not spelling.startswith("--")]
    rest = iter(words[1:])
    for word in rest:
        if word in spelled:
            if spelled[word][1] is None:
                next(rest, None)  # its value
        elif word.startswith("-") and not word.startswith("--") and len(word) > 2:
            option = max((s for s in short if word.startswith(s)), key=len, default="")
            value = word.removeprefix(option)
            if not _may_be_joined(option, value):
                takes_value = option and spelled[option][1] is None
                apart = f"write {option} {value.removeprefix('=')}" if takes_value else ""
                see = f"see budget {words[0]} --help"
                raise UsageError(
                    f"no such option: {word}", hint=apart or _meant(word, words[0], list(spelled), see)
                )


def _may_be_joined(option: str, value: str) -> bool:
    """`-c8192` and `-ngl=99`, as the parser has it."""
    return value.startswith("=") if len(option) > 2 else bool(option) and not value.startswith("=")


def explained(e: Any, words: Sequence[str] = ()) -> tuple[str, str]:
    """The message and the hint for one of the parser's own exceptions, on a line of these `words`."""
    command = words[0] if words and words[0] in COMMANDS else ""
    see = f"see budget {command} --help".replace("  ", " ")
    parameters: Sequence[Parameter] = function_of(command).parameters if command else ()
    name = getattr(e, "option_name", None)
    message = e.format_message().rstrip(".").replace("is not a valid int", "is no whole number")
    if name and type(e).__name__ == "NoSuchOption":
        return f"no such option: {name}", _meant(name, command, _spellings(e), see)
    if name and message.endswith("requires an argument"):
        return f"{name} needs a value", _form(name, parameters) or see
    if name and message.endswith("does not take a value"):
        return f"{name} takes no value", see
    if "unexpected extra argument" in message:
        return f"one too many: {message.rpartition('(')[2].rstrip(')')}", _arguments(command, parameters, see)
    choices = [
        str(c) for c in getattr(getattr(getattr(e, "param", None), "type", None), "choices", None) or ()
    ]
    given = message.partition(": '")[2].partition("'")[0]
    if choices and given:
        return message, did_you_mean(nearest(given, choices), see)
    return message, see


def _meant(name: str, command: str, there: Sequence[str], see: str) -> str:
    """What to write for an option that the command does not have."""
    if not command:
        return f"options stand behind a command, such as budget fit MODEL; {see}" if name in _any() else see
    model = next((word for word, flags in MODEL_FLAGS.items() if name in flags), None)
    if model is not None and "--assume" in there:
        return f"the model stands without an option: budget {command} {model}"
    if ELSEWHERE.get(name) in there:
        return did_you_mean([ELSEWHERE[name]], see)
    if {"--ctx-size", "--assume"} <= set(there) and _is_of_llama_server(name):
        return f"it may stand in a whole line: budget {command} -- llama-server -m model.gguf {name} ..."
    return did_you_mean(nearest(name, there), see)


def _any() -> set[str]:
    """Every spelling of an option of `budget fit`."""
    declared = [p.declared for p in function_of("fit").parameters]
    return {s for o in declared if isinstance(o, Option) for text in o.spellings for s in text.split("/")}


def _is_of_llama_server(name: str) -> bool:
    from budget.runtime.flags import by_spelling

    return name in by_spelling("llama-server")


def _form(name: str, parameters: Sequence[Parameter]) -> str | None:
    """How the option is written with its value."""
    for parameter in parameters:
        option = parameter.declared
        if isinstance(option, Option) and name in option.spellings:
            form = option.metavar or "|".join(get_args(parameter.kind))
            return f"write {name} {form}" if form else None
    return None


def _arguments(command: str, parameters: Sequence[Parameter], see: str) -> str:
    """What the command takes beside its options."""
    metavars = [p.declared.metavar for p in parameters if isinstance(p.declared, Argument)]
    if not metavars:
        return f"budget {command} takes options only; {see}"
    quotes = ", in quotes where it has spaces" if metavars[0] in ("MODEL", "FILTER") else ""
    return f"budget {command} takes one {metavars[0]}{quotes}; {see}"


def _spellings(e: Any) -> list[str]:
    """Every spelling of every option of the command."""
    parameters = getattr(getattr(getattr(e, "ctx", None), "command", None), "params", ())
    return [s for p in parameters for s in (*p.opts, *p.secondary_opts) if s.startswith("-")]
