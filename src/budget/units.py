"""Bytes and counts: parsed from what people type, formatted for people."""

from __future__ import annotations

import re

from budget.errors import UsageError

KiB = 1 << 10
MiB = 1 << 20
GiB = 1 << 30
TiB = 1 << 40

MAX_BYTES = (1 << 63) - 1
"""Largest size accepted: what fits an int64, as in ggml."""

_FACTORS = {
    "": 1, "b": 1,
    "k": KiB, "m": MiB, "g": GiB, "t": TiB,
    "kib": KiB, "mib": MiB, "gib": GiB, "tib": TiB,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
}  # fmt: skip
_SIZE = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*(?P<unit>[A-Za-z]*)\Z")


def round_up(n: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is at least `n`."""
    return -(-n // multiple) * multiple


def parse_size(text: str) -> int:
    """Bytes meant by `text`: `1.5GiB` (binary), `2GB` (decimal), `24G` (binary), `4096`.

    Fractions of a byte are truncated.

    Raises:
        UsageError: anything else; the message quotes the text whole.
    """
    match = _SIZE.match(text.strip())
    factor = _FACTORS.get(match["unit"].lower()) if match else None
    if match is None or factor is None:
        raise UsageError(
            f"not a size: {text!r}",
            hint="write bytes, or a number with KiB MiB GiB TiB (binary), KB MB GB TB (decimal) "
            "or K M G T (binary), such as 24GiB or 1.5G",
        )
    whole, _, decimals = match["number"].partition(".")
    size_bytes: int = int(whole + decimals) * factor // 10 ** len(decimals)
    if size_bytes > MAX_BYTES:
        raise UsageError(f"size too large: {text!r}", hint="sizes end at 8 EiB - 1 byte")
    return size_bytes


def parse_count(text: str) -> int:
    """A count of tokens or layers: `32768`, or with `k`/`m` in steps of 1024 (`32k`).

    Raises:
        UsageError: anything else, quoted whole.
    """
    match = re.fullmatch(r"([0-9]+)([kKmM]?)", text.strip())
    if match is None:
        raise UsageError(f"not a count: {text!r}", hint="write a whole number, such as 32768 or 32k")
    return int(match[1]) * {"": 1, "k": 1024, "m": 1024 * 1024}[match[2].lower()]


def format_size(size_bytes: int) -> str:
    """`size_bytes` for people: binary units, the unit that leaves 1 to 4 digits before the point."""
    if abs(size_bytes) < KiB:
        return f"{size_bytes} B"
    for unit, factor in (("KiB", KiB), ("MiB", MiB), ("GiB", GiB)):
        if abs(size_bytes) < 1000 * factor:
            digits = 0 if unit == "KiB" else 1 if unit == "MiB" else 2
            return f"{size_bytes / factor:.{digits}f} {unit}"
    return f"{size_bytes / TiB:.2f} TiB"


def counted(n: int, noun: str) -> str:
    """`1 device`, `2 devices`."""
    return f"{n} {noun}{'' if n == 1 else 's'}"


def format_count(n: int) -> str:
    """`n` with thin groups: 131072 -> 131,072."""
    return f"{n:,}"
