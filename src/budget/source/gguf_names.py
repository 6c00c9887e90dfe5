"""What the name of a .gguf file says: its quantisation, its place in a split, and whether it is a model.

The rules are llama.cpp's (common/download.cpp, `get_gguf_split_info`, `gguf_filename_is_model`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from budget.source.shards import shard_name

Kind = Literal["model", "mmproj", "draft", "other"]
"""`mmproj`: the image or audio part of a model. `draft`: a helper for speculative decoding."""

_TAG = re.compile(r"(?:[-.]|^)((?:UD-)?[A-Za-z0-9_]+)\Z")
_QUANT = re.compile(r"(?:UD-)?(?:I?Q\d|T?Q\d|TQ\d|BF16|FP?16|FP?32|MXFP4|NVFP4)", re.IGNORECASE)
_DRAFTS = ("mtp-", "eagle3-", "dflash-", "dspark-")
DEFAULT_QUANTS = ("Q4_K_M", "Q8_0")
"""What llama.cpp takes where no quantisation is asked for; then the first file."""


def kind_of(path: str) -> Kind:
    """What the file is for, by its name."""
    name = path.rsplit("/", 1)[-1].lower()
    if "mmproj" in name:
        return "mmproj"
    if "imatrix" in name or not name.endswith(".gguf"):
        return "other"
    return "draft" if any(mark in name for mark in _DRAFTS) else "model"


def quant_of(path: str) -> str:
    """The quantisation in the name, such as `Q4_K_M`, `UD-Q2_K_XL` or `BF16`; the whole stem without one."""
    stem = stem_of(path).rsplit("/", 1)[-1]
    match = _TAG.search(stem)
    if match is not None and _QUANT.match(match[1]):
        return match[1].upper()
    parts = [
        part for part in re.split(r"[-.]", stem) if _QUANT.fullmatch(part) or re.match(r"I?Q\d_", part, re.I)
    ]
    return parts[-1].upper() if parts else stem


def stem_of(path: str) -> str:
    """`path` without `.gguf` and without the number of a shard."""
    shard = shard_name(path)
    return shard.prefix if shard is not None else path.removesuffix(".gguf")


@dataclass(frozen=True, slots=True, kw_only=True)
class GGUFFile:
    """One model file, or all shards of one."""

    path: str
    """The file, or the first shard."""
    paths: tuple[str, ...]
    """Every shard, in order."""
    quant: str
    kind: Kind
    file_bytes: int | None
    """Sum over the shards; None where a size is not known."""
    missing: tuple[str, ...] = ()
    """Shards that are not there."""


def group(sizes: Iterable[tuple[str, int | None]]) -> list[GGUFFile]:
    """Files and sizes as models: shards joined, in the order of the listing."""
    known = dict(sizes)
    groups: dict[str, tuple[str, ...]] = {}
    for path in known:
        if not path.lower().endswith(".gguf"):
            continue
        shard = shard_name(path)
        paths = (path,) if shard is None else tuple(shard.path(i + 1) for i in range(shard.count))
        groups.setdefault(paths[0], paths)
    return [_group(paths, known) for paths in groups.values()]


def _group(paths: tuple[str, ...], known: dict[str, int | None]) -> GGUFFile:
    sizes = [known.get(path) for path in paths]
    total = None if None in sizes else sum(size for size in sizes if size is not None)
    return GGUFFile(
        path=paths[0],
        paths=paths,
        quant=quant_of(paths[0]),
        kind=kind_of(paths[0]),
        file_bytes=total,
        missing=tuple(path for path in paths if path not in known),
    )


def choose(files: list[GGUFFile], quant: str | None) -> GGUFFile | None:
    """The model with quantisation `quant`, or llama.cpp's choice without one; None if there is none.

    An exact name wins over llama.cpp's own rule, which takes the first path that holds the text before a
    dot or dash, and so would take BF16 for F16.
    """
    models = [file for file in files if file.kind == "model"]
    for wanted in (quant,) if quant else DEFAULT_QUANTS:
        for file in models:
            if file.quant.lower() == wanted.lower():
                return file
        pattern = re.compile(re.escape(wanted) + "[.-]", re.IGNORECASE)
        for file in models:
            if pattern.search(file.path):
                return file
    return models[0] if models and not quant else None


def projector_of(files: Iterable[GGUFFile], model_path: str) -> GGUFFile | None:
    """The projector that llama.cpp loads with the model at `model_path`; None where there is none for it.

    It lies in the model's folder or one above it, the deepest first; then its bits are the closest to the model's.

    Source: common/download.cpp, `find_best_sibling`.
    """
    folder = model_path.split("/")[:-1]
    bits = _bits_of(model_path)
    best: tuple[tuple[int, int], GGUFFile] | None = None
    for file in files:
        own = file.path.split("/")[:-1]
        if "mmproj" not in file.path or folder[: len(own)] != own:
            continue
        rank = (-len(own), abs(_bits_of(file.path) - bits))
        if best is None or rank < best[0]:
            best = rank, file
    return None if best is None else best[1]


def _bits_of(path: str) -> int:
    """The first number in the last word of a name, 4 in `Q4_K_M`; 0 without one.

    Source: common/download.cpp, `extract_quant_bits`.
    """
    tag = _TAG.search(stem_of(path).rsplit("/", 1)[-1])
    digits = re.search(r"[0-9]+", tag[1]) if tag is not None else None
    return 0 if digits is None else int(digits[0])
