"""What a GGUF header says, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TypeAlias

from budget.gguf.types import GGMLType
from budget.record import record

Scalar: TypeAlias = int | float | bool | str


@record
class Array:
    """An array in the metadata; long ones are stepped over and keep only their length."""

    element_type: str
    """`u8 i8 u16 i16 u32 i32 f32 bool str u64 i64 f64`."""
    length: int
    """Elements in the file."""
    values: tuple[Scalar, ...] | None
    """The elements, or None where they were stepped over."""


@record
class Value:
    """One metadata value with its GGUF type, since llama.cpp reads keys strictly typed."""

    type: str
    """`u8 ... f64`, `bool`, `str`, or `array`."""
    value: Scalar | Array


@record(kw_only=False)
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


@record(slots=False)
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
