"""A machine as a JSON file: what `budget devices --json` writes and `--machine` reads.

Checked by hand and not by a schema library: this is on the path of `budget max-ctx --machine FILE`,
where importing one would cost more than the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from budget.errors import MachineError
from budget.machine.device import Device, Host, Machine
from budget.nearest import one_of
from budget.units import MAX_BYTES

SCHEMA = "budget/machine/v1"
MAX_FILE_BYTES = 16 << 20
"""Largest machine file read; a real one is a few KiB."""

KINDS = ("gpu", "igpu", "accel", "cpu")
BACKENDS = ("cuda", "hip", "musa", "metal", "vulkan", "sycl", "cann", "opencl", "rpc", "cpu")

_SIZE, _TEXT, _NAME, _FLAG, _SOURCES, _WORDS = "size", "text", "name", "flag", "sources", "words"
_DEVICE_FIELDS: Mapping[str, str] = {
    "name": _NAME,
    "kind": _NAME,
    "backend": _NAME,
    "description": _NAME,
    "compute_capability": _TEXT,
    "total_bytes": _SIZE,
    "free_bytes": _SIZE,
    "uuid": _TEXT,
    "pci_id": _TEXT,
    "bandwidth_bytes_per_second": _SIZE,
    "unified": _FLAG,
    "alignment_bytes": _SIZE,
    "max_buffer_bytes": _SIZE,
    "remote_backend": _TEXT,
    "context_in_use": _FLAG,
    "sources": _SOURCES,
    "problem": _TEXT,
}
_HOST_FIELDS: Mapping[str, str] = {
    "ram_total_bytes": _SIZE,
    "ram_available_bytes": _SIZE,
    "cpu_features": _WORDS,
    "sources": _SOURCES,
}
_MACHINE_FIELDS = ("schema", "host", "devices", "notes")


def load_machine(path: str | Path) -> Machine:
    """The machine that the file at `path` describes.

    Raises:
        MachineError: the file cannot be read, is not JSON, or a field in it makes no sense; the message
            names the file and the field.
    """
    import json

    name = str(path)
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MachineError(
            f"cannot read the machine file {name}: {reason}", hint="`budget devices --json` writes one"
        ) from error
    if len(raw) > MAX_FILE_BYTES:
        raise MachineError(f"{name}: larger than {MAX_FILE_BYTES} bytes, no machine file is")
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise MachineError(
            f"{name}: not JSON: {error}", hint="`budget devices --json` writes a machine file"
        ) from error
    return machine_from_json(data, where=name)


def machine_from_json(data: Any, *, where: str = "machine") -> Machine:
    """A `Machine` from the JSON object of schema budget/machine/v1.

    Raises:
        MachineError: the message begins with `where` and names the field.
    """
    _Reader(where).object("", data)
    schema = data.get("schema")
    if schema != SCHEMA:
        raise MachineError(
            f"{where}: schema is {schema!r}, expected {SCHEMA!r}",
            hint="`budget devices --json` writes a machine file",
        )
    reader = _Reader(where)
    reader.known("", data, _MACHINE_FIELDS)
    return Machine(
        host=_host(reader, data.get("host", {})),
        devices=_devices(reader, data.get("devices", [])),
        notes=reader.words("notes", data.get("notes", [])),
    )


def machine_to_json(machine: Machine) -> dict[str, Any]:
    """The JSON object of schema budget/machine/v1; unknown is None. `machine_from_json` reads it back."""
    return {
        "schema": SCHEMA,
        "host": _plain(machine.host),
        "devices": [device_to_json(device) for device in machine.devices],
        "notes": list(machine.notes),
    }


def device_to_json(device: Device) -> dict[str, Any]:
    """One entry of `devices`."""
    return _plain(device)


def device_from_json(data: Any, *, where: str) -> Device:
    """One entry of `devices`; MachineError where a field makes no sense."""
    return _device(_Reader(where), "device", data)


def _plain(value: Any) -> dict[str, Any]:
    row = {field.name: getattr(value, field.name) for field in fields(value)}
    row["sources"] = dict(row["sources"])
    return {key: list(item) if isinstance(item, tuple) else item for key, item in row.items()}


def _host(reader: _Reader, data: Any) -> Host:
    values = reader.fields("host", data, _HOST_FIELDS)
    reader.not_over("host.ram_available_bytes", values, "ram_available_bytes", "ram_total_bytes")
    return Host(**values)


def _devices(reader: _Reader, data: Any) -> tuple[Device, ...]:
    if not isinstance(data, list):
        raise reader.wrong("devices", data, "a list")
    devices = tuple(_device(reader, f"devices[{i}]", item) for i, item in enumerate(data))
    names = [device.name for device in devices]
    for name in names:
        if names.count(name) > 1:
            raise MachineError(f"{reader.where}: devices: two are called {name!r}")
    return devices


def _device(reader: _Reader, at: str, data: Any) -> Device:
    values = reader.fields(at, data, _DEVICE_FIELDS)
    if not values.get("name"):
        raise MachineError(f"{reader.where}: {at}.name is missing", hint="such as CUDA0, MTL0 or Vulkan0")
    reader.one_of(f"{at}.kind", values.get("kind", "gpu"), KINDS)
    reader.one_of(f"{at}.backend", values.get("backend", "cuda"), BACKENDS)
    reader.not_over(f"{at}.free_bytes", values, "free_bytes", "total_bytes")
    return Device(**values)


class _Reader:
    """Takes values out of JSON and names the file and the field when one is wrong."""

    def __init__(self, where: str) -> None:
        self.where = where
        self._read: Mapping[str, Callable[[str, Any], Any]] = {
            _SIZE: self.size, _TEXT: self.text, _NAME: self.name, _FLAG: self.flag,
            _SOURCES: self.sources, _WORDS: self.words,
        }  # fmt: skip

    def wrong(self, at: str, value: Any, expected: str) -> MachineError:
        shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
        return MachineError(f"{self.where}: {at or 'the file'} is {shown}, expected {expected}")

    def object(self, at: str, value: Any) -> None:
        if not isinstance(value, dict):
            raise self.wrong(at, value, "an object")

    def known(self, at: str, data: Mapping[str, Any], names: tuple[str, ...]) -> None:
        for key in data:
            if key not in names:
                raise MachineError(
                    f"{self.where}: unknown key {f'{at}.{key}'.lstrip('.')!r}",
                    hint=one_of(key, names, "known"),
                )

    def fields(self, at: str, data: Any, kinds: Mapping[str, str]) -> dict[str, Any]:
        """Every known field of `data`, checked; one that is absent keeps the dataclass's default."""
        self.object(at, data)
        self.known(at, data, tuple(kinds))
        return {key: self._read[kinds[key]](f"{at}.{key}", value) for key, value in data.items()}

    def size(self, at: str, value: Any) -> int | None:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong(at, value, "a whole number of bytes, or null where it is unknown")
        if not 0 <= value <= MAX_BYTES:
            raise self.wrong(at, value, "0 to 8 EiB")
        return value

    def text(self, at: str, value: Any) -> str | None:
        return None if value is None else self.name(at, value)

    def name(self, at: str, value: Any) -> str:
        if not isinstance(value, str):
            raise self.wrong(at, value, "a string")
        return value

    def flag(self, at: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise self.wrong(at, value, "true or false")
        return value

    def words(self, at: str, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise self.wrong(at, value, "a list of strings")
        return tuple(value)

    def sources(self, at: str, value: Any) -> Mapping[str, str]:
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            raise self.wrong(at, value, "an object of strings")
        return value

    def one_of(self, at: str, value: str, names: tuple[str, ...]) -> None:
        if value not in names:
            raise MachineError(
                f"{self.where}: {at} is {value!r}, expected one of {', '.join(names)}",
                hint=one_of(value, names, "known"),
            )

    def not_over(self, at: str, values: Mapping[str, Any], small: str, large: str) -> None:
        """`small` may not be over `large`, where both are known."""
        less, more = values.get(small), values.get(large)
        if less is not None and more is not None and less > more:
            raise MachineError(f"{self.where}: {at} is {less}, more than {large} {more}")
