"""Reports of driver readers, back from the JSON in which a child process wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from budget.machine.probe.cuda import CudaDevice, CudaReport
from budget.machine.probe.nvml import Card, NvmlReport


def nvml_report(answer: Mapping[str, Any] | str) -> NvmlReport:
    """What the child said about NVML; a sentence instead of an object is the problem."""
    if isinstance(answer, str):
        return NvmlReport(problem=answer)
    return NvmlReport(**{**answer, "cards": tuple(_card(row) for row in answer["cards"])})


def cuda_report(answer: Mapping[str, Any] | str) -> CudaReport | None:
    """What the child said about libcuda; None where the library is missing or did not answer."""
    if isinstance(answer, str) or "missing" in answer:
        return None
    return CudaReport(
        devices=tuple(CudaDevice(**row) for row in answer["devices"]), problem=answer["problem"]
    )


def _card(row: Mapping[str, Any]) -> Card:
    mig = tuple(_card(child) for child in row["mig"])
    processes = tuple((pid, used_bytes) for pid, used_bytes in row["processes"])
    return Card(**{**row, "mig": mig, "processes": processes})
