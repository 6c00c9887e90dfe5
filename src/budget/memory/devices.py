"""The devices llama.cpp would use, and which layer each of them gets."""

from __future__ import annotations

import math
import struct
from bisect import bisect_right
from collections.abc import Iterable

from budget.errors import MachineError, UnknownAnswerError, UsageError
from budget.machine.device import Device, Machine
from budget.model.facts import Model
from budget.record import replace
from budget.runtime.device_checks import numbered, refuse_repeated
from budget.runtime.settings import MAX_DEVICES, Settings
from budget.units import counted

ROW_SPLIT_BACKENDS = frozenset({"sycl", "hexagon"})
"""Backends that still export `ggml_backend_split_buffer_type` at the validated commit."""


def f32(x: float) -> float:
    """`x` rounded to IEEE single precision, as the split arithmetic is done."""
    return float(struct.unpack("f", struct.pack("f", x))[0])


def model_devices(settings: Settings, machine: Machine) -> tuple[Device, ...]:
    """`model.devices`: the devices that may hold layers, in llama.cpp's order.

    Raises:
        MachineError: `-dev` names a device that does not exist.
        UsageError: `-mg` is out of range, or the split mode is refused.

    Source: llama.cpp, `llama_prepare_model_devices`.
    """
    devices = _named(settings.devices, machine) if settings.devices is not None else _all(machine)
    if len(devices) > MAX_DEVICES:
        raise UsageError(
            f"{len(devices)} devices, llama.cpp uses at most {MAX_DEVICES}", hint="choose some with -dev"
        )
    if settings.split_mode == "none" and devices:
        if settings.main_gpu < 0:
            return ()
        return (_main_device(settings.main_gpu, devices, listed=settings.devices is not None),)
    if settings.split_mode == "row":
        for device in devices:
            if device.backend not in ROW_SPLIT_BACKENDS:
                raise UsageError(
                    f"-sm row: {device.name} does not support split buffers; llama.cpp refuses this",
                    hint="use -sm layer, or -sm tensor where the architecture allows it",
                )
    return devices


def _main_device(main_gpu: int, devices: tuple[Device, ...], *, listed: bool) -> Device:
    """Device number `main_gpu`; on a machine that lists only some devices, the one so numbered in its name.

    Where `-dev` lists them, `-mg` counts along that list and nothing else.
    """
    if main_gpu < len(devices):
        return devices[main_gpu]
    named = [d for d in devices if d.name.partition("[")[0].endswith(str(main_gpu)) and not listed]
    if len(named) != 1:
        raise UsageError(
            f"-mg {main_gpu}: {numbered(len(devices))}",
            hint="give a number in that range, or leave -sm none away",
        )
    return named[0]


def _named(names: tuple[str, ...], machine: Machine) -> tuple[Device, ...]:
    by_name = {d.name.lower(): d for d in machine.devices}
    by_name.update({d.name.split("[")[0].lower(): d for d in machine.devices})
    for name in names:
        if name.lower() not in by_name:
            there = ", ".join(d.name for d in machine.devices) or "none"
            raise MachineError(f"-dev {name}: no such device", hint=f"devices here: {there}")
    refuse_repeated("-dev", names)
    return tuple(by_name[name.lower()] for name in names)


def _all(machine: Machine) -> tuple[Device, ...]:
    """RPC devices, then GPUs, then integrated ones where there is no GPU."""
    rpc: list[Device] = []
    gpus: list[Device] = []
    igpus: list[Device] = []
    for device in machine.devices:
        if device.kind in ("cpu", "accel"):
            continue
        if device.backend == "rpc":
            rpc.append(device)
        elif device.kind == "igpu":
            if not igpus or igpus[-1].backend == device.backend:
                igpus.append(device)
        elif device.pci_id is None or device.pci_id not in {
            g.pci_id for g in gpus if g.backend != device.backend
        }:
            gpus.append(device)
    return tuple(rpc + gpus + (igpus if not gpus else []))


def meta_device(devices: tuple[Device, ...]) -> Device:
    """The one device that `-sm tensor` makes of all.

    Source: ggml-backend-meta.cpp; the name is what `ggml_backend_dev_name` gives it.
    """
    return replace(
        devices[0],
        name="Meta()",
        total_bytes=_sum(d.total_bytes for d in devices),
        free_bytes=_sum(d.free_bytes for d in devices),
        alignment_bytes=None,
    )


def meta_parts(devices: tuple[Device, ...]) -> tuple[Device, ...]:
    """The devices behind the Meta device.

    A machine that lists llama.cpp's own Meta device does not say how many there are: it stands for two equal
    ones, the fewest that `-sm tensor` splits over.
    """
    if len(devices) != 1 or not devices[0].name.startswith("Meta("):
        return devices
    whole = devices[0]
    total, free = _half(whole.total_bytes), _half(whole.free_bytes)
    return tuple(
        replace(whole, name=f"{whole.name}:{i}", total_bytes=total, free_bytes=free) for i in range(2)
    )


def _half(size_bytes: int | None) -> int | None:
    return None if size_bytes is None else size_bytes // 2


def _sum(values: Iterable[int | None]) -> int | None:
    total = 0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def resolved_gpu_layers(settings: Settings, model: Model) -> int:
    """`-ngl` with auto and all resolved: the output layer counts as one."""
    return model.n_layer_all + 1 if settings.n_gpu_layers < 0 else settings.n_gpu_layers


def layer_devices(
    settings: Settings, model: Model, machine: Machine, devices: tuple[Device, ...]
) -> tuple[int | None, ...]:
    """Index of the device of layer 0..n_layer_all (the last is the output layer); None is the CPU.

    Raises:
        UsageError: a tensor split that makes no sense.
        UnknownAnswerError: the default split needs free memory that is not known.

    Source: llama-model.cpp, `load_tensors`, in its float32 arithmetic.
    """
    n_layers = model.n_layer_all + 1
    n_gpu_layers = resolved_gpu_layers(settings, model)
    if not devices:
        return (None,) * n_layers
    start = max(n_layers - n_gpu_layers, 0)
    active = min(n_gpu_layers, n_layers)
    shares = _splits(settings, machine, devices, needed=active > 0 and len(devices) > 1)
    points = _split_points(shares) if shares else [1.0]
    result: list[int | None] = []
    for il in range(n_layers):
        if il < start or il - start >= active:
            result.append(None)
        else:
            result.append(min(bisect_right(points, f32(f32(il - start) / f32(active))), len(devices) - 1))
    return tuple(result)


def _splits(
    settings: Settings, machine: Machine, devices: tuple[Device, ...], *, needed: bool
) -> list[float]:
    if settings.split_mode == "none":
        return [1.0] * len(devices)  # one device takes all, whatever the shares
    given = settings.tensor_split
    if len(given) > len(devices) and any(given[len(devices) :]):
        raise UsageError(
            f"-ts has {counted(len(given), 'share')} for {counted(len(devices), 'device')}",
            hint="give one share per device at most",
        )
    if any(share < 0 or not math.isfinite(share) for share in given):
        raise UsageError(f"-ts {','.join(f'{s:g}' for s in given)}: a share is negative or no number")
    if given and not any(given):
        raise UsageError(
            f"-ts {','.join(f'{s:g}' for s in given)}: every share is 0",
            hint="leave -ts away to split by free memory",
        )
    if given:
        return [*given, *([0.0] * len(devices))][: len(devices)]
    if not needed:
        return []
    shares = []
    for device in devices:
        free, total = device.free_bytes, device.total_bytes
        if free == 0 and total == 0:
            free = machine.host.ram_available_bytes
        if free is None:
            raise UnknownAnswerError(
                f"free memory of {device.name} is not known, so llama.cpp's default split is not either",
                hint="give the shares with -ts, or describe the machine with --machine or --gpu",
            )
        shares.append(f32(free))
    return shares if any(shares) else _full(devices)


def _full(devices: tuple[Device, ...]) -> list[float]:
    """Shares of devices of which none has memory free, by their size.

    llama.cpp divides by zero and loads nothing. What it would take shows what is short on each.
    """
    return (
        [f32(d.total_bytes or 0) for d in devices]
        if all(d.total_bytes for d in devices)
        else [1.0] * len(devices)
    )


def _split_points(shares: list[float]) -> list[float]:
    total = 0.0
    running = []
    for share in shares:
        total = f32(total + f32(share))
        running.append(total)
    if total == 0.0:
        raise UsageError("-ts: every share is 0 in single precision", hint="give larger shares")
    return [f32(point / total) for point in running]
