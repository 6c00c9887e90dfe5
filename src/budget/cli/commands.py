"""The commands there are. Each is a module of the same name, imported only when it is the one asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

GROUPS: dict[str, dict[str, str]] = {
    "Does it fit": {
        "fit": "Does it fit? A verdict, what each device holds, what is missing.",
        "max-ctx": "The largest context that fits, as one integer on stdout.",
        "place": "Which layer and which tensor goes on which device.",
        "advise": "Settings that fit and use the machine best, as a llama-server line to paste.",
        "request": "How many completion tokens one request may have, and its context target.",
    },
    "Compare and gate": {
        "sweep": "Memory against context, K/V type, layers or slots: a table and a plot.",
        "diff": "Two models, or one model with two sets of flags, part by part.",
        "check": "Gate CI: models x machines x settings that must meet expectations.",
    },
    "What there is": {
        "inspect": "What the header says: layers, heads, windows, experts, sizes.",
        "scan": "Every model in the stores of this machine and in given folders, with its verdict.",
        "devices": "The memory devices here, and where each number comes from.",
        "hardware": "The catalogue of cards and machines, and which of them run a model.",
    },
    "About budget itself": {
        "verify": "The plan against a real llama.cpp, buffer by buffer.",
        "config": "Every option with its value and where it comes from.",
        "cache": "The headers that were read before: where they are, how to clear them.",
        "schema": "The JSON Schema of any JSON that budget reads or writes.",
    },
}
"""Title of a group in the help to command and one-line help."""
COMMANDS: dict[str, str] = {name: text for group in GROUPS.values() for name, text in group.items()}
"""Command to its one-line help."""


def function_of(name: str) -> Any:
    """What runs the command: it takes the line after `--` and the values of its `parameters`."""
    return import_module(f"budget.cli.{name.replace('-', '_')}").command
