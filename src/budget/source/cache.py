"""Headers that were read before, kept under XDG_CACHE_HOME.

An entry is one small file: a line with the format's version and a checksum, then compressed JSON. It is
written whole and renamed into place, so readers and writers need no lock; whatever does not validate is
no entry. A cache that cannot be read or written is slow, never wrong, and never an error.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from budget import __version__
from budget.gguf.header import Header
from budget.record import record
from budget.source.header_json import header_from_json, header_to_json

FORMAT = 1
"""Raised whenever the content of an entry changes."""
FRESH_S = 600.0
"""For so long a remote answer is believed without asking the server again. An address with a commit or a digest
in it is believed forever."""
MAX_ENTRIES = 4000
"""Above this the oldest go; an entry takes about 6 KB."""
_PRUNE_EVERY = 64
"""Entries are counted at one write in so many, since counting takes longer than writing."""
_SUFFIX = ".header"


@record
class CachedHeader:
    """A header as it was read, and what it was read from."""

    header: Header
    validator: str
    """ETag of a remote file, or size, time and inode of a local one."""
    file_bytes: int | None
    saved_s: float
    """When, seconds since the epoch."""

    def is_fresh(self, now_s: float | None = None) -> bool:
        """Whether it may be used without asking the server."""
        return 0 <= (time.time() if now_s is None else now_s) - self.saved_s < FRESH_S


@record
class CacheInfo:
    """What `budget cache info` prints."""

    folder: Path
    n_entries: int
    n_bytes: int


def default_folder(env: Mapping[str, str] = os.environ) -> Path:
    """`budget/headers` in XDG_CACHE_HOME, or in the platform's usual place."""
    base = env.get("XDG_CACHE_HOME") or env.get("LOCALAPPDATA")
    return (Path(base) if base else Path.home() / ".cache") / "budget" / "headers"


class HeaderCache:
    """Entries by key, in one folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = default_folder() if folder is None else folder

    def header(self, key: str) -> CachedHeader | None:
        """The header saved under `key`, if there is a valid one."""
        entry = self.get(key)
        if entry is None:
            return None
        try:
            saved = entry["value"]
            return CachedHeader(
                header=header_from_json(saved["header"]),
                validator=str(saved["validator"]),
                file_bytes=None if saved["file_bytes"] is None else int(saved["file_bytes"]),
                saved_s=float(entry["saved_s"]),
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            _note("cache entry for %s is not usable: %s", key, error)
            return None

    def put_header(self, key: str, header: Header, *, validator: str, file_bytes: int | None) -> None:
        """Save a header of one file (not a joined one)."""
        self.put(
            key, {"header": header_to_json(header), "validator": validator, "file_bytes": file_bytes}
        )  # fmt: skip

    def get(self, key: str) -> dict[str, Any] | None:
        """`{"value": ..., "saved_s": ...}` saved under `key`; None where there is nothing valid."""
        try:
            first, _, packed = self._path(key).read_bytes().partition(b"\n")
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                _note("the header cache cannot be read: %s", error)
            return None
        import json
        import zlib

        try:
            if first != _first_line(packed):
                return None
            entry = json.loads(zlib.decompress(packed))
        except (ValueError, zlib.error) as error:
            _note("cache entry for %s is not usable: %s", key, error)
            return None
        return entry if isinstance(entry, dict) and entry.get("key") == key else None

    def put(self, key: str, value: object) -> None:
        """Save anything that JSON can hold."""
        import json
        import tempfile
        import zlib

        packed = zlib.compress(json.dumps({"key": key, "saved_s": time.time(), "value": value}).encode(), 6)
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".tmp", delete=False) as file:
                file.write(_first_line(packed) + b"\n" + packed)
            os.replace(file.name, self._path(key))  # noqa: PTH105 (Path.replace is the same call)
            if zlib.crc32(packed) % _PRUNE_EVERY == 0:
                self.prune()
        except OSError as error:
            _note("the header cache cannot be written: %s", error)

    def info(self) -> CacheInfo:
        """How much there is."""
        sizes = [size for _, size, _ in self._entries()]
        return CacheInfo(folder=self.folder, n_entries=len(sizes), n_bytes=sum(sizes))

    def clear(self) -> int:
        """Remove everything, leftovers of interrupted writes too; how many entries there were."""
        entries = self._entries()
        _remove([path for path, _, _ in entries])
        _remove(list(self.folder.glob("*.tmp")))
        return len(entries)

    def _path(self, key: str) -> Path:
        """The file for `key`; two checksums name it, and the key inside settles collisions."""
        import zlib

        raw = key.encode("utf-8", "backslashreplace")
        return self.folder / f"{zlib.crc32(raw):08x}{zlib.adler32(raw):08x}{_SUFFIX}"

    def _entries(self) -> list[tuple[Path, int, float]]:
        """Path, size and time of every entry."""
        entries = []
        for path in self.folder.glob(f"*{_SUFFIX}"):
            try:
                stat = path.stat()
            except OSError:
                continue
            entries.append((path, stat.st_size, stat.st_mtime))
        return entries

    def prune(self) -> None:
        """Remove the oldest entries where there are too many."""
        entries = self._entries()
        if len(entries) > MAX_ENTRIES:
            entries.sort(key=lambda entry: entry[2])
            _remove([path for path, _, _ in entries[: len(entries) - MAX_ENTRIES * 9 // 10]])


def _first_line(packed: bytes) -> bytes:
    """What an entry of this version with this content starts with."""
    import zlib

    return f"budget header cache {FORMAT} {__version__} {zlib.crc32(packed):08x}".encode()


def _note(message: str, *args: object) -> None:
    """Log what went wrong; logging is loaded only then."""
    import logging

    logging.getLogger(__name__).info(message, *args)


def _remove(paths: list[Path]) -> None:
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            _note("cannot remove %s: %s", path, error)
