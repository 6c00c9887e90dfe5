"""The machine this process runs on, put together from one probe per vendor."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from budget.machine.device import Device, Host, Machine
from budget.machine.probe.driver import has_driver
from budget.machine.probe.host import probe_host
from budget.record import replace

Found = tuple[tuple[Device, ...], tuple[str, ...]]
Answers = dict[str, "dict[str, Any] | str"]
Ask = Callable[[Sequence[str], Path], Answers]
Run = Callable[[Sequence[str], float], str]

NO_GPU = "no GPU found: no NVIDIA, AMD, Intel or Apple driver is loaded here"


def probe_machine(
    *,
    root: Path = Path("/"),
    environ: Mapping[str, str] | None = None,
    platform: str = sys.platform,
    devices: bool = True,
    ask: Ask | None = None,
) -> Machine:
    """The machine this process runs on, as it is now.

    Args:
        root: the directory that holds `proc`, `sys` and `dev`.
        environ: the environment whose CUDA_, ROCm and Slurm variables count; this process's by default.
        platform: as `sys.platform`.
        devices: False reads the host alone, for plans without a GPU or with described ones.
        ask: runs the readers of `child.py` by name; child processes by default.

    A probe that fails becomes a note. A number that nobody knows is None.
    """
    if environ is None:
        import os

        environ = os.environ
    host, notes = probe_host(root, environ=environ, platform=platform)
    if not devices:
        return Machine(host=host, notes=notes)
    found, device_notes = probe_devices(root=root, environ=environ, platform=platform, host=host, ask=ask)
    devices_within = tuple(_within(host, device) for device in found)
    return Machine(host=host, devices=devices_within, notes=(*notes, *device_notes))


def probe_machine_with(
    program: str,
    *,
    root: Path = Path("/"),
    environ: Mapping[str, str] | None = None,
    platform: str = sys.platform,
    ask: Ask | None = None,
    run: Run | None = None,
) -> Machine:
    """This machine with the devices that `program --list-devices` prints (`--probe-with`), in its order.

    The probes add what that list does not say: targets, ids, bandwidth, and whether RAM is shared.

    Raises:
        MachineError: the program cannot be run, fails, takes too long, or is no llama.cpp.
    """
    from budget.machine.probe.llama_cpp import llama_cpp_devices, with_details

    listed = llama_cpp_devices(program, run=run)
    machine = probe_machine(root=root, environ=environ, platform=platform, ask=ask)
    notes = tuple(note for note in machine.notes if note != NO_GPU)
    if not listed:
        notes += (f"{program} lists no devices: it was built without a GPU backend, or sees no GPU",)
    devices = tuple(_within(machine.host, device) for device in with_details(listed, machine.devices))
    return Machine(host=machine.host, devices=devices, notes=notes)


def _within(host: Host, device: Device) -> Device:
    """A CUDA device that shares the RAM, inside the limits on this process's RAM.

    Drivers are reported not to charge such memory to a control group; the limit holds here all the same.
    """
    room_bytes = host.ram_available_bytes
    if not device.unified or device.backend != "cuda" or room_bytes is None or device.free_bytes is None:
        return device
    if device.free_bytes <= room_bytes:
        return device
    sources = {**device.sources, "free_bytes": host.sources.get("ram_available_bytes", "RAM")}
    return replace(device, free_bytes=room_bytes, sources=sources)


def probe_devices(
    *, root: Path, environ: Mapping[str, str], platform: str, host: Host, ask: Ask | None = None
) -> Found:
    """Every device of every vendor, and notes; nothing is started where no driver can be."""
    readers = _readers(root, platform)
    answers = (ask or _ask)(readers, root) if readers else {}
    found: list[Found] = []
    if "nvml" in answers:
        found.append(_nvidia(answers, root, environ, platform))
    found += [_listed(name, answers[name]) for name in ("amd", "intel") if name in answers]
    if "metal" in answers:
        found.append(_apple(answers["metal"], host))
    if platform == "win32":
        found.append(_windows())
    devices = tuple(device for some, _ in found for device in some)
    notes = tuple(note for _, some in found for note in some)
    return devices, notes if devices or notes else (NO_GPU,)


def _readers(root: Path, platform: str) -> tuple[str, ...]:
    """The readers of `child.py` worth starting here, by files that cost nothing to look at."""
    readers = ["nvml", "cuda"] if has_driver(root, platform=platform) else []
    if platform.startswith("linux"):
        from budget.machine.probe.drm import AMD, INTEL, drm_cards

        vendors = {card.vendor for card in drm_cards(root)}
        readers += [name for name, vendor in (("amd", AMD), ("intel", INTEL)) if vendor in vendors]
    if platform == "darwin":
        readers.append("metal")
    return tuple(readers)


def _listed(name: str, answer: Mapping[str, Any] | str) -> Found:
    """Devices and notes of a reader that works them out itself."""
    from budget.machine.file import device_from_json

    if isinstance(answer, str):
        return (), (f"{name}: {answer}",)
    devices = tuple(device_from_json(row, where=f"the {name} probe") for row in answer["devices"])
    return devices, tuple(answer["notes"])


def _apple(answer: Mapping[str, Any] | str, host: Host) -> Found:
    from budget.machine.probe.apple import MetalReport, apple_devices, sysctl_int, sysctl_text

    metal = MetalReport(problem=answer) if isinstance(answer, str) else MetalReport(**answer)
    return apple_devices(metal, sysctl_int, host, name=sysctl_text("machdep.cpu.brand_string"))


def _windows() -> Found:
    import importlib

    from budget.machine.probe.windows import registry_devices

    return registry_devices(importlib.import_module("winreg")), ()


def _nvidia(answers: Answers, root: Path, environ: Mapping[str, str], platform: str) -> Found:
    from budget.machine.probe.nvidia import nvidia_devices
    from budget.machine.probe.reports import cuda_report, nvml_report

    nvml, cuda = nvml_report(answers["nvml"]), cuda_report(answers["cuda"])
    found, notes = nvidia_devices(nvml, cuda, environ=environ, root=root, platform=platform)
    late = answers["cuda"]
    if isinstance(late, str) and found:
        notes += (f"CUDA: {late}; the order of the cards is NVML's",)
    return found, notes


def _ask(names: Sequence[str], root: Path) -> Answers:
    from budget.machine.probe.isolate import ask_drivers

    return ask_drivers(names, root)
