"""Other stores, such as s3://, through fsspec and its plugins."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from budget.errors import BadModelError, NetworkError, UsageError
from budget.gguf.header import Header, read_header
from budget.source import shards
from budget.source.errors import MissingFileError

if TYPE_CHECKING:
    from budget.source.cache import HeaderCache
    from budget.source.open import SourceInfo


def open_stored(url: str, cache: HeaderCache | None = None) -> tuple[Header, SourceInfo]:
    """The header of a model in a store that fsspec knows.

    Raises:
        UsageError: fsspec or its plugin for this kind of address is not installed.
        BadModelError: there is no such file, or it is no GGUF file that llama.cpp would load.
        NetworkError: the store cannot be reached.
    """
    from budget.source.open import SourceInfo

    fs, path = file_system(url)
    sizes: list[int] = []

    def read_one(one: str) -> Header:
        header, file_bytes = _read(fs, one, f"{url.partition('://')[0]}://{one}", cache)
        sizes.append(file_bytes)
        return header

    header, paths = shards.read_all(path, read_one)
    return header, SourceInfo(location=url, file_bytes=sum(sizes), n_shards=len(paths), path=url)


def find(url: str) -> Iterator[tuple[str, int | None]]:
    """Every .gguf file below `url`, with its size in bytes.

    Raises:
        UsageError, NetworkError, MissingFileError: as `open_stored`.
    """
    fs, path = file_system(url)
    scheme = url.partition("://")[0]
    try:
        found = fs.find(path, detail=True)
    except Exception as error:
        raise _failure(url, error) from error
    for one, info in sorted(found.items()):
        if one.lower().endswith(".gguf"):
            yield f"{scheme}://{one.lstrip('/')}", info.get("size")


def file_system(url: str) -> tuple[Any, str]:
    """The fsspec file system for `url`, and the path in it."""
    scheme = url.partition("://")[0]
    hint = (
        "pass a local path, https://, hf:// or ollama://; for other stores: pip install 'gguf-budget[stores]'"
    )
    try:
        fsspec: Any = importlib.import_module("fsspec")
    except ImportError as error:
        raise UsageError(f"cannot read {scheme}:// addresses: {url!r}", hint=hint) from error
    try:
        fs, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise UsageError(
            f"cannot read {scheme}:// addresses: {error}", hint=f"install its plugin: {error}"
        ) from error
    except ValueError as error:
        raise UsageError(f"cannot read {scheme}:// addresses: {url!r}", hint=hint) from error
    except Exception as error:
        raise _failure(url, error) from error
    return fs, path


def _read(fs: Any, path: str, name: str, cache: HeaderCache | None) -> tuple[Header, int]:
    """The header and the size in bytes of one file."""
    try:
        info = fs.info(path)
        file_bytes = int(info["size"])
    except Exception as error:
        raise _failure(name, error) from error
    version = next(
        (str(info[key]) for key in ("ETag", "etag", "md5Hash", "mtime", "LastModified") if info.get(key)), ""
    )
    key, validator = f"store:{name}", f"{file_bytes}:{version}"
    known = cache.header(key) if cache is not None and version else None
    if known is not None and known.validator == validator:
        return known.header, file_bytes
    buf = bytearray()

    def read_prefix(n_bytes: int) -> bytes:
        if n_bytes > len(buf):
            buf.extend(fs.cat_file(path, start=len(buf), end=min(n_bytes, file_bytes)))
        return bytes(buf)

    try:
        header = read_header(read_prefix, file_bytes=file_bytes)
    except BadModelError as error:
        raise error.at(name) from error
    except Exception as error:
        raise _failure(name, error) from error
    if cache is not None and version:
        cache.put_header(key, header, validator=validator, file_bytes=file_bytes)
    return header, file_bytes


def _failure(url: str, error: Exception) -> BadModelError | NetworkError:
    """What the exception of a plugin means; each plugin has its own family of them."""
    if isinstance(error, FileNotFoundError):
        return MissingFileError(f"{url}: no such file", hint="check the address")
    if isinstance(error, PermissionError) or "credential" in str(error).lower():
        return NetworkError(f"{url}: access denied ({error})", hint="set the credentials of this store")
    return NetworkError(f"{url}: {type(error).__name__}: {error}", hint="check the address and the network")
