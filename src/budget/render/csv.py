"""Comma-separated values: sizes are bytes, unknown is empty; for spreadsheets and scripts."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """RFC 4180 with line feeds, a column for each key of the rows.

    What is nested is `outer.inner`, a list is one cell with spaces between, None is empty, booleans are `true` and
    `false`.
    """
    flat = [dict(_flat(row)) for row in rows]
    found = dict.fromkeys(key for row in flat for key in row)
    headers = [
        key for key in found if not any(other.startswith(f"{key}.") for other in found)
    ]  # null in some rows
    out = io.StringIO()
    writer = csv.DictWriter(out, headers, restval="", extrasaction="ignore", lineterminator="\n")
    if headers:
        writer.writeheader()
    writer.writerows(flat)
    return out.getvalue()


def _flat(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in row.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _cell(value)


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return " ".join(str(_cell(item)) for item in value)
    return "" if value is None else value
