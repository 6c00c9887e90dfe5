"""The metadata of a GGUF header: keys and typed values."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from budget.errors import BadModelError
from budget.gguf.contents import Array, Value
from budget.gguf.cursor import DAMAGED, Cursor

MAX_KEYS = 1 << 16
"""Most metadata keys read; models have about 50."""
MIN_KEY_BYTES = 8 + 1 + 4 + 1
"""Shortest entry: a key of one byte with a one-byte value."""
LONG_ARRAY = 4096
"""Arrays with more elements are stepped over: no plan reads one (llama.cpp ends at 512 layers)."""
_MAX_ARRAY = 1 << 30
"""gguf.cpp, `GGUF_MAX_ARRAY_ELEMENTS`."""
_MAX_KEY_BYTES = (1 << 16) - 1
"""The GGUF specification's limit for keys."""
_U32 = struct.Struct("<I")
_ARRAY = struct.Struct("<iQ")
_SCALARS = {
    i: (name, struct.Struct(f"<{code}"))
    for i, name, code in (
        (0, "u8", "B"), (1, "i8", "b"), (2, "u16", "H"), (3, "i16", "h"), (4, "u32", "I"), (5, "i32", "i"),
        (6, "f32", "f"), (7, "bool", "?"), (10, "u64", "Q"), (11, "i64", "q"), (12, "f64", "d"),
    )
}  # fmt: skip
_STRING, _NESTED = 8, 9


def read_metadata(cursor: Cursor, n_kv: int, tail_bytes: int) -> dict[str, Value]:
    """The `n_kv` entries at the cursor; at least `tail_bytes` follow them."""
    metadata = cursor.metadata
    for i in range(n_kv):
        cursor.tail_bytes = tail_bytes + (n_kv - i - 1) * MIN_KEY_BYTES
        _read_pair(cursor, metadata, i)
    return metadata


def _read_pair(cursor: Cursor, metadata: dict[str, Value], i: int) -> None:
    """Read metadata entry `i`."""
    at = cursor.pos
    key = cursor.string(f"the name of metadata key {i}", _MAX_KEY_BYTES)
    if not key:
        raise BadModelError(f"metadata key {i} at byte {at:,} has an empty name", hint=DAMAGED)
    if key in metadata:
        raise BadModelError(f"metadata key {key!r} appears twice, again at byte {at:,}", hint=DAMAGED)
    cursor.require(4, f"the type of metadata key {key!r}")
    (kind,) = _U32.unpack_from(cursor.buf, cursor.pos)
    cursor.pos += 4
    if kind == _STRING:
        metadata[key] = Value(type="str", value=cursor.string(f"metadata key {key!r}"))
    elif kind == _NESTED:
        metadata[key] = Value(type="array", value=_read_array(cursor, key))
    elif kind in _SCALARS:
        name, shape = _SCALARS[kind]
        cursor.require(shape.size, f"metadata key {key!r}")
        metadata[key] = Value(type=name, value=shape.unpack_from(cursor.buf, cursor.pos)[0])
        cursor.pos += shape.size
    else:
        raise BadModelError(
            f"metadata key {key!r} has type {kind}, which does not exist (byte {cursor.pos - 4:,})",
            hint=DAMAGED,
        )


def _read_array(cursor: Cursor, key: str) -> Array:
    """The array at `pos`, its elements where a plan may read them."""
    what = f"metadata array {key!r}"
    cursor.require(_ARRAY.size, what)
    kind, n = _ARRAY.unpack_from(cursor.buf, cursor.pos)
    if kind == _NESTED:
        raise BadModelError(f"{what} at byte {cursor.pos:,} is an array of arrays", hint=DAMAGED)
    if kind != _STRING and kind not in _SCALARS:
        raise BadModelError(
            f"{what} has elements of type {kind}, which does not exist (byte {cursor.pos:,})", hint=DAMAGED
        )
    if n > _MAX_ARRAY:
        raise BadModelError(
            f"{what} at byte {cursor.pos:,} claims {n:,} elements; at most {_MAX_ARRAY:,} are allowed",
            hint=DAMAGED,
        )
    cursor.pos += _ARRAY.size
    stepped_over = n > LONG_ARRAY or key.startswith("tokenizer.")
    if not stepped_over:
        cursor.count_decoded(n)
    if kind == _STRING:
        if stepped_over:
            cursor.step_over_strings(key, n)
        return Array(element_type="str", length=n, values=None if stepped_over else cursor.strings(what, n))
    name, shape = _SCALARS[kind]
    cursor.require(n * shape.size, what)
    start = cursor.pos
    cursor.pos += n * shape.size
    values = None if stepped_over else struct.unpack_from(f"<{n}{shape.format[-1]}", cursor.buf, start)
    return Array(element_type=name, length=n, values=values)


def data_alignment(metadata: Mapping[str, Value]) -> int:
    """`general.alignment`, bytes."""
    value = metadata.get("general.alignment")
    if value is None:
        return 32  # gguf.h, GGUF_DEFAULT_ALIGNMENT
    if value.type != "u32" or not isinstance(value.value, int):
        raise BadModelError(f"general.alignment must be u32 and is {value.type}", hint=DAMAGED)
    if value.value == 0 or value.value & (value.value - 1):
        raise BadModelError(f"general.alignment is {value.value}, not a power of two", hint=DAMAGED)
    return value.value
