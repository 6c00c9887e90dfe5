"""Being written."""

from __future__ import annotations

from budget.errors import UnknownAnswerError
from budget.memory.compute.builder import Builder


def deepseek32(g: Builder) -> None:
    """Source: src/models."""
    raise UnknownAnswerError(f"{g.arch} is not modelled yet")


def glm_dsa(g: Builder) -> None:
    """Source: src/models."""
    raise UnknownAnswerError(f"{g.arch} is not modelled yet")
