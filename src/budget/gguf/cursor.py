"""Reading the pieces of a GGUF header one after the other, within bounds."""

from __future__ import annotations

import struct
from itertools import repeat
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from budget.errors import BadModelError
from budget.gguf.contents import Value
from budget.gguf.growth import Strings, likely_end
from budget.units import MiB

if TYPE_CHECKING:
    from mmap import mmap

Buffer: TypeAlias = "bytes | bytearray | memoryview | mmap"

MAX_HEADER_BYTES = 64 * MiB
"""Longest header read: the longest in use are about 15 MiB. Bounds the work a hostile file can ask for."""
MAX_DECODED = 1 << 20
"""Most array elements decoded in one header; per-layer arrays need 512 each."""
MAX_TEXT_BYTES = 4 * MiB
"""Most text decoded in one header; a model has 20 KiB, and bytes that are not UTF-8 take long to escape."""
KEPT_TEXT_BYTES = 64 * 1024
"""Of a longer string only this much is kept."""
_MAX_STRING = 1 << 30
"""gguf.cpp, `GGUF_MAX_STRING_LENGTH`."""
DAMAGED = "the file is damaged or made to mislead: download or convert it again"

_BLOCK = 4096
"""Strings stepped over between two looks at the position."""
_U64 = struct.Struct("<Q")


class NeedMoreBytesError(Exception):
    """The header goes on beyond the bytes given; with more of the file it can be read."""

    def __init__(self, need_bytes: int, likely_bytes: int) -> None:
        super().__init__(f"need at least {need_bytes} bytes from the start of the file")
        self.need_bytes = need_bytes
        """At least this many from the start of the file; never more than the header has."""
        self.likely_bytes = likely_bytes
        """A guess at how many it takes to end."""


class Cursor:
    """A position in the header, and how far it may move."""

    __slots__ = (
        "buf", "decoded", "end", "file_bytes", "limit_bytes", "metadata", "n_tensors", "pos", "stepped_over",
        "tail_bytes", "text_bytes",
    )  # fmt: skip

    def __init__(self, buf: Buffer, file_bytes: int | None, limit_bytes: int) -> None:
        self.buf = buf
        self.pos = 0
        """Offset of the next byte to read."""
        self.end = min(len(buf), limit_bytes)
        self.file_bytes = file_bytes
        self.limit_bytes = limit_bytes
        self.tail_bytes = 0
        """Least number of bytes that must follow whatever is being read."""
        self.n_tensors = 0
        """Rows of the tensor table that are still to come."""
        self.metadata: dict[str, Value] = {}
        """What was read so far."""
        self.stepped_over: dict[str, Strings] = {}
        self.decoded = 0
        self.text_bytes = 0

    def require(self, n_bytes: int, what: str, strings: Strings | None = None) -> None:
        """Make sure that `n_bytes` more can be read at `pos`, or raise what fits the case.

        Args:
            n_bytes: how many.
            what: the thing they hold, for messages.
            strings: the array of strings that is being stepped over.
        """
        stop = self.pos + n_bytes
        if stop <= self.end:
            return
        self.allow(n_bytes, what)
        likely_bytes = likely_end(
            stop, strings, self.stepped_over, self.metadata, self.tokenizer_model(), self.n_tensors
        )
        need = stop + self.tail_bytes
        raise NeedMoreBytesError(need, min(max(need, likely_bytes), self.limit_bytes))

    def allow(self, n_bytes: int, what: str) -> None:
        """Refuse `n_bytes` at `pos` that neither the file nor the limit has room for."""
        need = self.pos + n_bytes + self.tail_bytes
        if self.file_bytes is not None and need > self.file_bytes:
            raise BadModelError(
                f"the file ends inside its header: with {what} at byte {self.pos:,} it takes at least "
                f"{need:,} bytes, and the file has {self.file_bytes:,}",
                hint="the download did not finish, or the file is damaged: download it again",
            )
        if need > self.limit_bytes:
            raise BadModelError(
                f"the header is longer than {self.limit_bytes:,} bytes: with {what} at byte {self.pos:,} "
                f"it takes at least {need:,}",
                hint=DAMAGED,
            )

    def tokenizer_model(self) -> str:
        """`tokenizer.ggml.model`, or nothing where it was not met yet."""
        value = self.metadata.get("tokenizer.ggml.model")
        return value.value if value is not None and isinstance(value.value, str) else ""

    def string(self, what: str, longest: int = _MAX_STRING, kept: int = KEPT_TEXT_BYTES) -> str:
        """The string at `pos`; bytes that are not UTF-8 are escaped."""
        self.require(8, f"the length of {what}")
        (n_bytes,) = _U64.unpack_from(self.buf, self.pos)
        self.check_length(what, n_bytes, longest)
        self.pos += 8
        self.require(n_bytes, what)
        start = self.pos
        self.pos += n_bytes
        n_kept = min(n_bytes, kept)
        self.text_bytes += n_kept
        if self.text_bytes > MAX_TEXT_BYTES:
            raise BadModelError(f"more than {MAX_TEXT_BYTES:,} bytes of text in the metadata", hint=DAMAGED)
        return str(self.buf[start : start + n_kept], "utf-8", "backslashreplace")

    def strings(self, what: str, n: int) -> tuple[str, ...]:
        """The `n` strings at `pos`."""
        self.require(8 * n, what)
        tail_bytes = self.tail_bytes
        values = []
        for left in range(n - 1, -1, -1):
            self.tail_bytes = tail_bytes + 8 * left
            values.append(self.string(what))
        return tuple(values)

    def step_over_strings(self, key: str, n: int) -> None:
        """Move `pos` past the `n` strings of the array `key`.

        The inner loop is as short as Python allows, since it runs half a million times on a real header; where
        it overshoots, the block of strings it was in is walked again with checks.
        """
        self.allow(8 * n, f"metadata array {key!r}")
        marks = [self.pos]
        buf, pos, end, unpack = self.buf, self.pos, self.end, _U64.unpack_from
        for left in range(n, 0, -_BLOCK):
            n_block = min(left, _BLOCK)
            try:
                for _ in repeat(None, n_block):
                    pos += unpack(buf, pos)[0] + 8
            except (struct.error, OverflowError, IndexError):
                pos = end + 1
            if pos > end:
                self.stop_in_strings(key, marks, n, left)
            self.pos = pos
            marks.append(pos)
        self.stepped_over[key] = Strings(key, n, n, pos - marks[0])

    def stop_in_strings(self, key: str, marks: list[int], n: int, left: int) -> NoReturn:
        """Raise for the string that runs past the end: one of the `left` strings from `pos` on.

        Args:
            key: the array.
            marks: offset of the array's first string, and of every 4096th that was passed.
            n: strings in the array.
            left: strings from `pos` to the end of the array.
        """
        tail_bytes = self.tail_bytes
        half = len(marks) // 2
        while True:
            left -= 1
            self.tail_bytes = tail_bytes + 8 * left
            name = f"element {n - left - 1} of metadata array {key!r}"
            read_bytes = self.pos - marks[0]
            read = Strings(key, n, n - left - 1, read_bytes, half * _BLOCK, marks[half] - marks[0])
            self.require(8, name, read)
            (n_bytes,) = _U64.unpack_from(self.buf, self.pos)
            self.check_length(name, n_bytes, _MAX_STRING)
            self.pos += 8
            self.require(n_bytes, name, read)
            self.pos += n_bytes

    def check_length(self, what: str, n_bytes: int, longest: int) -> None:
        if n_bytes > longest:
            raise BadModelError(
                f"{what} at byte {self.pos:,} claims {n_bytes:,} bytes; at most {longest:,} are allowed",
                hint=DAMAGED,
            )

    def count_decoded(self, n: int) -> None:
        """Note that `n` array elements are about to be decoded."""
        self.decoded += n
        if self.decoded > MAX_DECODED:
            raise BadModelError(f"more than {MAX_DECODED:,} array elements in the metadata", hint=DAMAGED)
