"""What a process takes on a device beyond llama.cpp's own buffers."""

from __future__ import annotations

from budget.machine.device import Device
from budget.units import MiB

CONTEXT_BYTES = {"cuda": 500 * MiB, "musa": 500 * MiB, "hip": 600 * MiB}
"""Driver context of one process on one device: CUDA total minus free on an idle card is 392 to 527 MiB
(RTX 4090 to H200), ROCm 538 to 586 MiB on CDNA3."""


def overhead_bytes(device: Device) -> int:
    """Estimate of the driver context on `device`, in bytes; 0 for backends without one worth counting."""
    return CONTEXT_BYTES.get(device.backend, 0)
