"""The names of the schemas."""

from __future__ import annotations

from typing import Any

from budget.render.screen import Block, Table


def schemas_screen(data: dict[str, Any]) -> list[Block]:
    """A row per schema: the name that `budget schema NAME` takes, and what it describes."""
    rows = [[row["name"], row["description"]] for row in data["schemas"]]
    return [Table(["name", "describes"], rows, left=(0, 1), wrap=1)]
