"""Flags given as one text, as a shell would split it."""

from __future__ import annotations

import shlex

from budget.errors import UsageError


def split_words(text: str, where: str) -> list[str]:
    """The words of `text`.

    Raises:
        UsageError: a quote is not closed; `where` says whose text it is.
    """
    try:
        return shlex.split(text)
    except ValueError as e:
        raise UsageError(f"{where}: {text!r} cannot be split into words", hint="close its quotes") from e
