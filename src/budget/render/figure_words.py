"""What pictures of a sweep say beside their charts."""

from __future__ import annotations

from budget.planning.grid import Sweep
from budget.render.sweep_devices import devices_of
from budget.render.sweep_words import AXIS_NAMES, answer_of


def picture_title(found: Sweep, name: str) -> str:
    """The name of the picture, for who lists files or tabs."""
    return f"{shown(name)}: memory by {AXIS_NAMES[found.axis]}"


def answers(found: Sweep) -> list[str]:
    """What each line says, after its name where it has one."""
    told = [(series.name, answer_of(found, series)[0]) for series in found.series]
    return [f"{name}: {text}" if name else text for name, text in told]


def in_words(found: Sweep) -> str:
    """The picture, for who cannot see it."""
    devices = ", ".join(devices_of(found)[0])
    return f"Plot of the memory on {devices} by {AXIS_NAMES[found.axis]}. {'; '.join(answers(found))}."


def shown(text: str) -> str:
    """`text` on one line, without what no document may hold."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
