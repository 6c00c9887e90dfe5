"""What an adapter for a reference planner consists of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

REFUSED = {"refused": True}
"""Our answer, or theirs, is an error: an exception, an error tuple, an error value."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A rule by which we differ on purpose."""

    name: str
    reason: str
    applies: Callable[[dict[str, Any]], bool]
    """Given the case: its inputs decide, never what we happen to answer."""
    holds: Callable[[Any, dict[str, Any]], bool]
    """Given our answer and the case: whether it is the answer the rule stands for."""


def refuses(ours: Any, _case: dict[str, Any]) -> bool:
    """The rule's answer is an error."""
    return ours == REFUSED


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """One function of a reference planner, answered by ours."""

    answer: Callable[[dict[str, Any]], Any]
    """Our answer to the inputs, in their words."""
    normal: Callable[[Any], Any] = lambda expected: expected
    """Their expected answer, without what only their form has."""
    differences: tuple[Difference, ...] = field(default=())
