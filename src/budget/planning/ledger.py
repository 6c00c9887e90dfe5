"""The ledger of admitted models as plain data: reading, admission, release. The file is store/ledger.py's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from budget.errors import UsageError
from budget.nearest import one_of
from budget.planning.budget import Budget
from budget.planning.residents import Live, Resident, claims, credit
from budget.planning.usage import Shortfall, Usage, add_usage, check, unknown_devices
from budget.units import MAX_BYTES

SCHEMA = "budget/ledger/v1"
_KEYS = ("schema", "residents")
_RESIDENT_KEYS = ("name", "usage_bytes", "pid", "model", "n_ctx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Every model that was admitted and not released, in order of admission."""

    residents: tuple[Resident, ...] = ()

    def find(self, name: str) -> Resident | None:
        """The resident called `name`."""
        return next((r for r in self.residents if r.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The answer to one model that asks to be admitted."""

    admitted: bool
    ledger: Ledger
    """With the model where it was admitted, unchanged where not."""
    failures: tuple[Shortfall, ...] = ()
    unknown: tuple[str, ...] = ()
    """Devices whose memory is not known: nothing is admitted there."""


def admit(
    ledger: Ledger,
    resident: Resident,
    budget: Budget,
    *,
    replaces: str | None = None,
    live: Live | None = None,
    spare: Usage | None = None,
) -> Admission:
    """`resident` is admitted when its claim fits beside all others; what is not known admits nothing.

    Args:
        ledger: what was admitted before.
        resident: the new claim.
        budget: caps that all claims together must keep.
        replaces: a resident that is unloaded for it; its memory counts as free.
        live: what processes hold now.
        spare: bytes per device to be left free beside all claims (`--reserve`).

    Raises:
        UsageError: a resident of this name is there already, or `replaces` names none.
    """
    out = [] if replaces is None else [_resident(ledger, replaces)]
    left = tuple(r for r in ledger.residents if r not in out)
    if any(r.name == resident.name for r in left):
        raise UsageError(
            f"resident {resident.name!r} is in the ledger already",
            hint="release it first, replace it with --replace, or give this one another --name",
        )
    failures = check(
        budget,
        add_usage(resident.usage, spare or {}),
        claims(budget, left, live),
        reclaim=credit(budget, out, live),
    )
    unknown = unknown_devices(budget, resident.usage)
    if failures or unknown:
        return Admission(admitted=False, ledger=ledger, failures=failures, unknown=unknown)
    return Admission(admitted=True, ledger=Ledger(residents=(*left, resident)))


def release(ledger: Ledger, name: str) -> Ledger:
    """`ledger` without the resident called `name`.

    Raises:
        UsageError: there is none.
    """
    gone = _resident(ledger, name)
    return Ledger(residents=tuple(r for r in ledger.residents if r is not gone))


def without_dead(ledger: Ledger, is_alive: Callable[[int], bool]) -> Ledger:
    """`ledger` without residents whose process has ended; those without a process id stay."""
    return Ledger(residents=tuple(r for r in ledger.residents if r.pid is None or is_alive(r.pid)))


def _resident(ledger: Ledger, name: str) -> Resident:
    found = ledger.find(name)
    if found is None:
        names = ", ".join(r.name for r in ledger.residents) or "none"
        raise UsageError(f"no resident {name!r} in the ledger", hint=f"residents: {names}")
    return found


def to_object(ledger: Ledger) -> dict[str, Any]:
    """`budget/ledger/v1`."""
    return {
        "schema": SCHEMA,
        "residents": [
            {"name": r.name, "usage_bytes": dict(r.usage), "pid": r.pid, "model": r.model, "n_ctx": r.n_ctx}
            for r in ledger.residents
        ],
    }


def from_object(data: object, *, where: str) -> Ledger:
    """The ledger in `data`, every key and value checked.

    Raises:
        UsageError: another shape, an unknown key (named, with the nearest known one), a number out of range.
    """
    known = _mapping(data, where, _KEYS)
    if known.get("schema") != SCHEMA:
        raise UsageError(
            f"{where}: schema is {known.get('schema')!r}, not {SCHEMA!r}", hint="it is no ledger of budget"
        )
    rows = known.get("residents", [])
    if not isinstance(rows, list):
        raise UsageError(f"{where}: residents is no list")
    residents = tuple(_read_resident(row, f"{where}: residents[{i}]") for i, row in enumerate(rows))
    names = [r.name for r in residents]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{where}: two residents are called {name!r}")
    return Ledger(residents=residents)


def _read_resident(data: object, where: str) -> Resident:
    row = _mapping(data, where, _RESIDENT_KEYS)
    name, usage, model = row.get("name"), row.get("usage_bytes"), row.get("model")
    if not isinstance(name, str) or not name:
        raise UsageError(f"{where}: name is {name!r}, not a text")
    if not isinstance(usage, Mapping):
        raise UsageError(f"{where} ({name}): usage_bytes is no mapping of devices to bytes")
    if model is not None and not isinstance(model, str):
        raise UsageError(f"{where} ({name}): model is {model!r}, not a text")
    sizes = {str(device): _integer(size, f"{where} ({name}): {device}") for device, size in usage.items()}
    return Resident(
        name=name,
        usage={device: size or 0 for device, size in sizes.items()},
        pid=_integer(row.get("pid"), f"{where} ({name}): pid", optional=True),
        model=model,
        n_ctx=_integer(row.get("n_ctx"), f"{where} ({name}): n_ctx", optional=True),
    )


def _mapping(data: object, where: str, keys: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise UsageError(f"{where}: no JSON object")
    for key in data:
        if key not in keys:
            raise unknown_key(key, keys, where)
    return data


def unknown_key(key: object, keys: tuple[str, ...], where: str) -> UsageError:
    """The error for a key that nobody knows, with the nearest that somebody does."""
    return UsageError(f"{where}: unknown key {key!r}", hint=one_of(str(key), keys, "keys"))


def _integer(value: object, where: str, *, optional: bool = False) -> int | None:
    if value is None and optional:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_BYTES:
        raise UsageError(f"{where} is {value!r}, not a whole number from 0 to {MAX_BYTES}")
    return value
