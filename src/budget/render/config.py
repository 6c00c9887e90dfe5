"""Options and where each value comes from."""

from __future__ import annotations

from budget.planning.config import Config, Setting, shown
from budget.render.screen import Block, Table
from budget.units import format_size

_SIZES = ("overhead", "reserve", "max_resident", "host_cold")
"""Options whose numbers are bytes."""


def config_screen(config: Config) -> list[Block]:
    """A row per option: its value, its origin, and the variable or file that says so."""
    rows = [
        [s.name, _value(s), s.origin, "" if s.origin == s.where else s.where]
        for s in config.settings.values()
    ]
    return [Table(["option", "value", "from", ""], rows, left=(0, 1, 2, 3))]


def _value(setting: Setting) -> str:
    value = shown(setting.value)
    if setting.name in _SIZES and isinstance(value, int):
        return format_size(value)
    return "none" if value is None else str(value)
