"""What the parser complains about, in budget's words: what, where, and what was probably meant."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any


def explained(e: Any) -> tuple[str, str]:
    """The message and the hint for one of the parser's own exceptions."""
    context = getattr(e, "ctx", None)
    help_line = f"{getattr(context, 'command_path', '') or 'budget'} --help"
    name = getattr(e, "option_name", None)
    if name and type(e).__name__ == "NoSuchOption":
        return f"no such option: {name}", _meant(name, _spellings(context), f"see {help_line}")
    message = e.format_message().rstrip(".")
    choices = [
        str(c) for c in getattr(getattr(getattr(e, "param", None), "type", None), "choices", None) or ()
    ]
    given = message.partition(": '")[2].partition("'")[0]
    if choices and given:
        return message, _meant(given, choices, f"see {help_line}")
    return message, f"see {help_line}"


def _spellings(context: Any) -> list[str]:
    """Every spelling of every option of the command."""
    parameters = getattr(getattr(context, "command", None), "params", ())
    return [s for p in parameters for s in (*p.opts, *p.secondary_opts) if s.startswith("-")]


def _meant(word: str, words: list[str], otherwise: str) -> str:
    near = get_close_matches(word, words, n=2)
    return f"did you mean {' or '.join(near)}? {otherwise}" if near else otherwise
