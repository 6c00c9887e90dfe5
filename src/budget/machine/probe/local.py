"""The machine this process runs on, put together from one probe per vendor."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from budget.machine.device import Device, Host, Machine
from budget.machine.probe.driver import has_driver
from budget.machine.probe.host import probe_host

Found = tuple[tuple[Device, ...], tuple[str, ...]]
Ask = Callable[[Sequence[str]], dict[str, "dict[str, Any] | str"]]

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
        ask: runs the readers of driver libraries by name; child processes by default.

    A probe that fails becomes a note. A number that nobody knows is None.
    """
    if environ is None:
        import os

        environ = os.environ
    host, notes = probe_host(root, environ=environ, platform=platform)
    if not devices:
        return Machine(host=host, notes=notes)
    found, device_notes = probe_devices(root=root, environ=environ, platform=platform, host=host, ask=ask)
    return Machine(host=host, devices=found, notes=(*notes, *device_notes))


def probe_devices(
    *, root: Path, environ: Mapping[str, str], platform: str, host: Host, ask: Ask | None = None
) -> Found:
    """Every device of every vendor, and notes; no driver is loaded where none can be."""
    found: list[Found] = []
    if has_driver(root, platform=platform):
        found.append(_nvidia(root, environ, platform, ask or _ask))
    if platform.startswith("linux"):
        found += _drm(root, environ)
    elif platform == "darwin":
        found.append(_apple(host, ask or _ask))
    elif platform == "win32":
        found.append(_windows())
    devices = tuple(device for some, _ in found for device in some)
    notes = tuple(note for _, some in found for note in some)
    return devices, notes if devices or notes else (NO_GPU,)


def _drm(root: Path, environ: Mapping[str, str]) -> list[Found]:
    """AMD and Intel: sysfs alone; no library is loaded that could hang or crash."""
    from budget.machine.probe.drm import AMD, INTEL, drm_cards

    vendors = {card.vendor for card in drm_cards(root)}
    found: list[Found] = []
    if AMD in vendors:
        from budget.machine.probe.amd import amd_devices

        found.append(amd_devices(root, environ=environ))
    if INTEL in vendors:
        from budget.machine.probe.intel import intel_devices

        found.append(intel_devices(root))
    return found


def _apple(host: Host, ask: Ask) -> Found:
    from budget.machine.probe.apple import MetalReport, apple_devices, sysctl_int, sysctl_text

    answer = ask(["metal"]).get("metal", "not asked")
    metal = MetalReport(problem=answer) if isinstance(answer, str) else MetalReport(**answer)
    return apple_devices(metal, sysctl_int, host, name=sysctl_text("machdep.cpu.brand_string"))


def _windows() -> Found:
    import importlib

    from budget.machine.probe.windows import registry_devices

    return registry_devices(importlib.import_module("winreg")), ()


def _nvidia(root: Path, environ: Mapping[str, str], platform: str, ask: Ask) -> Found:
    from budget.machine.probe.nvidia import nvidia_devices
    from budget.machine.probe.reports import cuda_report, nvml_report

    answers = ask(["nvml", "cuda"])
    nvml, cuda = nvml_report(answers.get("nvml", "not asked")), cuda_report(answers.get("cuda", "not asked"))
    found, notes = nvidia_devices(nvml, cuda, environ=environ, root=root, platform=platform)
    late = answers.get("cuda")
    if isinstance(late, str) and found:
        notes += (f"CUDA: {late}; the order of the cards is NVML's",)
    return found, notes


def _ask(names: Sequence[str]) -> dict[str, dict[str, Any] | str]:
    from budget.machine.probe.isolate import ask_drivers

    return ask_drivers(names)
