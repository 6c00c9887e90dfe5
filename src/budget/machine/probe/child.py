"""The child process that talks to a driver, so that one that hangs or crashes takes nothing else with it.

Started by `isolate.py` as `main(NAME, ROOT)`; writes one JSON object to what was its standard output.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from budget.machine.device import Device


def main(name: str, root: str = "/") -> None:
    """Run the reader called `name` and write its report; whatever a driver prints goes to standard error."""
    import json

    answer = os.dup(1)
    os.dup2(2, 1)
    report = READERS[name](Path(root))
    with os.fdopen(answer, "w", encoding="utf-8") as out:
        json.dump(report, out)


def _nvml(_root: Path) -> dict[str, Any]:
    import importlib

    from budget.machine.probe.nvml import NvmlReport, read_nvml

    try:
        pynvml = importlib.import_module("pynvml")
    except ImportError as error:
        return asdict(NvmlReport(problem=f"nvidia-ml-py is not installed ({error})"))
    return asdict(read_nvml(pynvml))


def _cuda(_root: Path) -> dict[str, Any]:
    import ctypes

    from budget.machine.probe.cuda import CudaReport, read_cuda

    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        library = ctypes.CDLL(name)
    except OSError as error:
        return {**asdict(CudaReport()), "missing": str(error)}
    return asdict(read_cuda(library))


def _metal(_root: Path) -> dict[str, Any]:
    from budget.machine.probe.apple import read_metal

    return asdict(read_metal())


def _amd(root: Path) -> dict[str, Any]:
    from budget.machine.probe.amd import amd_devices

    return _rows(amd_devices(root, environ=os.environ))


def _intel(root: Path) -> dict[str, Any]:
    from budget.machine.probe.intel import intel_devices

    return _rows(intel_devices(root))


def _rows(found: tuple[tuple[Device, ...], tuple[str, ...]]) -> dict[str, Any]:
    from budget.machine.file import device_to_json

    devices, notes = found
    return {"devices": [device_to_json(device) for device in devices], "notes": list(notes)}


READERS = {"nvml": _nvml, "cuda": _cuda, "metal": _metal, "amd": _amd, "intel": _intel}
