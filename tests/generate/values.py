"""Names that a shell can offer: samples, hardware of the catalogue, architectures."""

from __future__ import annotations

from functools import cache

from budget.machine.catalog import DEVICE_KINDS, MACHINE_KINDS, VENDOR_WORDS, Entry, entries, find
from budget.model.architectures import ARCHITECTURES
from budget.source.sample import names

ADDRESSES = ("hf://", "https://", "ollama://")


@cache
def samples() -> tuple[str, ...]:
    return tuple(f"sample:{name}" for name in names())


@cache
def gpus() -> tuple[str, ...]:
    """One short name for each device: `rtx-4090`."""
    return tuple(sorted(_short(e, DEVICE_KINDS) for e in entries() if e.kind in DEVICE_KINDS))


@cache
def machines() -> tuple[str, ...]:
    """One name for each machine: `aws:g6e.xlarge`, `github:ubuntu-latest`, `m3-max-...`."""
    return tuple(sorted(_short(e, MACHINE_KINDS) for e in entries() if e.kind in MACHINE_KINDS))


def _short(entry: Entry, kinds: tuple[str, ...]) -> str:
    with_provider = [a for a in entry.aliases if ":" in a and " " not in a]
    ci = [f"github:{a}" for a in entry.aliases if entry.kind == "ci-runner" and " " not in a]
    bare = [entry.id.removeprefix(f"{word}-") for word in VENDOR_WORDS if entry.id.startswith(f"{word}-")]
    for name in (*with_provider, *ci, *bare):
        if find(name, kinds=kinds) == (entry,):
            return name
    return entry.id


@cache
def architectures() -> tuple[str, ...]:
    return tuple(sorted(ARCHITECTURES))
