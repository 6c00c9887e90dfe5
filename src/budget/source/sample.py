"""Headers that ship with budget: real ones, without their vocabulary, compressed."""

from __future__ import annotations

from pathlib import Path

from budget.errors import UsageError
from budget.gguf.header import Header, parse_header
from budget.nearest import did_you_mean, nearest

FOLDER = Path(__file__).parent.parent / "data" / "samples"
"""One zlib-compressed GGUF header per model."""


def names(folder: Path = FOLDER) -> list[str]:
    """Samples that exist, by name."""
    return sorted(path.name.removesuffix(".gguf.z") for path in folder.glob("*.gguf.z"))


def open_sample(name: str, folder: Path = FOLDER) -> Header:
    """The header of sample `name`.

    Raises:
        UsageError: there is no such sample; the hint lists those there are.
    """
    known = names(folder)
    if name not in known:
        raise UsageError(f"no sample {name!r}", hint=_hint(name, known))
    import zlib

    return parse_header(zlib.decompress((folder / f"{name}.gguf.z").read_bytes()))


def _hint(name: str, known: list[str]) -> str:
    near = [f"sample:{known_name}" for known_name in nearest(name, known, n=1)]
    return did_you_mean(near, f"there are {', '.join(known)}")
