"""What the parser complains about, in budget's words: what, where, and what was probably meant."""

from __future__ import annotations

from typing import Any

from budget.nearest import did_you_mean, nearest

ELSEWHERE = {
    "--context": "--ctx-size",
    "--context-length": "--ctx-size",
    "--context-size": "--ctx-size",
    "--num-ctx": "--ctx-size",
    "--max-model-len": "--ctx-size",
    "--vram": "--gpu",
    "--gpus": "--gpu",
    "--memory": "--ram",
    "--kv-type": "--cache-type-k",
    "--cache-type": "--cache-type-k",
    "--kv-cache-dtype": "--cache-type-k",
    "--output": "--format",
    "--slots": "--parallel",
}
"""What other tools call an option, and what it is called here."""


def explained(e: Any) -> tuple[str, str]:
    """The message and the hint for one of the parser's own exceptions."""
    context = getattr(e, "ctx", None)
    help_line = f"{getattr(context, 'command_path', '') or 'budget'} --help"
    name = getattr(e, "option_name", None)
    if name and type(e).__name__ == "NoSuchOption":
        there = _spellings(context)
        near = [s for s in (ELSEWHERE.get(name),) if s in there] or nearest(name, there)
        return f"no such option: {name}", did_you_mean(near, f"see {help_line}")
    message = e.format_message().rstrip(".")
    choices = [
        str(c) for c in getattr(getattr(getattr(e, "param", None), "type", None), "choices", None) or ()
    ]
    given = message.partition(": '")[2].partition("'")[0]
    if choices and given:
        return message, did_you_mean(nearest(given, choices), f"see {help_line}")
    return message, f"see {help_line}"


def _spellings(context: Any) -> list[str]:
    """Every spelling of every option of the command."""
    parameters = getattr(getattr(context, "command", None), "params", ())
    return [s for p in parameters for s in (*p.opts, *p.secondary_opts) if s.startswith("-")]
