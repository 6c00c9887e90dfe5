"""Names of models on the Hugging Face Hub: `hf://user/repo[:quant]` and addresses of its pages."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import SplitResult, unquote, urlsplit

from budget.errors import UsageError
from budget.record import record

FORMS = "write hf://user/repo, hf://user/repo:Q4_K_M or hf://user/repo/file.gguf, with @revision if need be"
_HOSTS = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})
_PAGES = ("blob", "resolve", "raw", "tree")


@record
class HubName:
    """What an `hf://` name says."""

    repo: str
    """`user/repo`."""
    file: str | None = None
    """Path in the repository."""
    quant: str | None = None
    revision: str = "main"
    """Branch, tag or commit."""

    def __str__(self) -> str:
        at = "" if self.revision == "main" else f"@{self.revision}"
        tail = f"/{self.file}" if self.file else f":{self.quant}" if self.quant else ""
        return f"hf://{self.repo}{tail}{at}"


def endpoint(env: Mapping[str, str] = os.environ) -> str:
    """Address of the Hub, without a slash at the end: MODEL_ENDPOINT, HF_ENDPOINT, or huggingface.co.

    Source: llama.cpp, `common_get_model_endpoint`.
    """
    return (env.get("MODEL_ENDPOINT") or env.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def parse_name(spec: str) -> HubName:
    """What `hf://...` means.

    Raises:
        UsageError: it is no such name.
    """
    text = spec.removeprefix("hf://").strip("/")
    revision = "main"
    match = re.match(r"([^/@]+/[^/@:]+)@([^/:@]+)(.*)\Z", text)
    if match:
        text, revision = match[1] + match[3], unquote(match[2])
    else:
        text, at, tail = text.partition("@")
        if at:
            revision, colon, quant = tail.partition(":")
            text += colon + quant
    text, _, quant = text.partition(":")
    user, _, rest = text.partition("/")
    repo, _, file = rest.partition("/")
    if not user or not repo or not revision or (file and quant) or not _valid(user, repo):
        raise UsageError(f"not a model on the Hugging Face Hub: {spec!r}", hint=FORMS)
    if file and not file.lower().endswith(".gguf"):
        raise UsageError(f"not a GGUF file: {spec!r}", hint=FORMS)
    return HubName(repo=f"{user}/{repo}", file=unquote(file) or None, quant=quant or None, revision=revision)


def parse_page(url: str) -> HubName | None:
    """The model a pasted page address means, such as `https://huggingface.co/u/r/blob/main/m.gguf`; else None.

    Raises:
        UsageError: it is no address, or names no server.
    """
    parts = _split(url)
    if parts.hostname not in _HOSTS and parts.netloc != urlsplit(endpoint()).netloc:
        return None
    steps = [unquote(step) for step in parts.path.strip("/").split("/")]
    if len(steps) < 2 or not _valid(*steps[:2]) or steps[0] in ("api", "datasets", "spaces", "docs"):
        return None
    repo = f"{steps[0]}/{steps[1]}"
    if len(steps) == 2:
        return HubName(repo=repo)
    if steps[2] not in _PAGES or len(steps) < 4:
        return None
    file = "/".join(steps[4:])
    return HubName(repo=repo, file=file if file.lower().endswith(".gguf") else None, revision=steps[3])


def _split(url: str) -> SplitResult:
    """The parts of an address with a server in it."""
    hint = "check the address; it looks like https://server/model.gguf"
    try:
        parts = urlsplit(url)
        has_server = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise UsageError(f"not a usable address: {url!r} ({error})", hint=hint) from error
    if not has_server:
        raise UsageError(f"not a usable address: {url!r} names no server", hint=hint)
    return parts


def _valid(user: str, repo: str) -> bool:
    """Source: huggingface_hub, `validate_repo_id`."""
    return all(
        re.fullmatch(r"[A-Za-z0-9][\w.-]{0,95}", part, re.ASCII) and ".." not in part for part in (user, repo)
    )


def names_repo(spec: str) -> bool:
    """Whether `spec` stands for a whole repository, with all its quantisations."""
    if spec.startswith("hf://"):
        name: HubName | None = parse_name(spec)
    else:
        name = parse_page(spec) if spec.startswith(("https://", "http://")) else None
    return name is not None and name.file is None and name.quant is None
