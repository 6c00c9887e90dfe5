"""The header of a GGUF file, from bytes alone."""

from __future__ import annotations

import struct
from collections.abc import Callable

from budget.errors import BadModelError
from budget.gguf.contents import Array, Header, Scalar, TensorInfo, Value
from budget.gguf.cursor import DAMAGED, MAX_HEADER_BYTES, Buffer, Cursor, NeedMoreBytesError
from budget.gguf.magic import bad_version, not_gguf
from budget.gguf.metadata import MAX_KEYS, MIN_KEY_BYTES, data_alignment, read_metadata
from budget.gguf.tensors import MAX_TENSORS, MIN_TENSOR_BYTES, check_bounds, read_tensors
from budget.units import round_up

__all__ = [
    "MAX_HEADER_BYTES", "Array", "Buffer", "Header", "NeedMoreBytesError", "Scalar", "TensorInfo", "Value",
    "parse_header", "read_header",
]  # fmt: skip

_FIRST = struct.Struct("<4sIqq")
"""Magic, version, number of tensors, number of metadata keys."""


def parse_header(
    buf: Buffer, *, file_bytes: int | None = None, limit_bytes: int = MAX_HEADER_BYTES
) -> Header:
    """The header at the start of `buf`, which holds the first bytes of a file or all of them.

    Args:
        buf: the first bytes of the file.
        file_bytes: size of the whole file where it is known; then tensor data must lie within it.
        limit_bytes: longest header accepted.

    Raises:
        NeedMoreBytesError: `buf` ends inside the header.
        BadModelError: llama.cpp would refuse the file, or it asks for unreasonable amounts.

    Source: gguf.cpp, `gguf_init_from_reader`; llama-model-loader.cpp, the bounds check per tensor.
    """
    cursor = Cursor(buf, file_bytes, limit_bytes)
    version, n_tensors, n_kv = _read_first(cursor)
    cursor.n_tensors = n_tensors
    metadata = read_metadata(cursor, n_kv, n_tensors * MIN_TENSOR_BYTES)
    alignment = data_alignment(metadata)
    tensors = read_tensors(cursor, n_tensors, alignment)
    data_offset = round_up(cursor.pos, alignment) if n_tensors else cursor.pos
    cursor.require(data_offset - cursor.pos, "the padding before the tensor data")
    if file_bytes is not None:
        check_bounds(tensors, data_offset, file_bytes)
    return Header(
        version=version, alignment=alignment, metadata=metadata, tensors=tensors, data_offset=data_offset
    )


def read_header(
    read_prefix: Callable[[int], bytes],
    *,
    first_bytes: int = 256 * 1024,
    file_bytes: int | None = None,
    limit_bytes: int = MAX_HEADER_BYTES,
) -> Header:
    """Grow the prefix until the header parses.

    Args:
        read_prefix: the first N bytes of the file, or all where it is shorter; it keeps what it has.
        first_bytes: how many to ask for at first.
        file_bytes: size of the whole file where it is known.
        limit_bytes: longest header accepted; stops a file that lies about lengths.

    Raises:
        BadModelError: as `parse_header`, and for a file that ends inside its header.
    """
    want_bytes = first_bytes
    while True:
        buf = read_prefix(want_bytes)
        try:
            return parse_header(buf, file_bytes=file_bytes, limit_bytes=limit_bytes)
        except NeedMoreBytesError as need:
            if len(buf) < want_bytes:
                return parse_header(buf, file_bytes=len(buf), limit_bytes=limit_bytes)
            want_bytes = min(max(need.need_bytes, need.likely_bytes), limit_bytes)


def _read_first(cursor: Cursor) -> tuple[int, int, int]:
    """Version, number of tensors, number of metadata keys."""
    start = bytes(cursor.buf[: min(64, cursor.end)])
    if start[:4] != b"GGUF"[: len(start)]:
        raise not_gguf(start)
    cursor.require(_FIRST.size, "the first 24 bytes")
    _, version, n_tensors, n_kv = _FIRST.unpack_from(cursor.buf)
    if version not in (2, 3):
        raise bad_version(version)
    cursor.pos = _FIRST.size
    _check_count(cursor, n_tensors, "tensors", MAX_TENSORS, MIN_TENSOR_BYTES, 8)
    _check_count(cursor, n_kv, "metadata keys", MAX_KEYS, MIN_KEY_BYTES, 16)
    return version, n_tensors, n_kv


def _check_count(cursor: Cursor, n: int, what: str, most: int, least_bytes: int, at: int) -> None:
    """`n` entries of at least `least_bytes` each must be thinkable in this file."""
    if n < 0:
        raise BadModelError(f"a negative number of {what} ({n}) at byte {at}", hint=DAMAGED)
    if n > most:
        raise BadModelError(
            f"it claims {n:,} {what} (byte {at}); budget reads at most {most:,}", hint=DAMAGED
        )
    if cursor.file_bytes is not None and n * least_bytes > cursor.file_bytes:
        raise BadModelError(
            f"it claims {n:,} {what} (byte {at}), more than {cursor.file_bytes:,} bytes can hold",
            hint=DAMAGED,
        )
