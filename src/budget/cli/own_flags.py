"""llama.cpp flags that an option gives to one model of several, as one text."""

from __future__ import annotations

from collections.abc import Sequence

from budget.errors import UsageError


def refuse_other_model(words: Sequence[str], *, option: str, spec: str, tool: str) -> None:
    """Refuse `-m` and its kind in the flags for `spec`: the model stands elsewhere, and the flag would be ignored.

    Args:
        words: the flags, taken apart.
        option: whose value they are, for the message.
        spec: the model they are for.
        tool: the program whose flags they are.

    Raises:
        UsageError: they name another model than `spec`, or llama.cpp does not know one of them.
    """
    from budget.runtime.command_line import parse_command_line

    named = parse_command_line([tool, *words], {}, suffixes=True).model
    if named not in (None, spec):
        raise UsageError(f"{option} names another model: {named}", hint="leave that flag away")
