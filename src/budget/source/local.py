"""Headers of local files, read through a memory map so that only the pages of the header are touched."""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path

from budget.errors import BadModelError
from budget.gguf.header import Header, parse_header
from budget.source.errors import MissingFileError


def open_header(path: str | os.PathLike[str]) -> Header:
    """The header of one local file; tensor data must lie within the file.

    Raises:
        BadModelError: the file is missing, unreadable, empty, or no GGUF file that llama.cpp would load.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:  # noqa: PTH123 (pathlib adds nothing but start-up time)
            return _header(name, file.fileno())
    except OSError as error:
        raise unreadable(name, error) from error


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
            raise named(name, error) from error


def named(name: str, error: BadModelError) -> BadModelError:
    """`error` with the name of the file in front."""
    return BadModelError(f"{name}: {error.message}", hint=error.hint)


def unreadable(name: str, error: OSError) -> BadModelError:
    """What the operating system's `error` means for the user."""
    if error.errno == errno.ENOENT:
        return MissingFileError(f"{name}: no such file", hint=_missing_hint(name))
    if error.errno in (errno.EISDIR, errno.EACCES) and Path(name).is_dir():
        return BadModelError(f"{name}: this is a folder", hint=_folder_hint(name))
    if error.errno in (errno.EACCES, errno.EPERM):
        return BadModelError(f"{name}: permission denied", hint="make the file readable for this user")
    if error.errno in (errno.ENODEV, errno.ESPIPE, errno.EINVAL):
        return BadModelError(
            f"{name}: not a regular file", hint="pass a .gguf file on a disk, not a pipe or device"
        )
    return BadModelError(f"{name}: {error.strerror or error}", hint="check the path and the disk")


def _missing_hint(name: str) -> str:
    from difflib import get_close_matches

    path = Path(name)
    try:
        others = [p.name for p in path.parent.iterdir() if p.suffix == ".gguf"]
    except OSError:
        return f"there is no folder {path.parent}" if not path.parent.is_dir() else "check the path"
    near = get_close_matches(path.name, others, n=1)
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
