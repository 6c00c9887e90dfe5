"""What a user calls a model, and the header it stands for."""

from __future__ import annotations

from dataclasses import dataclass

from budget.errors import UsageError
from budget.gguf.header import Header
from budget.source import local, shards


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInfo:
    """Where a header came from."""

    location: str
    """The text as given."""
    file_bytes: int | None
    """Size of the file, bytes, over all shards; None where it is not known."""
    n_shards: int = 1
    """Files the model consists of."""


def open_model(spec: str) -> tuple[Header, SourceInfo]:
    """The header of the model that `spec` names.

    Args:
        spec: a path, the first shard of a split model, `sample:NAME`, `https://...`, `hf://user/repo...` or
            `ollama://name:tag`.

    Raises:
        BadModelError: the file cannot be read as a GGUF model.
        UsageError: `spec` is empty, or of a kind that budget does not know.
        NetworkError: a remote file cannot be reached.
    """
    if not spec:
        raise UsageError("the model is an empty text", hint="pass a .gguf file, or sample:llama-3.1-8b")
    scheme, colon, rest = spec.partition(":")
    if colon and scheme == "sample":
        return _sample(spec, rest)
    if rest.startswith("//"):
        raise UsageError(
            f"cannot read {scheme}:// addresses: {spec!r}",
            hint="pass a local path, https://, hf:// or ollama://",
        )
    return _local(spec)


def _sample(spec: str, name: str) -> tuple[Header, SourceInfo]:
    from budget.source.sample import open_sample

    header = open_sample(name)
    last = header.tensors[-1]
    return header, SourceInfo(location=spec, file_bytes=header.data_offset + last.offset + last.nbytes)


def _local(path: str) -> tuple[Header, SourceInfo]:
    header, paths = shards.read_all(path, local.open_header)
    return header, SourceInfo(
        location=path, file_bytes=sum(local.file_bytes(p) for p in paths), n_shards=len(paths)
    )
