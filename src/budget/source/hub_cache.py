"""The Hugging Face cache on this disk, which llama.cpp uses too."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

_REPO_PREFIX = "models--"


def default_folder(env: Mapping[str, str] = os.environ) -> Path:
    """Where downloads are kept.

    Source: llama.cpp, common/hf-cache.cpp, `get_cache_directory`; huggingface_hub, `constants.py`.
    """
    for name, below in (
        ("LLAMA_CACHE", ""), ("HF_HUB_CACHE", ""), ("HUGGINGFACE_HUB_CACHE", ""), ("HF_HOME", "hub"),
        ("XDG_CACHE_HOME", "huggingface/hub"),
    ):  # fmt: skip
        if env.get(name):
            return Path(env[name]).expanduser() / below
    return Path.home() / ".cache" / "huggingface" / "hub"


class HubCache:
    """Snapshots of repositories: `models--user--repo/snapshots/<commit>/<file>`, branches in `refs/`."""

    def __init__(self, env: Mapping[str, str] = os.environ) -> None:
        self.folder = default_folder(env)

    def snapshot(self, repo: str, revision: str) -> Path | None:
        """Folder of `repo` at a branch, tag or commit; None if it is not there."""
        base = self.folder / f"{_REPO_PREFIX}{repo.replace('/', '--')}"
        if ".." in Path(revision).parts or Path(revision).is_absolute():
            return None
        try:
            commit = (base / "refs" / revision).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            commit = revision
        if not commit or ".." in Path(commit).parts or Path(commit).is_absolute():
            return None
        path = base / "snapshots" / commit
        return path if path.is_dir() else None

    def file(self, repo: str, revision: str, path: str) -> Path | None:
        """One file of a snapshot; None if it was not downloaded."""
        folder = self.snapshot(repo, revision)
        if folder is None or ".." in Path(path).parts or Path(path).is_absolute():
            return None
        return folder / path if (folder / path).is_file() else None

    def files(self, repo: str, revision: str) -> list[tuple[str, int | None]]:
        """The .gguf files of a snapshot, with their sizes in bytes."""
        folder = self.snapshot(repo, revision)
        return sorted(_files(folder)) if folder is not None else []

    def repos(self) -> Iterator[tuple[str, Path]]:
        """Every repository on disk, and the snapshot folder of each of its commits."""
        for base in sorted(self.folder.glob(f"{_REPO_PREFIX}*")):
            repo = base.name.removeprefix(_REPO_PREFIX).replace("--", "/")
            for snapshot in sorted(base.glob("snapshots/*")):
                yield repo, snapshot


def _files(folder: Path) -> Iterator[tuple[str, int | None]]:
    for path in folder.rglob("*.gguf"):
        try:
            yield path.relative_to(folder).as_posix(), path.stat().st_size
        except OSError:  # a link whose blob is gone: not downloaded
            continue
