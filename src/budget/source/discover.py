"""Models on this machine: in the stores of the usual programs, and in folders."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from budget.source import gguf_names, hub_cache, ollama
from budget.source.errors import MissingFileError
from budget.source.gguf_names import GGUFFile, Kind
from budget.source.shards import shard_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One model that can be opened."""

    name: str
    """For people: the repository or the path below the folder, without what every name there shares."""
    spec: str
    """For `open_model`."""
    store: str
    """`Hugging Face`, `LM Studio`, `llama.cpp`, `Ollama`, or the folder or address that was searched."""
    kind: Kind = "model"
    file_bytes: int | None = None


def discover(
    places: Iterable[str] = (), *, stores: bool = True, env: Mapping[str, str] = os.environ
) -> Iterator[Found]:
    """Every model in `places`, and in the stores on this machine; each file once, shards joined.

    Args:
        places: folders, files, or addresses such as `s3://bucket/models`.
        stores: whether to look into the stores of Hugging Face, LM Studio, llama.cpp and Ollama.
        env: environment variables, which say where the stores are.

    Raises:
        MissingFileError: a place is not there.
        UsageError, NetworkError: an address cannot be searched.
    """
    seen: set[tuple[int, int]] = set()
    for place in places:
        if "://" in place and not place.startswith("file://"):
            yield from _in_address(place)
            continue
        path = Path(unquote(urlsplit(place).path) if "://" in place else place)
        if not path.exists():
            raise MissingFileError(
                f"{place}: no such file or folder", hint="name a folder that holds .gguf files"
            )
        yield from _once(_in_folder(path, place), seen)
    if stores:
        yield from _once(_in_hugging_face(env), seen)
        for folder in lm_studio_folders(env):
            yield from _once(_in_folder(folder, "LM Studio"), seen)
        yield from _once(_in_folder(llama_cpp_folder(env), "llama.cpp"), seen)
        for store in ollama.stores(env):
            yield from _in_ollama(store, seen)


def lm_studio_folders(env: Mapping[str, str] = os.environ) -> list[Path]:
    """Where LM Studio keeps models: below the home it points to, or its two default places (lmstudio.ai docs)."""
    home = Path(env.get("HOME") or Path.home())
    try:
        pointed = Path((home / ".lmstudio-home-pointer").read_text(encoding="utf-8").strip()) / "models"
    except (OSError, UnicodeDecodeError):
        pointed = home / ".lmstudio" / "models"
    folders = [pointed, home / ".cache" / "lm-studio" / "models"]
    return [folder for folder in folders if folder.is_dir()]


def llama_cpp_folder(env: Mapping[str, str] = os.environ) -> Path:
    """Where llama.cpp keeps models fetched by URL (common.cpp, `fs_get_cache_directory`)."""
    given = env.get("LLAMA_CACHE")
    if given:
        return Path(given)
    home = Path(env.get("HOME") or Path.home())
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "llama.cpp"
    base = env.get("LOCALAPPDATA") if sys.platform == "win32" else env.get("XDG_CACHE_HOME")
    return (Path(base) if base else home / ".cache") / "llama.cpp"


def _in_folder(folder: Path, store: str) -> Iterator[Found]:
    if folder.is_file():
        yield Found(
            name=folder.name,
            spec=str(folder),
            store=store,
            kind=gguf_names.kind_of(folder.name),
            file_bytes=_file_bytes(str(folder)),
        )
        return
    sizes: list[tuple[str, int | None]] = []
    for root, dirs, names in os.walk(folder, onerror=None):
        dirs.sort()
        for name in sorted(names):
            if name.lower().endswith(".gguf"):
                path = os.path.join(root, name)  # noqa: PTH118 (as os.walk gives it)
                sizes.append((path, _size(path)))
    for file in gguf_names.group(sizes):
        name = Path(gguf_names.stem_of(file.path)).relative_to(folder).as_posix()
        yield _found(file, name=name, spec=file.path, store=store)


def _in_hugging_face(env: Mapping[str, str]) -> Iterator[Found]:
    for repo, snapshot in hub_cache.HubCache(env).repos():
        for found in _in_folder(snapshot, "Hugging Face"):
            yield Found(
                name=f"{repo}/{found.name}", spec=found.spec, store=found.store, kind=found.kind,
                file_bytes=found.file_bytes,
            )  # fmt: skip


def _in_ollama(store: Path, seen: set[tuple[int, int]]) -> Iterator[Found]:
    from budget.errors import BadModelError

    for name, manifest in ollama.installed(store):
        try:
            path = ollama.blob_path(store, name)
        except BadModelError:
            path = manifest  # opening it will say what is wrong
        if path is not None and _first_time(str(path), seen):
            yield Found(
                name=str(name).removeprefix("ollama://"), spec=str(path), store="Ollama", file_bytes=_size(str(path))
            )  # fmt: skip


def _in_address(url: str) -> Iterator[Found]:
    from budget.source import stores

    for file in gguf_names.group(stores.find(url)):
        name = gguf_names.stem_of(file.path).removeprefix(url.rstrip("/")).strip("/")
        yield _found(file, name=name or file.path, spec=file.path, store=url)


def _found(file: GGUFFile, *, name: str, spec: str, store: str) -> Found:
    return Found(name=name, spec=spec, store=store, kind=file.kind, file_bytes=file.file_bytes)


def _once(found: Iterator[Found], seen: set[tuple[int, int]]) -> Iterator[Found]:
    """Leave out files met before under another name, through links."""
    for one in found:
        if _first_time(one.spec, seen):
            yield one


def _first_time(path: str, seen: set[tuple[int, int]]) -> bool:
    try:
        stat = os.stat(path)  # noqa: PTH116
    except OSError:
        return True  # a broken link or a missing shard: opening it will say so
    here = (stat.st_dev, stat.st_ino)
    if here in seen:
        return False
    seen.add(here)
    return True


def _file_bytes(path: str) -> int | None:
    """Size of the file at `path`, or of all shards where it is one; None where one of them is not there."""
    shard = shard_name(path)
    sizes = [_size(path)] if shard is None else [_size(shard.path(i + 1)) for i in range(shard.count)]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except OSError:
        return None
