"""`--override-kv`: a header with metadata replaced, as llama.cpp's loader replaces it while it reads.

Source: llama-model-loader.cpp, `GKV::try_override`, `validate_override`.
"""

from __future__ import annotations

from collections.abc import Sequence

from budget.errors import UsageError
from budget.gguf.contents import Header, Value
from budget.record import replace

_KINDS = {"bool": ("bool",), "str": ("str",), "float": ("f32", "f64")}
_INTEGERS = ("u32", "u8", "i8", "u16", "i16", "i32", "u64", "i64")


def with_overrides(header: Header, overrides: Sequence[tuple[str, str]]) -> Header:
    """`header` with (key, `type:value`) in place of what it says; the first entry of a key counts.

    An override of another kind than the key's is ignored, as llama.cpp ignores it with a warning, and so is one of an
    array.

    Raises:
        UsageError: a number that is none, or another number of blocks than the file has: llama.cpp then misses tensors
            or finds too many.
    """
    changed: dict[str, Value] = {}
    for key, typed in overrides:
        if key in changed:
            continue
        kind, _, text = typed.partition(":")
        old = header.metadata.get(key)
        kinds = _KINDS.get(kind, _INTEGERS)
        if old is not None and old.type not in kinds:
            continue
        value = Value(type=kinds[0] if old is None else old.type, value=_value(key, kind, text))
        if old is not None and key.endswith(".block_count") and value != old:
            raise UsageError(
                f"--override-kv {key}={typed}: the file has {old.value} blocks, and llama.cpp refuses another number",
                hint="-ngl says how many of them are on GPUs",
            )
        changed[key] = value
    return replace(header, metadata={**header.metadata, **changed}) if changed else header


def _value(key: str, kind: str, text: str) -> int | float | bool | str:
    if kind == "str":
        return text
    if kind == "bool":
        return text == "true"
    try:
        return int(text) if kind == "int" else float(text)
    except ValueError as e:
        raise UsageError(
            f"--override-kv {key}={kind}:{text}: not a number", hint=f"such as {key}={kind}:4"
        ) from e
