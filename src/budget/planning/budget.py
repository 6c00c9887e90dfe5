"""What memory may be used: unlimited, one pool, or a cap per device."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from budget.errors import MachineError, UsageError
from budget.machine.device import Machine
from budget.nearest import one_of
from budget.record import field, record
from budget.units import MAX_BYTES, counted, parse_size

HOST = "CPU"
"""The host's RAM as a device name; `ram` in a budget means it."""
HOST_NAMES = ("ram", "cpu", "host")
"""What users call it."""
RAM_FRACTION = 0.8
"""Share of available RAM that `auto` gives: the rest covers other programs' growth and the page cache."""

Mode = Literal["auto", "combined", "per_device", "unlimited"]


class _Unlimited:
    """No cap at all; a value of its own because None means unknown."""

    def __repr__(self) -> str:
        return "unlimited"

    def __reduce__(self) -> str:
        """The one there is, in a copy and in another process too."""
        return "UNLIMITED"


UNLIMITED = _Unlimited()
Cap = int | _Unlimited | None
"""Bytes, UNLIMITED, or None where it is not known."""


@record
class Budget:
    """Byte caps, resolved against a machine."""

    mode: Mode
    text: str
    """As the user wrote it."""
    caps: Mapping[str, Cap] = field(default_factory=dict)
    """Device name to cap; empty for `combined` and `unlimited`."""
    combined_bytes: int | None = None
    """The one pool of mode `combined`."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Device name to where its cap comes from."""

    def cap(self, device: str) -> Cap:
        """Bytes that may be used on `device`; None where its memory is not known."""
        if self.mode in ("unlimited", "combined"):
            return UNLIMITED
        return self.caps.get(device)


Entry = str | int | float | _Unlimited | None
"""Cap of one device as a user writes it: bytes, a size, `auto`, `unlimited`; None and infinity are unlimited."""
BudgetValue = Entry | Mapping[str, "Entry | Sequence[Entry] | Mapping[int, Entry]"] | Budget
"""A budget from Python: one entry for everything, or a mapping of `ram`, `vram` and device names."""


def resolve_budget(
    value: BudgetValue, machine: Machine, *, unnamed: Literal["auto", "unlimited"] = "auto"
) -> Budget:
    """The budget that `value` means on `machine`.

    `auto` is 80 % of usable RAM and the free memory of each GPU; `unlimited`; a size is one pool of RAM
    and VRAM together; a list caps single devices: `ram=64GiB,vram=24GiB:12GiB,CUDA1=auto`. From Python: an
    integer of bytes is the one pool, None and infinity are `unlimited`, and a mapping caps single devices:
    `{"ram": "auto", "vram": [24 * GiB, None], "CUDA2": "10GiB"}`, where `vram` is one cap for every GPU, one
    per GPU in order, or a mapping by GPU number.

    Args:
        value: text, or the Python values above; a `Budget` is passed through.
        machine: whose devices are meant; `auto` takes its free memory.
        unnamed: what a device gets that a list or mapping does not name.

    Raises:
        UsageError: a value that means nothing, quoted whole.
        MachineError: a device that is not there.
    """
    if isinstance(value, Budget):
        return value
    if isinstance(value, Mapping):
        return _per_device(str(dict(value)), machine, _mapped(value, machine), "per_device", unnamed)
    text = value.strip() if isinstance(value, str) else str(value)
    if isinstance(value, str) and "=" in text:
        return _per_device(value, machine, _entries(text, machine), "per_device", unnamed)
    if value == "auto" or text == "auto":
        return _per_device(text, machine, {}, "auto", unnamed)
    cap = _entry_bytes(value, text)
    if cap is UNLIMITED:
        return Budget(mode="unlimited", text="unlimited" if value is None else text)
    return Budget(mode="combined", text=text, combined_bytes=cap)  # type: ignore[arg-type]


def _entry_bytes(value: Entry, text: str) -> int | _Unlimited:
    """Bytes of one entry, or UNLIMITED.

    Raises:
        UsageError: a negative number, a fraction of a byte, or text that is no size.
    """
    if value is None or value is UNLIMITED or value == math.inf:
        return UNLIMITED
    if isinstance(value, str):
        stripped = value.strip()
        return UNLIMITED if stripped == "unlimited" else _size(stripped, text)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_BYTES:
        raise UsageError(
            f"budget {text}: {value!r} is no number of bytes",
            hint="give whole bytes from 0 on, a size such as '24GiB', 'auto', 'unlimited' or None",
        )
    return value


def _size(value: str, text: str) -> int:
    try:
        return parse_size(value)
    except UsageError as e:
        raise UsageError(
            f"--budget {text!r}: {e.message}",
            hint="write auto, unlimited, a size such as 24GiB, or a list such as ram=64GiB,vram=24GiB",
        ) from e


def _entries(text: str, machine: Machine) -> dict[str, Entry]:
    """Device name to the text of its cap."""
    names = {d.name.lower(): d.name for d in machine.devices}
    gpus = [d.name for d in machine.devices if d.kind in ("gpu", "igpu")]
    entries: dict[str, Entry] = {}
    for part in text.split(","):
        key, sep, value = part.partition("=")
        written, value = key.strip(), value.strip()
        key = written.lower()
        if not sep or not value:
            raise UsageError(
                f"--budget {text!r}: {part!r} is no DEVICE=SIZE", hint="such as vram=24GiB or CUDA0=10GiB"
            )
        if key in HOST_NAMES:
            targets = {HOST: value}
        elif key == "vram":
            targets = _vram(value, gpus, text)
        elif key in names:
            targets = {names[key]: value}
        else:
            raise _no_device(f"--budget {text!r}", written, machine)
        for name, target in targets.items():
            if name in entries:
                raise UsageError(f"--budget {text!r}: {name} is capped twice")
            entries[name] = target
    return entries


def _mapped(value: Mapping[str, object], machine: Machine) -> dict[str, Entry]:
    """Device name to its cap, from Python values."""
    text = str(dict(value))
    names = {d.name.lower(): d.name for d in machine.devices}
    gpus = [d.name for d in machine.devices if d.kind in ("gpu", "igpu")]
    entries: dict[str, Entry] = {}
    for key, cap in value.items():
        name = str(key).lower()
        if name in HOST_NAMES:
            entries[HOST] = cap  # type: ignore[assignment]
        elif name == "vram":
            entries |= _mapped_vram(cap, gpus, text)
        elif name in names:
            entries[names[name]] = cap  # type: ignore[assignment]
        else:
            raise _no_device(f"budget {text!r}", str(key), machine)
    return entries


def _mapped_vram(cap: object, gpus: list[str], text: str) -> dict[str, Entry]:
    if isinstance(cap, Mapping):
        try:
            numbered = {int(i): entry for i, entry in cap.items()}
        except (TypeError, ValueError) as e:
            raise UsageError(f"budget {text}: vram is keyed by GPU number: {e}") from e
    elif isinstance(cap, Sequence) and not isinstance(cap, str):
        numbered = dict(enumerate(cap))
    else:
        if cap != "auto":
            _entry_bytes(cap, text)  # type: ignore[arg-type]
        return dict.fromkeys(gpus, cap)  # type: ignore[arg-type]
    for i in numbered:
        if not 0 <= i < len(gpus):
            raise MachineError(
                f"budget {text}: there is no GPU {i}",
                hint=f"GPUs here: {', '.join(gpus) or 'none'}, numbered from 0",
            )
    return {gpus[i]: entry for i, entry in numbered.items()}


def _no_device(where: str, key: str, machine: Machine) -> MachineError:
    there = ["ram", "vram", *(d.name for d in machine.devices)]
    return MachineError(f"{where}: no device {key!r}", hint=one_of(key, there, "devices here"))


def _vram(value: str, gpus: list[str], text: str) -> dict[str, str]:
    shares = [share.strip() for share in value.split(":")]
    for share in shares:
        if share != "auto":
            _entry_bytes(share, text)
    if len(shares) == 1:
        return dict.fromkeys(gpus, value)
    if len(shares) > len(gpus):
        raise MachineError(
            f"--budget {text!r}: {counted(len(shares), 'GPU size')} for {counted(len(gpus), 'GPU')}",
            hint="give one size for all, or one per GPU in order",
        )
    return dict(zip(gpus, shares, strict=False))


def _per_device(
    text: str, machine: Machine, entries: dict[str, Entry], mode: Mode, unnamed: Literal["auto", "unlimited"]
) -> Budget:
    caps: dict[str, Cap] = {}
    sources: dict[str, str] = {}
    available = machine.host.ram_available_bytes
    automatic: dict[str, Cap] = {HOST: None if available is None else int(available * RAM_FRACTION)}
    origin = {HOST: f"{RAM_FRACTION:.0%} of available RAM"}
    for device in machine.devices:
        if device.kind in ("gpu", "igpu"):
            automatic[device.name] = device.free_bytes
            origin[device.name] = "free memory"
    for name, cap in automatic.items():
        entry = entries.get(name, "auto" if mode == "auto" else unnamed)
        if isinstance(entry, str) and entry.strip() == "auto":
            caps[name], sources[name] = cap, origin[name]
            continue
        caps[name] = _entry_bytes(entry, text)
        sources[name] = "unlimited" if caps[name] is UNLIMITED else "given"
    return Budget(mode=mode, text=text, caps=caps, sources=sources)
