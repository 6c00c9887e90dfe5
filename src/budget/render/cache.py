"""The cache of headers, as a sentence and as data."""

from __future__ import annotations

from typing import Any

from budget.render.screen import Block, Text
from budget.source.cache import CacheInfo
from budget.units import counted, format_size


def cache_object(info: CacheInfo, n_removed: int | None) -> dict[str, Any]:
    """`budget/cache/v1`: what there was, and how many headers were removed."""
    return {
        "schema": "budget/cache/v1",
        "folder": str(info.folder),
        "n_entries": info.n_entries,
        "total_bytes": info.n_bytes,
        "n_removed": n_removed or 0,
    }


def cache_screen(info: CacheInfo, n_removed: int | None) -> list[Block]:
    """One sentence."""
    size = format_size(info.n_bytes)
    if n_removed is not None:
        return [Text(f"removed {counted(n_removed, 'header')}, {size}, from {info.folder}")]
    return [Text(f"{counted(info.n_entries, 'header')}, {size}, in {info.folder}")]
