"""Headers of local files, read through a memory map so that only the pages of the header are touched."""

from __future__ import annotations

import errno
import mmap
import os
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

from budget.errors import BadModelError
from budget.gguf.header import Header, parse_header
from budget.nearest import nearest
from budget.source.errors import MissingFileError
from budget.units import MiB

if TYPE_CHECKING:
    from budget.source.cache import HeaderCache


SLOW_HEADER_BYTES = 1 * MiB
"""Headers from this size on are worth a cache entry; shorter ones parse in less time than one takes to read."""
_SETTLED_S = 2.0
"""A file changed more recently may change again without a new time stamp, on file systems with coarse ones."""


def open_header(path: str | os.PathLike[str], cache: HeaderCache | None = None) -> Header:
    """The header of one local file; tensor data must lie within the file.

    Args:
        path: the file.
        cache: headers read before; a file of the same path, size, time and inode is not parsed again.

    Raises:
        BadModelError: the file is missing, unreadable, empty, or no GGUF file that llama.cpp would load.
    """
    name = os.fspath(path)
    try:
        mode = os.stat(name).st_mode  # noqa: PTH116
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # opening a pipe would wait for its writer
            raise BadModelError(f"{name}: not a regular file", hint="save the model to a file first")
        with open(name, "rb") as file:  # noqa: PTH123 (pathlib adds nothing but start-up time)
            found = os.fstat(file.fileno())
            if cache is None or found.st_size < SLOW_HEADER_BYTES:
                return _header(name, file.fileno())
            return _cached(name, file.fileno(), found, cache)
    except OSError as error:
        raise unreadable(name, error) from error
    except ValueError as error:  # a null byte
        raise MissingFileError(f"{name!r}: no such file ({error})", hint="check the path") from error


def _cached(name: str, fd: int, found: os.stat_result, cache: HeaderCache) -> Header:
    key = f"file:{os.path.abspath(name)}"  # noqa: PTH100
    validator = f"{found.st_size}:{found.st_mtime_ns}:{found.st_dev}:{found.st_ino}"
    known = cache.header(key)
    if known is not None and known.validator == validator:
        return known.header
    header = _header(name, fd)
    if header.data_offset >= SLOW_HEADER_BYTES and time.time() - found.st_mtime > _SETTLED_S:
        cache.put_header(key, header, validator=validator, file_bytes=found.st_size)
    return header


def file_bytes(path: str | os.PathLike[str]) -> int:
    """Size of a local file, bytes."""
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except OSError as error:
        raise unreadable(os.fspath(path), error) from error


def _header(name: str, fd: int) -> Header:
    size_bytes = os.fstat(fd).st_size
    if size_bytes == 0:
        raise BadModelError(
            f"{name}: the file is empty", hint="the download did not start: download it again"
        )
    with mmap.mmap(fd, 0, access=mmap.ACCESS_READ) as buf:
        try:
            return parse_header(buf, file_bytes=size_bytes)
        except BadModelError as error:
            raise error.at(name) from error


def unreadable(name: str, error: OSError) -> BadModelError:
    """What the operating system's `error` means for the user."""
    if error.errno == errno.ENOENT:
        return MissingFileError(f"{name}: no such file", hint=_missing_hint(name))
    if error.errno in (errno.EISDIR, errno.EACCES) and Path(name).is_dir():
        return BadModelError(f"{name}: this is a folder", hint=_folder_hint(name))
    if error.errno in (errno.EACCES, errno.EPERM):
        return BadModelError(f"{name}: permission denied", hint="make the file readable for this user")
    return BadModelError(f"{name}: {error.strerror or error}", hint="check the path and the disk")


def _missing_hint(name: str) -> str:
    path = Path(name)
    try:
        others = [p.name for p in path.parent.iterdir() if p.suffix == ".gguf"]
    except OSError:
        return f"there is no folder {path.parent}" if not path.parent.is_dir() else "check the path"
    near = nearest(path.name, others, n=1)
    if near:
        return f"did you mean {path.parent / near[0]}?"
    return "check the path; sample:llama-3.1-8b works without any file"


def _folder_hint(name: str) -> str:
    try:
        found = sorted(p.name for p in Path(name).iterdir() if p.suffix == ".gguf")
    except OSError:
        found = []
    if found:
        return f"pass a file in it, such as {Path(name) / found[0]}"
    return "pass a .gguf file; 'budget scan FOLDER' lists the models below a folder"
