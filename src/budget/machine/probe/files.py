"""Small files of /proc, /sys and /etc, read so that a missing or unreadable one is simply unknown."""

from __future__ import annotations

from pathlib import Path

MAX_READ_BYTES = 1 << 20
"""Longest pseudo file read; /proc/cpuinfo of a 512-core host is about 0.8 MiB."""


def read_text(path: Path) -> str | None:
    """The text of `path`, trailing white space removed; None where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_READ_BYTES).decode("utf-8", "replace").rstrip()
    except (OSError, ValueError):
        return None


def read_int(path: Path) -> int | None:
    """The decimal or 0x number in `path`; None where it is missing or something else."""
    text = read_text(path)
    try:
        return None if text is None else int(text, 0)
    except ValueError:
        return None


def read_table(path: Path) -> dict[str, int]:
    """`name value [unit]` lines as integers, the unit dropped; empty where the file cannot be read."""
    table = {}
    for line in (read_text(path) or "").splitlines():
        fields = line.replace(":", " ", 1).split()
        if len(fields) >= 2 and fields[1].isascii() and fields[1].isdigit():
            table[fields[0]] = int(fields[1])
    return table
