"""`--machine TEXT`: a machine file, or a machine of the catalogue."""

from __future__ import annotations

from pathlib import Path

from budget.errors import MachineError
from budget.machine.device import Machine
from budget.machine.file import load_machine


def open_machine(text: str) -> Machine:
    """The machine that `text` means: a file where one is there or `text` looks like a path, else a name.

    Raises:
        MachineError: the file cannot be read, or the catalogue has no such name or several.
    """
    if _is_path(text):
        return load_machine(text)
    from budget.machine.catalog import find
    from budget.machine.hardware import resolve_machine

    try:
        return resolve_machine(text)
    except MachineError as e:
        if "can be several" in e.message or not find(text):
            raise
        raise MachineError(
            f"--machine {text}: a card, which is no machine by itself",
            hint=f"plan for it with --gpu {text} --ram SIZE",
        ) from e


def _is_path(text: str) -> bool:
    if text.endswith(".json") or "/" in text or "\\" in text:
        return True
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False
