"""A header as JSON and back, small: offsets and sizes follow from types and shapes."""

from __future__ import annotations

from typing import Any

from budget.gguf.header import Array, Header, TensorInfo, Value
from budget.gguf.types import TYPES
from budget.units import round_up


def header_to_json(header: Header) -> dict[str, Any]:
    """`header`, of one file, as plain lists and numbers."""
    return {
        "version": header.version,
        "alignment": header.alignment,
        "data_offset": header.data_offset,
        "metadata": [[key, value.type, _content(value)] for key, value in header.metadata.items()],
        "tensors": [[t.name, list(t.ne[: t.n_dims]), t.type.id] for t in header.tensors],
    }


def header_from_json(data: dict[str, Any]) -> Header:
    """The header that `header_to_json` made `data` of.

    Raises:
        KeyError, TypeError, ValueError, IndexError: `data` is no such thing.
    """
    alignment = int(data["alignment"])
    tensors, offset = [], 0
    for name, dims, type_id in data["tensors"]:
        kind = TYPES[type_id]
        ne = (*dims, 1, 1, 1, 1)[:4]
        nbytes = kind.tensor_bytes(ne)
        tensors.append(
            TensorInfo(name=name, ne=ne, n_dims=len(dims), type=kind, offset=offset, nbytes=nbytes)
        )
        offset += round_up(nbytes, alignment)
    return Header(
        version=int(data["version"]),
        alignment=alignment,
        metadata={key: _value(kind, content) for key, kind, content in data["metadata"]},
        tensors=tuple(tensors),
        data_offset=int(data["data_offset"]),
    )


def _content(value: Value) -> object:
    array = value.value
    return [array.element_type, array.length, array.values] if isinstance(array, Array) else array


def _value(kind: str, content: Any) -> Value:
    if kind != "array":
        return Value(type=kind, value=content)
    element_type, length, values = content
    array = Array(element_type=element_type, length=length, values=None if values is None else tuple(values))
    return Value(type="array", value=array)
