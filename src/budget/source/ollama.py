"""Models of Ollama: the local store first, then its registry, `ollama://[host/][namespace/]name[:tag]`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from budget.errors import BadModelError, UsageError
from budget.gguf.header import Header
from budget.source.errors import MissingFileError

if TYPE_CHECKING:
    from budget.source.web import WebReader

_MODEL = "application/vnd.ollama.image.model"
_PROJECTOR = "application/vnd.ollama.image.projector"
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*(:\d{1,5})?\Z")
_DIGEST = re.compile(r"sha256[:-][0-9a-f]{64}\Z")
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class OllamaName:
    """A full name, with Ollama's defaults filled in (ollama, types/model/name.go)."""

    host: str = "registry.ollama.ai"
    namespace: str = "library"
    name: str
    tag: str = "latest"

    def __str__(self) -> str:
        place = "" if self.host == "registry.ollama.ai" else f"{self.host}/"
        space = "" if not place and self.namespace == "library" else f"{self.namespace}/"
        return f"ollama://{place}{space}{self.name}:{self.tag}"

    @property
    def base_url(self) -> str:
        """Address of the model in its registry."""
        scheme = "http" if self.host.rpartition(":")[0] in _LOOPBACK or self.host in _LOOPBACK else "https"
        return f"{scheme}://{self.host}/v2/{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OllamaModel:
    """What a manifest says."""

    digest: str
    """Of the GGUF file."""
    file_bytes: int | None
    projector: str | None
    """Digest of the image part; None without one."""


def parse_name(spec: str) -> OllamaName:
    """What `ollama://...` means.

    Raises:
        UsageError: it is no such name.
    """
    text = spec.removeprefix("ollama://").removesuffix("/")
    head, slash, last = text.rpartition("/")
    name, _, tag = last.partition(":")
    host, _, namespace = head.rpartition("/")
    parts = {"name": name, "tag": tag or "latest", "namespace": namespace or "library"}
    if slash and not namespace:
        raise UsageError(f"not a model of Ollama: {spec!r}", hint="write ollama://name:tag")
    if not all(_PART.match(part) for part in parts.values()) or (host and not _HOST.match(host)):
        raise UsageError(
            f"not a model of Ollama: {spec!r}", hint="write ollama://name:tag, such as ollama://llama3.1:8b"
        )
    return OllamaName(host=host or "registry.ollama.ai", **parts)


def stores(env: Mapping[str, str] = os.environ) -> list[Path]:
    """Folders that may hold models: OLLAMA_MODELS, the user's, and those of the system service."""
    given = env.get("OLLAMA_MODELS")
    if given:
        return [Path(given).expanduser()]
    return [
        Path.home() / ".ollama/models",
        Path("/usr/share/ollama/.ollama/models"),
        Path("/var/lib/ollama/models"),
    ]


def open_model(
    name: OllamaName, web: WebReader, env: Mapping[str, str] = os.environ
) -> tuple[Header, int | None, str]:
    """The header of a model, its size in bytes, and the file or address it was read from.

    Raises:
        BadModelError: there is no such model, or its file is no GGUF file.
        NetworkError: it is not in the local store, and the registry cannot be reached.
    """
    for store in stores(env):
        path = blob_path(store, name)
        if path is not None:
            from budget.source import local

            return local.open_header(path, web.cache), local.file_bytes(path), str(path)
    return _open_remote(name, web)


def blob_path(store: Path, name: OllamaName) -> Path | None:
    """The GGUF file of `name` in a local store; None if it has no such model.

    Raises:
        BadModelError: the manifest is damaged.
    """
    path = store / "manifests" / name.host / name.namespace / name.name / name.tag
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise BadModelError(
            f"{path}: cannot be read ({error})", hint=f"run 'ollama pull {name.name}:{name.tag}'"
        ) from error
    return store / "blobs" / read_manifest(text, str(path)).digest.replace(":", "-")


def installed(store: Path) -> Iterator[tuple[OllamaName, Path]]:
    """Every model of a local store, with its manifest."""
    base = store / "manifests"
    for path in sorted(base.glob("*/*/*/*")):
        host, namespace, name, tag = path.relative_to(base).parts
        if path.is_file() and not tag.startswith("."):
            yield OllamaName(host=host, namespace=namespace, name=name, tag=tag), path


def read_manifest(content: str | dict[str, Any], where: str) -> OllamaModel:
    """The model layer of a manifest, as text or as parsed JSON.

    Raises:
        BadModelError: it is no manifest, or holds no GGUF model.
    """
    try:
        data = json.loads(content) if isinstance(content, str) else content
        layers = {layer["mediaType"]: layer for layer in reversed(data["layers"])}
        model, projector = layers.get(_MODEL), layers.get(_PROJECTOR)
        digests = [layer["digest"] for layer in (model, projector) if layer is not None]
        if not all(_DIGEST.match(digest) for digest in digests):
            raise ValueError("a digest is not sha256")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadModelError(
            f"{where}: not an Ollama manifest ({error})", hint="pull the model again"
        ) from error
    if model is None:
        raise BadModelError(
            f"{where}: the manifest holds no GGUF model",
            hint="only models that Ollama runs with llama.cpp can be read",
        )
    size = model.get("size")
    return OllamaModel(
        digest=model["digest"],
        file_bytes=size if isinstance(size, int) else None,
        projector=projector["digest"] if projector is not None else None,
    )


def _open_remote(name: OllamaName, web: WebReader) -> tuple[Header, int | None, str]:
    """Source: the OCI distribution API, as ollama's server/images.go uses it."""
    url = f"{name.base_url}/manifests/{name.tag}"
    try:
        data = web.json(url, headers={"Accept": _MANIFEST})
    except MissingFileError as error:
        raise MissingFileError(
            f"{name}: no such model here or in the registry", hint="check name and tag"
        ) from error
    model = read_manifest(data if isinstance(data, dict) else {}, url)
    blob = f"{name.base_url}/blobs/{model.digest}"
    header, file_bytes = web.header(blob, immutable=True)
    return header, file_bytes if file_bytes is not None else model.file_bytes, blob
