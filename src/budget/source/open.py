"""What a user calls a model, and the header it stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from budget.errors import UsageError
from budget.gguf.header import Header
from budget.record import record
from budget.source import local, shards

if TYPE_CHECKING:
    from budget.source.cache import HeaderCache

_KINDS = "pass a local path, https://, hf://, ollama:// or sample:"


@record
class SourceInfo:
    """Where a header came from."""

    location: str
    """The text as given."""
    file_bytes: int | None
    """Size of the file, bytes, over all shards; None where it is not known."""
    n_shards: int = 1
    """Files the model consists of."""
    projector: str | None = None
    """The projector in the model's repository, which llama.cpp's `-hf` loads too, as an `hf://` name."""
    path: str | None = None
    """The (first) file that was read: a path on this disk, a path in a repository, or an address."""


def open_model(spec: str, *, use_cache: bool = True, quiet: bool = False) -> tuple[Header, SourceInfo]:
    """The header of the model that `spec` names.

    Args:
        spec: a path, the first shard of a split model, `sample:NAME`, `https://...`, `hf://user/repo...`,
            `ollama://name:tag`, or an address that an installed fsspec knows, such as `s3://`.
        use_cache: whether headers read before may be used, and this one kept.
        quiet: no progress bar, even on a terminal.

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
    cache = _cache() if use_cache else None
    if not rest.startswith("//"):
        return _local(spec, cache)
    match scheme.lower():
        case "http" | "https":
            return _web(spec, cache, quiet)
        case "hf":
            return _hub(spec, spec, cache, quiet)
        case "ollama":
            return _ollama(spec, cache, quiet)
        case "file":
            from urllib.parse import unquote, urlsplit

            path = unquote(urlsplit(spec).path)
            if not path:
                raise UsageError(f"{spec} names no file", hint="write file:///folder/model.gguf")
            return _local(path, cache)
        case _:
            from budget.source.stores import open_stored

            return open_stored(spec, cache)


def _cache() -> HeaderCache:
    from budget.source.cache import HeaderCache

    return HeaderCache()


def _sample(spec: str, name: str) -> tuple[Header, SourceInfo]:
    from budget.source.sample import open_sample

    header = open_sample(name)
    last = header.tensors[-1]
    return header, SourceInfo(location=spec, file_bytes=header.data_offset + last.offset + last.nbytes)


def _local(path: str, cache: HeaderCache | None) -> tuple[Header, SourceInfo]:
    header, paths = shards.read_all(path, lambda p: local.open_header(p, cache))
    total = sum(local.file_bytes(p) for p in paths)
    return header, SourceInfo(location=path, file_bytes=total, n_shards=len(paths), path=path)


def _web(url: str, cache: HeaderCache | None, quiet: bool) -> tuple[Header, SourceInfo]:
    from budget.source.hub_name import parse_page
    from budget.source.web import WebReader

    page = parse_page(url)
    if page is not None:
        return _hub(url, str(page), cache, quiet)
    base, mark, query = url.partition("?")
    sizes: list[int | None] = []
    with WebReader(cache, quiet=quiet) as web:

        def read_one(address: str) -> Header:
            header, file_bytes = web.header(address + mark + query)
            sizes.append(file_bytes)
            return header

        header, paths = shards.read_all(base, read_one)
    total = None if None in sizes else sum(size for size in sizes if size is not None)
    return header, SourceInfo(location=url, file_bytes=total, n_shards=len(paths), path=url)


def _hub(spec: str, name: str, cache: HeaderCache | None, quiet: bool) -> tuple[Header, SourceInfo]:
    from budget.source.hub import Hub
    from budget.source.hub_name import parse_name
    from budget.source.web import WebReader

    with WebReader(cache, quiet=quiet) as web:
        hub = Hub(web)
        header, file_bytes, paths = hub.open(parse_name(name))
    return header, SourceInfo(
        location=spec, file_bytes=file_bytes, n_shards=len(paths), path=paths[0], projector=hub.projector
    )


def _ollama(spec: str, cache: HeaderCache | None, quiet: bool) -> tuple[Header, SourceInfo]:
    from budget.source.ollama import open_model as open_ollama
    from budget.source.ollama import parse_name
    from budget.source.web import WebReader

    with WebReader(cache, quiet=quiet) as web:
        header, file_bytes, path = open_ollama(parse_name(spec), web)
    return header, SourceInfo(location=spec, file_bytes=file_bytes, path=path)
