"""Models on the Hugging Face Hub, read without downloading them: `hf://user/repo[:quant]` and page addresses."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from budget.errors import BudgetError, NetworkError, UsageError
from budget.gguf.header import Header
from budget.source import gguf_names
from budget.source.errors import MissingFileError
from budget.source.gguf_names import GGUFFile
from budget.source.hub_cache import HubCache
from budget.source.hub_name import FORMS, HubName, endpoint, parse_name, parse_page

if TYPE_CHECKING:
    from budget.source.open import SourceInfo
    from budget.source.web import WebReader

_COMMIT = re.compile(r"[0-9a-f]{40}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubRepo:
    """The GGUF files of a repository at one commit."""

    name: HubName
    """With the commit as its revision, where the Hub gives it."""
    files: tuple[GGUFFile, ...]
    """Every model, projector and helper, shards joined."""

    @property
    def models(self) -> tuple[GGUFFile, ...]:
        """The quantisations: files that are models by themselves."""
        return tuple(file for file in self.files if file.kind == "model")

    @property
    def mmproj(self) -> tuple[GGUFFile, ...]:
        """Image and audio projectors, which belong to every model here."""
        return tuple(file for file in self.files if file.kind == "mmproj")

    def spec(self, file: GGUFFile) -> str:
        """How `file` is called on the command line; it stands for this very commit."""
        return str(replace(self.name, file=file.path, quant=None))

    def projector_of(self, model_path: str) -> str | None:
        """The projector that llama.cpp's `-hf` loads with the model at `model_path`, as an `hf://` name."""
        projector = gguf_names.projector_of(self.files, model_path)
        return None if projector is None else self.spec(projector)


def token(env: Mapping[str, str] = os.environ) -> str | None:
    """HF_TOKEN, or the content of the token file that `hf auth login` writes."""
    given = env.get("HF_TOKEN") or env.get("HUGGING_FACE_HUB_TOKEN")
    if given:
        return given.strip()
    base = env.get("XDG_CACHE_HOME")
    home = env.get("HF_HOME") or (Path(base) if base else Path.home() / ".cache") / "huggingface"
    path = Path(env.get("HF_TOKEN_PATH") or Path(home) / "token")
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


class Hub:
    """The Hub, its cache on this disk first."""

    def __init__(self, web: WebReader, env: Mapping[str, str] = os.environ) -> None:
        self.web = web
        self.endpoint = endpoint(env)
        self.cache = HubCache(env)
        self.projector: str | None = None
        """What `-hf` loads beside the model that was opened last, as an `hf://` name; None where nothing says."""
        self.offline = env.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
        self._token = token(env)

    def open(self, name: HubName) -> tuple[Header, int | None, tuple[str, ...]]:
        """The header of one model, its size in bytes, and where each of its files is.

        Without a quantisation it is the one llama.cpp takes: Q4_K_M, Q8_0, else the first.

        Raises:
            BadModelError: there is no such file, or it is no GGUF file.
            NetworkError: the Hub cannot be reached, or refuses.
        """
        path, revision = self._file(name)
        local = self.cache.file(name.repo, name.revision, path) or self.cache.file(name.repo, revision, path)
        if local is not None:
            try:
                return self._open_local(local)
            except MissingFileError:
                pass  # a shard was not downloaded: all of them are read from the Hub
        if self.offline:
            raise MissingFileError(
                f"{name}: not in the Hugging Face cache, and HF_HUB_OFFLINE is set",
                hint="unset HF_HUB_OFFLINE",
            )
        return self._open_remote(name.repo, revision, path)

    def list_files(self, name: HubName) -> HubRepo:
        """The GGUF files of a repository, from the Hub, or from the cache on disk where it cannot be reached.

        Raises:
            MissingFileError: there is no such repository or revision, or it holds no GGUF file.
            NetworkError: the Hub cannot be reached and nothing is on disk.
        """
        try:
            if self.offline:
                raise NetworkError(f"{name}: HF_HUB_OFFLINE is set", hint="unset it to ask the Hub")
            repo = self._list_remote(name)
        except NetworkError:
            on_disk = gguf_names.group(self.cache.files(name.repo, name.revision))
            if not on_disk:
                raise
            repo = HubRepo(name=replace(name, file=None, quant=None), files=tuple(on_disk))
        if not repo.files:
            raise MissingFileError(
                f"{name}: the repository holds no GGUF file",
                hint="look for a repository of the same model with GGUF in its name",
            )
        return repo

    def _file(self, name: HubName) -> tuple[str, str]:
        """Path and revision of the file that `name` means."""
        self.projector = None
        if name.file is not None:
            return name.file, name.revision
        if name.quant is not None:
            there = gguf_names.group(self.cache.files(name.repo, name.revision))
            on_disk = gguf_names.choose(there, name.quant)
            if on_disk is not None and not on_disk.missing:
                repo = HubRepo(name=replace(name, quant=None), files=tuple(there))
                self.projector = repo.projector_of(on_disk.path)
                return on_disk.path, name.revision
        repo = self.list_files(name)
        chosen = gguf_names.choose(list(repo.files), name.quant)
        if chosen is None:
            has = ", ".join(dict.fromkeys(file.quant for file in repo.models)) or "no model"
            raise MissingFileError(f"{name}: the repository has no such quantisation", hint=f"it has {has}")
        self.projector = repo.projector_of(chosen.path)
        return chosen.path, repo.name.revision

    def _open_local(self, path: Path) -> tuple[Header, int | None, tuple[str, ...]]:
        from budget.source import local, shards

        header, paths = shards.read_all(str(path), lambda p: local.open_header(p, self.web.cache))
        return header, sum(local.file_bytes(p) for p in paths), paths

    def _open_remote(self, repo: str, revision: str, path: str) -> tuple[Header, int | None, tuple[str, ...]]:
        from budget.source import shards

        sizes: list[int | None] = []

        def read_one(part: str) -> Header:
            url = f"{self.endpoint}/{repo}/resolve/{quote(revision, safe='')}/{quote(part)}"
            header, file_bytes = self.web.header(
                url, headers=self._headers(), immutable=_COMMIT.match(revision) is not None
            )
            sizes.append(file_bytes)
            return header

        header, paths = shards.read_all(path, read_one)
        total = None if None in sizes else sum(size for size in sizes if size is not None)
        return header, total, paths

    def _list_remote(self, name: HubName) -> HubRepo:
        """One request for files, sizes and commit; two more where a server does not know that call."""
        base = f"{self.endpoint}/api/models/{name.repo}"
        revision = quote(name.revision, safe="")
        try:
            data = self._json(f"{base}/revision/{revision}?blobs=true", name)
            files = [(f["rfilename"], f.get("size")) for f in data["siblings"]]
            commit = data.get("sha")
        except (MissingFileError, KeyError, TypeError):
            data = self._json(f"{base}/tree/{revision}?recursive=true", name)
            files = [(f["path"], f.get("size")) for f in _dicts(data, name) if f.get("type") == "file"]
            commit = None
        if isinstance(commit, str) and _COMMIT.match(commit):
            name = replace(name, revision=commit)
        listed = gguf_names.group((path, size) for path, size in files if isinstance(path, str))
        return HubRepo(name=replace(name, file=None, quant=None), files=tuple(listed))

    def _json(self, url: str, name: HubName) -> Any:
        try:
            return self.web.json(url, headers=self._headers())
        except MissingFileError as error:
            raise MissingFileError(
                f"{name}: no such repository or revision on {self.endpoint}", hint="check the name"
            ) from error
        except NetworkError as error:
            if "(401)" in error.message:
                raise NetworkError(
                    f"{name}: no such repository, or it is private (401)",
                    hint="check the name; for a private one set HF_TOKEN, or run 'hf auth login'",
                ) from error
            raise

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}


def _dicts(data: object, name: HubName) -> list[dict[str, Any]]:
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise NetworkError(f"{name}: the Hub's listing is not understood", hint="check HF_ENDPOINT")
    return data


def open_all(
    repo: HubRepo, *, use_cache: bool = True, n_jobs: int = 4
) -> list[tuple[GGUFFile, tuple[Header, SourceInfo] | BudgetError]]:  # fmt: skip
    """Every quantisation of `repo` with its header, or with what is wrong with it; several at a time.

    The projector of each is the one that `-hf user/repo:quant` loads with it.
    """
    from concurrent.futures import ThreadPoolExecutor

    from budget.source.open import open_model

    def read(file: GGUFFile) -> tuple[GGUFFile, tuple[Header, SourceInfo] | BudgetError]:
        try:
            header, source = open_model(repo.spec(file), use_cache=use_cache, quiet=True)
        except BudgetError as error:
            return file, error
        return file, (header, replace(source, projector=repo.projector_of(file.path)))

    with ThreadPoolExecutor(n_jobs) as pool:
        return list(pool.map(read, repo.models))


def list_quants(spec: str, *, use_cache: bool = True) -> HubRepo:
    """The quantisations of the repository that `spec` names, before any of them is read.

    Raises:
        UsageError: `spec` is no `hf://` name and no page address.
        MissingFileError, NetworkError: as `Hub.list_files`.
    """
    from budget.source.cache import HeaderCache
    from budget.source.web import WebReader

    name = parse_name(spec) if spec.startswith("hf://") else parse_page(spec)
    if name is None:
        raise UsageError(f"not a model on the Hugging Face Hub: {spec!r}", hint=FORMS)
    with WebReader(HeaderCache() if use_cache else None) as web:
        return Hub(web).list_files(name)
