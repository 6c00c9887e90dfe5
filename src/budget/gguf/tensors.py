"""The tensor table of a GGUF header."""

from __future__ import annotations

import struct

from budget.errors import BadModelError
from budget.gguf.contents import TensorInfo
from budget.gguf.cursor import DAMAGED, Cursor
from budget.gguf.types import TYPES, GGMLType
from budget.units import round_up

MAX_TENSORS = 1 << 17
"""Most tensors read; the largest models have about 2,000, old unmerged mixtures of experts 20,000."""
MIN_TENSOR_BYTES = 8 + 4 + 4 + 8
"""Shortest entry: no name, no dimensions."""
_MAX_NAME = 64
"""ggml.h, `GGML_MAX_NAME`: names must be shorter."""
_MAX_DIMS = 4
"""ggml.h, `GGML_MAX_DIMS`."""
_INT64_MAX = (1 << 63) - 1
_U32 = struct.Struct("<I")
_DIMS = tuple(struct.Struct(f"<{n}qiQ") for n in range(_MAX_DIMS + 1))
_REMOVED = {
    4: "Q4_2", 5: "Q4_3", 31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8",
    36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8", 38: "IQ4_NL_8_8",
}  # fmt: skip
"""Types that ggml once had (ggml.h, `enum ggml_type`)."""


def read_tensors(cursor: Cursor, n_tensors: int, alignment: int) -> tuple[TensorInfo, ...]:
    """The `n_tensors` entries at the cursor, which end the header."""
    tensors: dict[str, TensorInfo] = {}
    offset = 0
    for i in range(n_tensors):
        cursor.n_tensors = n_tensors - i
        cursor.tail_bytes = (n_tensors - i - 1) * MIN_TENSOR_BYTES
        at = cursor.pos
        tensor = _read_tensor(cursor, i)
        if tensor.name in tensors:
            raise BadModelError(f"tensor {tensor.name!r} appears twice, again at byte {at:,}", hint=DAMAGED)
        if tensor.offset != offset:
            raise BadModelError(
                f"tensor {tensor.name!r} has offset {tensor.offset:,} where {offset:,} is expected "
                f"(entry {i} at byte {at:,})",
                hint="the tensors do not follow each other without gaps: convert the model again",
            )
        offset += round_up(tensor.nbytes, alignment)
        if offset > _INT64_MAX:
            raise BadModelError(f"tensor {tensor.name!r} makes the data overflow 64 bits", hint=DAMAGED)
        tensors[tensor.name] = tensor
    cursor.tail_bytes = cursor.n_tensors = 0
    return tuple(tensors.values())


def _read_tensor(cursor: Cursor, i: int) -> TensorInfo:
    """Entry `i` of the tensor table."""
    name = cursor.string(f"the name of tensor {i}", _MAX_NAME - 1)
    cursor.require(4, f"tensor {name!r}")
    (n_dims,) = _U32.unpack_from(cursor.buf, cursor.pos)
    if n_dims > _MAX_DIMS:
        raise BadModelError(
            f"tensor {name!r} has {n_dims} dimensions; at most 4 are allowed (byte {cursor.pos:,})",
            hint=DAMAGED,
        )
    cursor.pos += 4
    shape = _DIMS[n_dims]
    cursor.require(shape.size, f"tensor {name!r}")
    *dims, type_id, offset = shape.unpack_from(cursor.buf, cursor.pos)
    ne = (*dims, 1, 1, 1, 1)[:_MAX_DIMS]
    _check_shape(cursor, name, ne)
    cursor.pos += shape.size
    kind = _tensor_type(cursor, name, type_id)
    if ne[0] % kind.block_elems:
        raise BadModelError(
            f"tensor {name!r} has rows of {ne[0]:,} elements, not whole {kind.name} blocks of "
            f"{kind.block_elems}",
            hint=DAMAGED,
        )
    nbytes = kind.tensor_bytes(ne)
    if nbytes > _INT64_MAX:
        raise BadModelError(f"tensor {name!r} of shape {ne} has more bytes than 64 bits count", hint=DAMAGED)
    return TensorInfo(name=name, ne=ne, n_dims=n_dims, type=kind, offset=offset, nbytes=nbytes)


def _check_shape(cursor: Cursor, name: str, ne: tuple[int, ...]) -> None:
    """Each dimension not negative, and their product within 64 bits at every step, as in gguf.cpp."""
    n_elems = 1
    for n in ne:
        if n < 0:
            raise BadModelError(
                f"tensor {name!r} has a negative dimension in {ne} (byte {cursor.pos:,})", hint=DAMAGED
            )
        n_elems *= n
        if n_elems > _INT64_MAX:
            raise BadModelError(
                f"tensor {name!r} of shape {ne} has more elements than 64 bits count", hint=DAMAGED
            )


def _tensor_type(cursor: Cursor, name: str, type_id: int) -> GGMLType:
    kind = TYPES.get(type_id)
    if kind is not None:
        return kind
    if type_id in _REMOVED:
        raise BadModelError(
            f"tensor {name!r} has type {type_id} ({_REMOVED[type_id]}), which ggml has removed",
            hint="requantize the model: llama.cpp now repacks Q4_0 and IQ4_NL when it loads them",
        )
    raise BadModelError(
        f"tensor {name!r} has type {type_id}, which does not exist in ggml (byte {cursor.pos - 12:,})",
        hint="a newer budget may know it; if not, the file is damaged",
    )


def check_bounds(tensors: tuple[TensorInfo, ...], data_offset: int, file_bytes: int) -> None:
    """Every tensor's data must lie within the file; the last needs no padding."""
    if not tensors:
        return
    last = tensors[-1]
    end = data_offset + last.offset + last.nbytes
    if end > file_bytes:
        lost = next(t for t in tensors if data_offset + t.offset + t.nbytes > file_bytes)
        raise BadModelError(
            f"the file is incomplete: it has {file_bytes:,} bytes and its tensors need {end:,} "
            f"(the first one cut off is {lost.name!r})",
            hint="the download did not finish, or a disk was full: download it again",
        )
