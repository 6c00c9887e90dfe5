"""What the text given to an option means; a mistake names the option."""

from __future__ import annotations

from typing import Any

from budget.errors import UsageError
from budget.units import parse_count, parse_size


def given(values: dict[str, Any], name: str, default: str) -> str:
    """What an option was given, `default` where it was not; an empty text was given, and is a mistake."""
    value: str | None = values.get(name)
    return default if value is None else value


def overhead_of(values: dict[str, Any]) -> int | None:
    """`--overhead` in bytes; None estimates it."""
    text = given(values, "overhead", "auto")
    return None if text == "auto" else _size("--overhead", text)


def reserve_of(values: dict[str, Any]) -> int:
    """`--reserve` in bytes."""
    return _size("--reserve", given(values, "reserve", "0"))


def _size(option: str, text: str) -> int:
    try:
        return parse_size(text)
    except UsageError as e:
        raise e.at(option) from e


def count(option: str, text: str | None) -> int | None:
    """A count given to `option`, None where it was not given."""
    if text is None:
        return None
    try:
        return parse_count(text)
    except UsageError as e:
        raise e.at(option) from e
