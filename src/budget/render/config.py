"""Options and where each value comes from."""

from __future__ import annotations

from budget.planning.config import Config, shown
from budget.render.screen import Block, Table


def config_screen(config: Config) -> list[Block]:
    """A row per option: its value, its origin, and the variable or file that says so."""
    rows = [
        [
            s.name,
            "none" if s.value is None else str(shown(s.value)),
            s.origin,
            "" if s.origin == s.where else s.where,
        ]
        for s in config.settings.values()
    ]
    return [Table(["option", "value", "from", ""], rows, left=(0, 1, 2, 3))]
