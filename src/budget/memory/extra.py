"""Memory that a server takes beside its main model and context: one line of the bill each."""

from __future__ import annotations

from typing import Literal

from budget.gguf.header import Header
from budget.memory.layout import Basis
from budget.record import record

Role = Literal["mmproj", "lora", "control_vector", "draft"]


@record
class Companion:
    """A further file that the settings name, with its header read."""

    role: Role
    path: str
    """As the settings name it."""
    header: Header


@record
class Extra:
    """One part of one companion on one device."""

    part: Literal["projector", "lora", "control_vector", "draft", "mtp", "speculation"]
    kind: Literal["weights", "context", "compute", "output", "overhead"]
    """`overhead` is scratch of a second backend on the device: pools and cuBLAS workspaces are not shared."""
    device: str
    """Device whose memory it takes: `CUDA0`, `CPU`."""
    buffer: str
    """llama.cpp's buffer type name: `CUDA0`, `CUDA_Host`, `CPU`, ..."""
    size_bytes: int
    """Bytes once it has been used to the full."""
    at_load_bytes: int | None = None
    """Bytes at load where they are fewer; None where nothing grows later."""
    basis: Basis
    source: str
    """Where the figure comes from, in a few words."""
