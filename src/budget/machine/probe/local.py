"""The machine this process runs on, put together from one probe per vendor."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from budget.machine.device import Device, Machine
from budget.machine.probe.host import probe_host

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
    found, device_notes = probe_devices(root=root, environ=environ, platform=platform, ask=ask)
    return Machine(host=host, devices=found, notes=(*notes, *device_notes))


def probe_devices(
    *, root: Path, environ: Mapping[str, str], platform: str, ask: Ask | None = None
) -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """Every device of every vendor, and notes; no driver is loaded where none can be."""
    from budget.machine.probe.nvidia import has_driver

    devices: list[Device] = []
    notes: list[str] = []
    if has_driver(root, platform=platform):
        found, said = _nvidia(root, environ, platform, ask or _ask)
        devices += found
        notes += said
    if not devices and not notes:
        notes.append(NO_GPU)
    return tuple(devices), tuple(notes)


def _nvidia(
    root: Path, environ: Mapping[str, str], platform: str, ask: Ask
) -> tuple[tuple[Device, ...], tuple[str, ...]]:
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
