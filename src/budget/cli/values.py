"""What the text given to an option means; a mistake names the option."""

from __future__ import annotations

from typing import Any

from budget.errors import UsageError
from budget.units import parse_count, parse_size


def overhead_of(values: dict[str, Any]) -> int | None:
    """`--overhead` in bytes; None estimates it."""
    text = values.get("overhead") or "auto"
    return None if text == "auto" else _size("--overhead", text)


def reserve_of(values: dict[str, Any]) -> int:
    """`--reserve` in bytes."""
    return _size("--reserve", values.get("reserve") or "0")


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
