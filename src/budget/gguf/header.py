"""The header of a GGUF file: metadata and tensor table, from bytes alone."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import TYPE_CHECKING, TypeAlias

from budget.errors import BadModelError
from budget.gguf.magic import bad_version, not_gguf
from budget.gguf.types import TYPES, GGMLType
from budget.units import MiB, round_up

if TYPE_CHECKING:
    from mmap import mmap

Buffer: TypeAlias = "bytes | memoryview | mmap"
Scalar: TypeAlias = int | float | bool | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Array:
    """An array in the metadata; long ones are stepped over and keep only their length."""

    element_type: str
    """`u8 i8 u16 i16 u32 i32 f32 bool str u64 i64 f64`."""
    length: int
    """Elements in the file."""
    values: tuple[Scalar, ...] | None
    """The elements, or None where they were stepped over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One metadata value with its GGUF type, since llama.cpp reads keys strictly typed."""

    type: str
    """`u8 ... f64`, `bool`, `str`, or `array`."""
    value: Scalar | Array


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One row of the tensor table."""

    name: str
    ne: tuple[int, ...]
    """Elements per dimension, innermost first; always four, missing ones are 1."""
    n_dims: int
    """Dimensions as the file writes them."""
    type: GGMLType
    offset: int
    """Bytes from the start of the data section of its shard."""
    nbytes: int
    """Bytes of data, without padding."""
    shard: int = 0
    """Index of the file that holds it, in a split model."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """Everything in front of the weights. For a split model, the joined header of all shards."""

    version: int
    alignment: int
    """Bytes; `general.alignment`, 32 by default."""
    metadata: Mapping[str, Value]
    tensors: tuple[TensorInfo, ...]
    data_offset: int
    """Where the data section starts, in bytes from the start of the (first) file."""
    shard_data_offsets: tuple[int, ...] = ()
    """`data_offset` of each shard of a split model; empty for a single file."""

    @cached_property
    def by_name(self) -> dict[str, TensorInfo]:
        """Tensors by name."""
        return {t.name: t for t in self.tensors}


MAX_HEADER_BYTES = 64 * MiB
"""Longest header read: the longest in use are about 15 MiB. Bounds the work a hostile file can ask for."""
MAX_TENSORS = 1 << 17
"""Most tensors read; the largest models have about 2,000, old unmerged mixtures of experts 20,000."""
MAX_KEYS = 1 << 16
"""Most metadata keys read; models have about 50."""
MAX_DECODED = 1 << 20
"""Most array elements decoded in one header; per-layer arrays need 512 each."""
MAX_TEXT_BYTES = 16 * MiB
"""Most text decoded in one header."""
LONG_ARRAY = 4096
"""Arrays with more elements are stepped over: no plan reads one (llama.cpp ends at 512 layers)."""
KEPT_TEXT_BYTES = 64 * 1024
"""Of a longer string only this much is kept."""
_MAX_STRING = _MAX_ARRAY = 1 << 30
"""gguf.cpp, `GGUF_MAX_STRING_LENGTH` and `GGUF_MAX_ARRAY_ELEMENTS`."""
_MAX_KEY_BYTES = (1 << 16) - 1
"""The GGUF specification's limit for keys."""
_MAX_NAME = 64
"""ggml.h, `GGML_MAX_NAME`: names must be shorter."""
_MAX_DIMS = 4
"""ggml.h, `GGML_MAX_DIMS`."""
_INT64_MAX = (1 << 63) - 1
_MIN_KEY_BYTES = 8 + 1 + 4 + 1
"""Shortest metadata entry: a key of one byte with a one-byte value."""
_MIN_TENSOR_BYTES = 8 + 4 + 4 + 8
"""Shortest tensor entry: no name, no dimensions."""

_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_COUNTS = struct.Struct("<qq")
_ARRAY = struct.Struct("<iQ")
_SCALARS = {
    i: (name, struct.Struct(f"<{code}"))
    for i, name, code in (
        (0, "u8", "B"), (1, "i8", "b"), (2, "u16", "H"), (3, "i16", "h"), (4, "u32", "I"), (5, "i32", "i"),
        (6, "f32", "f"), (7, "bool", "?"), (10, "u64", "Q"), (11, "i64", "q"), (12, "f64", "d"),
    )
}  # fmt: skip
_STRING, _NESTED = 8, 9
_DIMS = tuple(struct.Struct(f"<{n}qiQ") for n in range(_MAX_DIMS + 1))
_REMOVED = {
    4: "Q4_2", 5: "Q4_3", 31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8",
    36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8", 38: "IQ4_NL_8_8",
}  # fmt: skip
"""Types that ggml once had (ggml.h, `enum ggml_type`)."""
_DAMAGED = "the file is damaged or made to mislead: download or convert it again"


class NeedMoreBytesError(Exception):
    """The header goes on beyond the bytes given; with more of the file it can be read."""

    def __init__(self, need_bytes: int, likely_bytes: int) -> None:
        super().__init__(f"need at least {need_bytes} bytes from the start of the file")
        self.need_bytes = need_bytes
        """At least this many from the start of the file; never more than the header has."""
        self.likely_bytes = likely_bytes
        """A guess at how many it takes to end."""


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
    return _Parser(buf, file_bytes, limit_bytes).header()


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


class _Parser:
    """One pass over the header. `pos` is the offset of the next byte to read."""

    __slots__ = ("buf", "decoded", "end", "file_bytes", "limit_bytes", "pos", "tail_bytes", "text_bytes")

    def __init__(self, buf: Buffer, file_bytes: int | None, limit_bytes: int) -> None:
        self.buf = buf
        self.pos = 0
        self.end = min(len(buf), limit_bytes)
        self.file_bytes = file_bytes
        self.limit_bytes = limit_bytes
        self.tail_bytes = 0
        """Least number of bytes that must follow whatever is being read."""
        self.decoded = 0
        self.text_bytes = 0

    def header(self) -> Header:
        version, n_tensors, n_kv = self.preamble()
        metadata: dict[str, Value] = {}
        for i in range(n_kv):
            self.tail_bytes = (n_kv - i - 1) * _MIN_KEY_BYTES + n_tensors * _MIN_TENSOR_BYTES
            self.pair(metadata, i)
        alignment = self.alignment(metadata)
        tensors = self.tensor_table(n_tensors, alignment)
        data_offset = round_up(self.pos, alignment) if n_tensors else self.pos
        self.require(data_offset - self.pos, "the padding before the tensor data")
        self.check_bounds(tensors, data_offset)
        return Header(
            version=version, alignment=alignment, metadata=metadata, tensors=tensors, data_offset=data_offset
        )

    def preamble(self) -> tuple[int, int, int]:
        """Version, number of tensors, number of metadata keys."""
        start = bytes(self.buf[: min(64, self.end)])
        if start[:4] != b"GGUF"[: len(start)]:
            raise not_gguf(start)
        self.require(24, "the first 24 bytes")
        (version,) = _U32.unpack_from(self.buf, 4)
        if version not in (2, 3):
            raise bad_version(version)
        n_tensors, n_kv = _COUNTS.unpack_from(self.buf, 8)
        self.pos = 24
        for n, what, most, least_bytes, at in (
            (n_tensors, "tensors", MAX_TENSORS, _MIN_TENSOR_BYTES, 8),
            (n_kv, "metadata keys", MAX_KEYS, _MIN_KEY_BYTES, 16),
        ):
            if n < 0:
                raise BadModelError(f"a negative number of {what} ({n}) at byte {at}", hint=_DAMAGED)
            if n > most:
                raise BadModelError(
                    f"it claims {n:,} {what} (byte {at}); budget reads at most {most:,}", hint=_DAMAGED
                )
            if self.file_bytes is not None and n * least_bytes > self.file_bytes:
                raise BadModelError(
                    f"it claims {n:,} {what} (byte {at}), more than {self.file_bytes:,} bytes can hold",
                    hint=_DAMAGED,
                )
        return version, n_tensors, n_kv

    def require(self, n_bytes: int, what: str, *, likely_bytes: int = 0) -> None:
        """Make sure that `n_bytes` more can be read at `pos`, or raise what fits the case."""
        stop = self.pos + n_bytes
        if stop <= self.end:
            return
        need = stop + self.tail_bytes
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
                hint=_DAMAGED,
            )
        raise NeedMoreBytesError(need, max(need, likely_bytes))

    def string(self, what: str, longest: int = _MAX_STRING, kept: int = KEPT_TEXT_BYTES) -> str:
        """The string at `pos`; bytes that are not UTF-8 are escaped."""
        self.require(8, f"the length of {what}")
        (n_bytes,) = _U64.unpack_from(self.buf, self.pos)
        if n_bytes > longest:
            raise BadModelError(
                f"{what} at byte {self.pos:,} claims {n_bytes:,} bytes; at most {longest:,} are allowed",
                hint=_DAMAGED,
            )
        self.pos += 8
        self.require(n_bytes, what)
        start = self.pos
        self.pos += n_bytes
        n_kept = min(n_bytes, kept)
        self.text_bytes += n_kept
        if self.text_bytes > MAX_TEXT_BYTES:
            raise BadModelError(f"more than {MAX_TEXT_BYTES:,} bytes of text in the metadata", hint=_DAMAGED)
        return str(self.buf[start : start + n_kept], "utf-8", "backslashreplace")

    def pair(self, metadata: dict[str, Value], i: int) -> None:
        """Read metadata entry `i`."""
        at = self.pos
        key = self.string(f"the name of metadata key {i}", _MAX_KEY_BYTES)
        if not key:
            raise BadModelError(f"metadata key {i} at byte {at:,} has an empty name", hint=_DAMAGED)
        if key in metadata:
            raise BadModelError(f"metadata key {key!r} appears twice, again at byte {at:,}", hint=_DAMAGED)
        self.require(4, f"the type of metadata key {key!r}")
        (kind,) = _U32.unpack_from(self.buf, self.pos)
        self.pos += 4
        if kind == _STRING:
            metadata[key] = Value(type="str", value=self.string(f"metadata key {key!r}"))
        elif kind == _NESTED:
            metadata[key] = Value(type="array", value=self.array(key))
        elif kind in _SCALARS:
            name, shape = _SCALARS[kind]
            self.require(shape.size, f"metadata key {key!r}")
            metadata[key] = Value(type=name, value=shape.unpack_from(self.buf, self.pos)[0])
            self.pos += shape.size
        else:
            raise BadModelError(
                f"metadata key {key!r} has type {kind}, which does not exist (byte {self.pos - 4:,})",
                hint=_DAMAGED,
            )

    def array(self, key: str) -> Array:
        """The array at `pos`, its elements where a plan may read them."""
        what = f"metadata array {key!r}"
        self.require(_ARRAY.size, what)
        kind, n = _ARRAY.unpack_from(self.buf, self.pos)
        if kind == _NESTED:
            raise BadModelError(f"{what} at byte {self.pos:,} is an array of arrays", hint=_DAMAGED)
        if kind != _STRING and kind not in _SCALARS:
            raise BadModelError(
                f"{what} has elements of type {kind}, which does not exist (byte {self.pos:,})", hint=_DAMAGED
            )
        if n > _MAX_ARRAY:
            raise BadModelError(
                f"{what} at byte {self.pos:,} claims {n:,} elements; at most {_MAX_ARRAY:,} are allowed",
                hint=_DAMAGED,
            )
        self.pos += _ARRAY.size
        stepped_over = n > LONG_ARRAY or key.startswith("tokenizer.")
        if not stepped_over:
            self.decoded += n
            if self.decoded > MAX_DECODED:
                raise BadModelError(
                    f"more than {MAX_DECODED:,} array elements in the metadata", hint=_DAMAGED
                )
        if kind == _STRING:
            return Array(element_type="str", length=n, values=self.strings(what, n, stepped_over))
        name, shape = _SCALARS[kind]
        self.require(n * shape.size, what)
        start = self.pos
        self.pos += n * shape.size
        values = None if stepped_over else struct.unpack_from(f"<{n}{shape.format[-1]}", self.buf, start)
        return Array(element_type=name, length=n, values=values)

    def strings(self, what: str, n: int, stepped_over: bool) -> tuple[str, ...] | None:
        self.require(8 * n, what)
        if not stepped_over:
            tail_bytes = self.tail_bytes
            values = []
            for left in range(n - 1, -1, -1):
                self.tail_bytes = tail_bytes + 8 * left
                values.append(self.string(what))
            self.tail_bytes = tail_bytes
            return tuple(values)
        self.step_over(what, n)
        return None

    def step_over(self, what: str, n: int) -> None:
        """Move `pos` past `n` strings. The loop is as short as Python allows: it runs a million times."""
        buf, start, pos, unpack = self.buf, self.pos, self.pos, _U64.unpack_from
        steps = repeat(None, n)
        try:
            for _ in steps:
                pos += unpack(buf, pos)[0] + 8
        except (struct.error, OverflowError, IndexError):
            pass  # `pos` is past the end; what that means is worked out below
        left = steps.__length_hint__()
        if pos - start <= self.end - start and not left:
            self.pos = pos
            return
        self.where_strings_end(what, n)

    def where_strings_end(self, what: str, n: int) -> None:
        """Find the string that runs past the end, and raise for it."""
        tail_bytes, start = self.tail_bytes, self.pos
        for i in range(n):
            self.tail_bytes = tail_bytes + 8 * (n - i - 1)
            self.require(8, f"the length of element {i} of {what}")
            (n_bytes,) = _U64.unpack_from(self.buf, self.pos)
            if n_bytes > _MAX_STRING:
                raise BadModelError(
                    f"element {i} of {what} at byte {self.pos:,} claims {n_bytes:,} bytes; "
                    f"at most {_MAX_STRING:,} are allowed",
                    hint=_DAMAGED,
                )
            self.pos += 8
            mean = (self.pos + n_bytes - start) / (i + 1)
            self.require(n_bytes, f"element {i} of {what}", likely_bytes=start + int(mean * n))
            self.pos += n_bytes
        raise AssertionError("unreachable")

    def alignment(self, metadata: Mapping[str, Value]) -> int:
        """`general.alignment`, bytes."""
        value = metadata.get("general.alignment")
        if value is None:
            return 32  # gguf.h, GGUF_DEFAULT_ALIGNMENT
        if value.type != "u32" or not isinstance(value.value, int):
            raise BadModelError(f"general.alignment must be u32 and is {value.type}", hint=_DAMAGED)
        if value.value == 0 or value.value & (value.value - 1):
            raise BadModelError(f"general.alignment is {value.value}, not a power of two", hint=_DAMAGED)
        return value.value

    def tensor_table(self, n_tensors: int, alignment: int) -> tuple[TensorInfo, ...]:
        tensors: dict[str, TensorInfo] = {}
        offset = 0
        for i in range(n_tensors):
            self.tail_bytes = (n_tensors - i - 1) * _MIN_TENSOR_BYTES
            at = self.pos
            tensor = self.tensor(i)
            if tensor.name in tensors:
                raise BadModelError(
                    f"tensor {tensor.name!r} appears twice, again at byte {at:,}", hint=_DAMAGED
                )
            if tensor.offset != offset:
                raise BadModelError(
                    f"tensor {tensor.name!r} has offset {tensor.offset:,} where {offset:,} is expected "
                    f"(entry {i} at byte {at:,})",
                    hint="the tensors do not follow each other without gaps: convert the model again",
                )
            offset += round_up(tensor.nbytes, alignment)
            if offset > _INT64_MAX:
                raise BadModelError(f"tensor {tensor.name!r} makes the data overflow 64 bits", hint=_DAMAGED)
            tensors[tensor.name] = tensor
        self.tail_bytes = 0
        return tuple(tensors.values())

    def tensor(self, i: int) -> TensorInfo:
        """Entry `i` of the tensor table."""
        name = self.string(f"the name of tensor {i}", _MAX_NAME - 1)
        self.require(4, f"tensor {name!r}")
        (n_dims,) = _U32.unpack_from(self.buf, self.pos)
        if n_dims > _MAX_DIMS:
            raise BadModelError(
                f"tensor {name!r} has {n_dims} dimensions; at most 4 are allowed (byte {self.pos:,})",
                hint=_DAMAGED,
            )
        self.pos += 4
        shape = _DIMS[n_dims]
        self.require(shape.size, f"tensor {name!r}")
        *dims, type_id, offset = shape.unpack_from(self.buf, self.pos)
        ne = (*dims, 1, 1, 1, 1)[:_MAX_DIMS]
        self.check_shape(name, ne)
        self.pos += shape.size
        kind = self.tensor_type(name, type_id)
        if ne[0] % kind.block_elems:
            raise BadModelError(
                f"tensor {name!r} has rows of {ne[0]:,} elements, not whole {kind.name} blocks of "
                f"{kind.block_elems}",
                hint=_DAMAGED,
            )
        nbytes = kind.tensor_bytes(ne)
        if nbytes > _INT64_MAX:
            raise BadModelError(
                f"tensor {name!r} of shape {ne} has more bytes than 64 bits count", hint=_DAMAGED
            )
        return TensorInfo(name=name, ne=ne, n_dims=n_dims, type=kind, offset=offset, nbytes=nbytes)

    def check_shape(self, name: str, ne: tuple[int, ...]) -> None:
        """Each dimension not negative, and their product within 64 bits at every step, as in gguf.cpp."""
        n_elems = 1
        for n in ne:
            if n < 0:
                raise BadModelError(
                    f"tensor {name!r} has a negative dimension in {ne} (byte {self.pos:,})", hint=_DAMAGED
                )
            n_elems *= n
            if n_elems > _INT64_MAX:
                raise BadModelError(
                    f"tensor {name!r} of shape {ne} has more elements than 64 bits count", hint=_DAMAGED
                )

    def tensor_type(self, name: str, type_id: int) -> GGMLType:
        kind = TYPES.get(type_id)
        if kind is not None:
            return kind
        if type_id in _REMOVED:
            raise BadModelError(
                f"tensor {name!r} has type {type_id} ({_REMOVED[type_id]}), which ggml has removed",
                hint="requantize the model: llama.cpp now repacks Q4_0 and IQ4_NL when it loads them",
            )
        raise BadModelError(
            f"tensor {name!r} has type {type_id}, which does not exist in ggml (byte {self.pos - 12:,})",
            hint="a newer budget may know it; if not, the file is damaged",
        )

    def check_bounds(self, tensors: tuple[TensorInfo, ...], data_offset: int) -> None:
        """Every tensor's data must lie within the file; the last needs no padding."""
        if self.file_bytes is None or not tensors:
            return
        last = tensors[-1]
        end = data_offset + last.offset + last.nbytes
        if end > self.file_bytes:
            lost = next(t for t in tensors if data_offset + t.offset + t.nbytes > self.file_bytes)
            raise BadModelError(
                f"the file is incomplete: it has {self.file_bytes:,} bytes and its tensors need {end:,} "
                f"(the first one cut off is {lost.name!r})",
                hint="the download did not finish, or a disk was full: download it again",
            )
