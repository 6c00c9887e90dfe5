"""Typed access to a model's metadata, with llama.cpp's own refusals."""

from __future__ import annotations

from collections.abc import Mapping

from budget.errors import BadModelError
from budget.gguf.header import Array, Scalar, Value

_INTEGERS = frozenset({"u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64"})


class Keys:
    """Typed access to `<architecture>.<key>`, with the overrides in front of the header."""

    def __init__(self, architecture: str, metadata: Mapping[str, Value]) -> None:
        self.architecture = architecture
        self.metadata = metadata

    def value(self, name: str) -> Value | None:
        return self.metadata.get(f"{self.architecture}.{name}")

    def integer(self, name: str) -> int | None:
        """A scalar size or count.

        Raises:
            BadModelError: another type, or a negative number.
        """
        value = self.value(name)
        if value is None or isinstance(value.value, Array):
            return None
        if value.type not in _INTEGERS or not isinstance(value.value, int) or value.value < 0:
            raise BadModelError(
                f"metadata {self.architecture}.{name} should be an unsigned integer, "
                f"not {value.type} {value.value!r}",
                hint="convert the model again with a current convert_hf_to_gguf.py",
            )
        return value.value

    def required(self, name: str) -> int:
        value = self.integer(name)
        if value is None:
            raise BadModelError(
                f"metadata key {self.architecture}.{name} is missing",
                hint="llama.cpp refuses this file too; download or convert it again",
            )
        return value

    def array(self, name: str) -> tuple[Scalar, ...] | None:
        value = self.value(name)
        return value.value.values if value is not None and isinstance(value.value, Array) else None

    def per_layer(self, name: str, n_layer: int, default: int | tuple[int, ...]) -> tuple[int, ...]:
        """`get_key_or_arr`: an array of exactly `n_layer` numbers, or one number for all.

        Raises:
            BadModelError: an array of another length.
        """
        array = self.array(name)
        if array is not None:
            if len(array) < n_layer:
                raise BadModelError(
                    f"metadata {self.architecture}.{name} has {len(array)} entries for {n_layer} layers",
                    hint="llama.cpp refuses this file too; convert the model again",
                )
            return tuple(int(x) for x in array[:n_layer])
        scalar = self.integer(name)
        if scalar is None:
            return (default,) * n_layer if isinstance(default, int) else default
        return (scalar,) * n_layer
