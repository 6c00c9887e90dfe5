"""The catalogue of hardware: cards, chips, cloud instances and CI runners that are not here.

The data is `budget/data/accelerators.json`, one entry per line, read on first use. An entry's `confidence` is
`high` where its memory was seen in a driver's own output, `low` where it is the figure on the box; `source`
says which.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from budget.errors import MachineError, UsageError
from budget.units import GiB, format_size, parse_size

DATA = Path(__file__).parent.parent / "data" / "accelerators.json"
DEVICE_KINDS = ("gpu", "apu", "soc", "mig-profile")
MACHINE_KINDS = ("machine", "instance", "ci-runner", "soc", "apu")
SIZE_TOLERANCE = 0.04
"""A size names the variant within this share of it: boxes round, drivers keep some, `80GB` means either."""
VENDOR_WORDS = ("nvidia", "geforce", "amd", "intel", "apple")
PROVIDERS = ("aws", "gcp", "azure", "github")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the catalogue."""

    id: str
    kind: str
    """`gpu apu soc mig-profile machine instance ci-runner`."""
    name: str
    vendor: str
    confidence: str
    """Of the memory: `high`, `medium` or `low`."""
    source: str
    aliases: tuple[str, ...] = ()
    category: str = ""
    arch: str = ""
    provider: str | None = None
    compute_capability: str | None = None
    gfx: str | None = None
    memory_nominal_gib: float | None = None
    """What the box says, GiB."""
    memory_bytes: int | None = None
    """What the driver's own tool shows."""
    plan_total_bytes: int | None = None
    """What llama.cpp sees as total."""
    plan_basis: str = ""
    ecc_variant_bytes: int | None = None
    memory_type: str | None = None
    memory_bandwidth_gbps: float | None = None
    """10^9 bytes per second."""
    bandwidth_confidence: str | None = None
    unified_memory: bool = False
    llama_cpp_backends: tuple[str, ...] = ()
    gpus: tuple[tuple[str, int], ...] = ()
    """Of a machine: (id of the device, how many)."""
    vcpus: int | None = None
    ram_bytes: int | None = None
    """Of a machine, as advertised."""
    kubernetes_allocatable_ram_bytes: int | None = None
    physical_bytes: int | None = None
    """RAM of a chip whose devices share it."""
    notes: str = ""


@functools.cache
def entries() -> tuple[Entry, ...]:
    """The whole catalogue."""
    import json

    return tuple(_entry(row) for row in json.loads(DATA.read_bytes()))


def _entry(row: Mapping[str, Any]) -> Entry:
    lists = {key: tuple(row[key]) for key in ("aliases", "llama_cpp_backends") if key in row}
    gpus = tuple((gpu["ref"], gpu["count"]) for gpu in row.get("gpus", ()))
    return Entry(**{**row, **lists, "gpus": gpus})


def normal_name(text: str) -> str:
    """`NVIDIA GeForce RTX(TM) 3060-12GB` -> `nvidiageforcertx306012gb`: letters, digits, . and +."""
    lowered = text.lower().replace("(r)", "").replace("(tm)", "")
    return re.sub(r"[^a-z0-9.+]", "", lowered)


def _without_vendor(name: str) -> str:
    for word in VENDOR_WORDS:
        name = name.removeprefix(word)
    return name


@functools.cache
def _index() -> Mapping[str, tuple[Entry, ...]]:
    """Entries by every normal form of every name they go by."""
    index: dict[str, list[Entry]] = {}
    for entry in entries():
        names = {normal_name(name) for name in (entry.id, entry.name, *entry.aliases)}
        for name in names | {_without_vendor(name) for name in names}:
            index.setdefault(name, []).append(entry)
    return {name: tuple(found) for name, found in index.items()}


def find(text: str, *, kinds: Sequence[str] = DEVICE_KINDS) -> tuple[Entry, ...]:
    """Every entry of `kinds` that `text` can mean: one, several where it is ambiguous, or none.

    `text` is an id, a name, an alias, or one of these with a size (`h100:80GiB`) or a provider
    (`aws:g6e.xlarge`).
    """
    found = _lookup(text, kinds)
    head, colon, tail = text.rpartition(":")
    if found or not colon:
        return found
    if head.strip().lower() in PROVIDERS:
        return tuple(entry for entry in _lookup(tail, kinds) if entry.provider == head.strip().lower())
    try:
        size_bytes = parse_size(tail)
    except UsageError:
        return ()
    return _of_size(_lookup(head, kinds), size_bytes)


def _lookup(text: str, kinds: Sequence[str]) -> tuple[Entry, ...]:
    exact = [entry for entry in entries() if entry.id == text and entry.kind in kinds]
    if exact:
        return tuple(exact)
    name = normal_name(text)
    for key in (name, _without_vendor(name)):
        found = tuple(entry for entry in _index().get(key, ()) if entry.kind in kinds)
        if found:
            return found
    return ()


def _of_size(found: Iterable[Entry], size_bytes: int) -> tuple[Entry, ...]:
    """The entry of that size; where several of one chip have it, the one with the least memory."""
    near = [entry for entry in found if _is_near(entry, size_bytes)]
    if len({(entry.arch, entry.compute_capability, entry.gfx) for entry in near}) == 1:
        near.sort(key=lambda entry: entry.plan_total_bytes or 0)
        return (near[0],)
    return tuple(near)


def _is_near(entry: Entry, size_bytes: int) -> bool:
    nominal_gib = entry.memory_nominal_gib
    nominal = [] if nominal_gib is None else [nominal_gib * GiB, nominal_gib * 10**9]
    sizes = [*nominal, entry.memory_bytes, entry.plan_total_bytes]
    return any(size and abs(size - size_bytes) <= SIZE_TOLERANCE * size for size in sizes)


def resolve(text: str, *, kinds: Sequence[str] = DEVICE_KINDS) -> Entry:
    """The one entry that `text` means.

    Raises:
        MachineError: it means several, which are listed, or none; near names are listed then.
    """
    found = find(text, kinds=kinds)
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(f"{entry.id} ({_size_text(entry)})" for entry in found)
        raise MachineError(
            f"{text!r} can be several: {listed}",
            hint=f"name one of them, or its size: {text.rstrip(': ').replace(' ', '-')}:{_size_of(found[0])}",
        )
    raise MachineError(f"the catalogue has no {text!r}", hint=_near(text, kinds))


def _of_provider(text: str, kinds: Sequence[str], n: int = 5) -> tuple[str, ...]:
    """Machines of the provider that `aws:foo` names, those with a similar name first."""
    head, colon, tail = text.partition(":")
    provider = head.strip().lower()
    if not colon or provider not in PROVIDERS:
        return ()
    own = [entry.id for entry in entries() if entry.provider == provider and entry.kind in kinds]
    near = [ref for ref in near_names(tail, kinds=kinds, n=50) if ref in own]
    return tuple(dict.fromkeys([*near, *own]))[:n]


def near_names(text: str, *, kinds: Sequence[str], n: int = 5) -> tuple[str, ...]:
    """Ids of the entries closest to `text`: its variants, names that hold it or begin it, similar names."""
    variants = _lookup(text.rpartition(":")[0] or text, kinds)
    wanted = normal_name(text)
    index = {
        name: [entry for entry in found if entry.kind in kinds]
        for name, found in _index().items()
        if any(entry.kind in kinds for entry in found)
    }
    holding = sorted((name for name in index if len(wanted) > 2 and wanted in name), key=len)
    held = sorted(
        (name for name in index if len(name) > 3 and wanted.startswith(name)), key=len, reverse=True
    )
    # looser than `budget.nearest`: what follows names that hold or begin the text is a list to choose from
    close = difflib.get_close_matches(wanted, index, n=2 * n, cutoff=0.5)
    ids = [entry.id for entry in variants]
    ids += [entry.id for name in (*holding, *held, *close) for entry in index[name]]
    return tuple(dict.fromkeys(ids))[:n]


def _near(text: str, kinds: Sequence[str]) -> str:
    near = _of_provider(text, kinds) or near_names(text, kinds=kinds)
    if near:
        return f"near: {', '.join(near)}; `budget hardware` lists all"
    if "gpu" not in kinds:
        return "`budget hardware` lists all; one that is not in it goes by its parts, such as --gpu 24GiB --ram 64GiB"
    return "`budget hardware` lists all; a card that is not in it goes by its size, such as --gpu 24GiB"


def _size_of(entry: Entry) -> str:
    return "80GiB" if entry.memory_nominal_gib is None else f"{entry.memory_nominal_gib:g}GiB"


def _size_text(entry: Entry) -> str:
    size_bytes = memory_bytes(entry)
    return "memory unknown" if size_bytes is None else format_size(size_bytes)


def memory_bytes(entry: Entry) -> int | None:
    """Device memory that llama.cpp sees, all devices together; RAM for a machine without one."""
    if entry.kind not in ("machine", "instance", "ci-runner"):
        return entry.plan_total_bytes
    sizes = [(by_id(ref).plan_total_bytes, count) for ref, count in entry.gpus]
    return sum((size or 0) * count for size, count in sizes) if sizes else entry.ram_bytes


@functools.cache
def _ids() -> Mapping[str, Entry]:
    return {entry.id: entry for entry in entries()}


def by_id(ref: str) -> Entry:
    """The entry of that id; KeyError where there is none."""
    return _ids()[ref]
