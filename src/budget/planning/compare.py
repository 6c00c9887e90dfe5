"""Two answers side by side: what each part takes in one and in the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from budget.units import format_size

PARTS = ("weights", "context", "compute", "output", "extras", "overhead", "reserve", "required")
"""Parts of a device in the objects of `budget fit --json`, the sum last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two."""

    name: str
    """The model, the flags, or the file that it comes from."""
    answer: Mapping[str, Any]
    """`budget/fit/v1`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartDifference:
    """One part of one device on both sides."""

    device: str
    part: str
    """One of `PARTS`."""
    a_bytes: int | None
    """None where A has no such device."""
    b_bytes: int | None

    @property
    def difference_bytes(self) -> int:
        """What B takes more, a missing device taking nothing."""
        return (self.b_bytes or 0) - (self.a_bytes or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FactDifference:
    """A setting, or a fact of the model, that is not the same on both sides."""

    name: str
    a: Any
    b: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything that differs, and every part of every device."""

    a: Side
    b: Side
    facts: tuple[FactDifference, ...]
    parts: tuple[PartDifference, ...]

    def required(self) -> list[PartDifference]:
        """The sums, one per device."""
        return [p for p in self.parts if p.part == "required"]


def compare(a: Side, b: Side) -> Comparison:
    """`a` and `b`, part by part; parts that neither has are left out."""
    facts = [
        *_facts(a.answer["model"], b.answer["model"], hidden=("path",)),
        *_facts(a.answer["settings"], b.answer["settings"]),
        *_facts(_budget(a.answer), _budget(b.answer)),
        *_facts(_machine(a.answer), _machine(b.answer)),
    ]
    parts = [
        part
        for device in _names(a.answer["devices"], b.answer["devices"])
        for part in _parts(device, _device(a, device), _device(b, device))
    ]
    return Comparison(a=a, b=b, facts=tuple(facts), parts=tuple(parts))


def _facts(a: Mapping[str, Any], b: Mapping[str, Any], *, hidden: Sequence[str] = ()) -> list[FactDifference]:
    return [
        FactDifference(name=name, a=a.get(name), b=b.get(name))
        for name in {**a, **b}
        if name not in hidden and a.get(name) != b.get(name)
    ]


def _budget(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"budget": answer["budget"].get("text")}


def _machine(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The devices and what each may hold, as one fact."""
    devices = [(d["name"], d.get("available_bytes")) for d in answer["devices"]]
    shown = (name if size is None else f"{name} {format_size(size)}" for name, size in devices)
    return {"devices": ", ".join(shown)}


def _names(a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]]) -> list[str]:
    """Device names in A's order, then those that only B has; the host last."""
    names = list(dict.fromkeys(d["name"] for d in (*a, *b)))
    return [*(n for n in names if n != "CPU"), *(n for n in names if n == "CPU")]


def _device(side: Side, name: str) -> Mapping[str, Any] | None:
    return next((d for d in side.answer["devices"] if d["name"] == name), None)


def _parts(device: str, a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> list[PartDifference]:
    found = []
    for part in PARTS:
        key = f"{part}_bytes"
        sizes = [None if side is None else int(side.get(key, 0)) for side in (a, b)]
        if any(sizes) or part == "required":
            found.append(PartDifference(device=device, part=part, a_bytes=sizes[0], b_bytes=sizes[1]))
    return found
