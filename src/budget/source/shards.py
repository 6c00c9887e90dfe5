"""Split models: the first shard leads to the others, and their tables become one header."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from budget.errors import BadModelError
from budget.gguf.header import Header, TensorInfo
from budget.record import record, replace
from budget.source.errors import MissingFileError

_NAME = re.compile(
    r"(?P<prefix>.*)-(?P<number>[0-9]{5})-of-(?P<count>[0-9]{5})(?P<suffix>\.gguf)\Z", re.DOTALL
)
_SPLIT_AGAIN = "download the missing shards, or join them with llama.cpp's llama-gguf-split --merge"


@record
class ShardName:
    """A file name of the pattern `prefix-00001-of-00003.gguf` (llama.cpp, `llama_split_path`)."""

    prefix: str
    number: int
    """Position, from 1."""
    count: int

    def path(self, number: int) -> str:
        """Name of shard `number`, from 1."""
        return f"{self.prefix}-{number:05d}-of-{self.count:05d}.gguf"


def shard_name(path: str) -> ShardName | None:
    """`path` as the name of a shard; None if it is no such name."""
    match = _NAME.match(path)
    if match is None or not 1 <= int(match["number"]) <= int(match["count"]):
        return None
    return ShardName(prefix=match["prefix"], number=int(match["number"]), count=int(match["count"]))


def read_all(path: str, read_one: Callable[[str], Header]) -> tuple[Header, tuple[str, ...]]:
    """The header of the model at `path`, with all its shards joined, and the path of each.

    Args:
        path: the file, or the first shard; also an address, as long as it ends in the file's name.
        read_one: reads the header of one file.

    Raises:
        BadModelError: `path` is a later shard, or a shard is missing or belongs to another model.

    Source: llama-model-loader.cpp, constructor.
    """
    first = read_one(path)
    n_split = _number(first, "split.count")
    if not n_split:
        return first, (path,)
    name = shard_name(path)
    number = _number(first, "split.no")
    if number != 0:
        at = name.path(1) if name else "the shard numbered 00001"
        raise BadModelError(
            f"{path}: this is shard {(number or 0) + 1} of {n_split}; a split model is opened by its first",
            hint=f"pass {at}",
        )
    if n_split == 1:
        return first, (path,)
    if name is None or name.number != 1 or name.count != n_split:
        raise BadModelError(
            f"{path}: the first of {n_split} shards, but not named so",
            hint=f"llama.cpp finds the others by name: call it NAME-00001-of-{n_split:05d}.gguf",
        )
    paths = tuple(name.path(i + 1) for i in range(n_split))
    rest = [_read_shard(p, i, n_split, read_one) for i, p in enumerate(paths[1:], start=1)]
    return join([first, *rest], paths), paths


def _read_shard(path: str, index: int, n_split: int, read_one: Callable[[str], Header]) -> Header:
    try:
        header = read_one(path)
    except MissingFileError as error:
        raise MissingFileError(
            f"{path}: shard {index + 1} of {n_split} is missing", hint=_SPLIT_AGAIN
        ) from error
    number, count = _number(header, "split.no"), _number(header, "split.count")
    if number != index or count not in (None, n_split):
        said = "says nothing of a split" if number is None else f"says it is {number + 1} of {count}"
        raise BadModelError(
            f"{path}: it is named shard {index + 1} of {n_split}, but its header {said}",
            hint="it belongs to another model: download this shard again",
        )
    return header


def join(headers: Sequence[Header], paths: Sequence[str]) -> Header:
    """One header with the metadata of the first shard and the tensors of all.

    Raises:
        BadModelError: a tensor appears in two shards, or their number is not what the first shard says.
    """
    seen: dict[str, int] = {}
    tensors: list[TensorInfo] = []
    for index, header in enumerate(headers):
        for tensor in header.tensors:
            if tensor.name in seen:
                raise BadModelError(
                    f"{paths[index]}: tensor {tensor.name!r} is also in {paths[seen[tensor.name]]}",
                    hint="the shards belong to different models: download them again",
                )
            seen[tensor.name] = index
            tensors.append(replace(tensor, shard=index) if index else tensor)
    claimed = _number(headers[0], "split.tensors.count")
    if claimed is not None and claimed != len(tensors):
        raise BadModelError(
            f"{paths[0]}: its {len(headers)} shards hold {len(tensors)} tensors, and it claims {claimed}",
            hint="a shard belongs to another model: download them again",
        )
    return replace(
        headers[0], tensors=tuple(tensors), shard_data_offsets=tuple(h.data_offset for h in headers)
    )


def _number(header: Header, key: str) -> int | None:
    value = header.metadata.get(key)
    return value.value if value is not None and isinstance(value.value, int) else None
