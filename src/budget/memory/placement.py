"""Where a model's layers and weights go: the data of a placement. `place` fills it (place.py)."""

from __future__ import annotations

from typing import Literal

from budget.gguf.header import TensorInfo
from budget.machine.device import Device
from budget.record import record
from budget.runtime.settings import ContextParams

TensorClass = Literal["input", "output", "repeating"]


@record
class BufferType:
    """A ggml buffer type, as llama.cpp names it."""

    name: str
    """`CUDA0`, `CUDA_Host`, `CPU`, `CPU_REPACK`, `Meta()`, ..."""
    device: int | None
    """Index into `Placement.devices` of the device that owns it; None for the host."""
    backend: str
    """`cuda hip metal vulkan sycl rpc cpu ...`; for a pinned host buffer, the backend that pins it."""
    is_host: bool
    """ggml_backend_buft_is_host: true for `CPU` and pinned host buffers, false for `CPU_REPACK`."""
    alignment_bytes: int
    pads_rows: bool
    """Quantised rows that are no multiple of 512 elements get padding once per tensor (CUDA family)."""


@record
class PlacedTensor:
    """One weight, in the buffer it is allocated in. A tied or rope tensor can be placed more than once."""

    tensor: TensorInfo
    buffer_type: BufferType
    tensor_class: TensorClass
    layer: int | None
    """Block index for repeating tensors, else None."""
    op: str
    """ggml op llama.cpp expects to use it in, such as `MUL_MAT`."""
    is_duplicate: bool = False
    """A second copy: a tied output, or a rope table on a further device."""
    shares_with_input: bool = False
    """A tied output that needs no memory of its own: it is the same buffer type as the input copy."""


@record
class Placement:
    """Where everything of one model goes."""

    devices: tuple[Device, ...]
    """`model.devices` of llama.cpp, in its order; empty for CPU only."""
    n_gpu_layers: int
    """Resolved: -1 and `all` become n_layer_all + 1."""
    layer_device: tuple[int | None, ...]
    """Index into `devices` for layer 0..n_layer_all, the last entry being the output layer; None is the CPU."""
    device_buffer_types: tuple[BufferType, ...]
    """Default buffer type of each device."""
    cpu_buffer_type: BufferType
    host_buffer_type: BufferType | None
    """Pinned host buffer type of the first device that has one (also with `--no-host`: compute buffers use it)."""
    weights: tuple[PlacedTensor, ...]
    """In creation order; tensors that are not loaded are absent."""
    skipped: tuple[TensorInfo, ...]
    """Tensors of the file that llama.cpp does not load (multi-token-prediction blocks, unused tensors)."""
    has_overrides: bool
    split_mode: Literal["none", "layer", "row", "tensor"]
    mmap: bool
    """Whether weights in plain CPU (or Metal) buffers are mapped from the file."""
    meta_devices: tuple[Device, ...] = ()
    """`-sm tensor`: the devices behind the one Meta device in `devices`."""
    unknown_tensors: tuple[str, ...] = ()
    """Tensors whose name llama.cpp does not know at the validated commit."""


def cache_buffer_type(placement: Placement, params: ContextParams, layer: int) -> BufferType:
    """Where the caches and states of `layer` are: its device, or the CPU with `-nkvo`."""
    device = placement.layer_device[layer] if params.offload_kqv else None
    return placement.cpu_buffer_type if device is None else placement.device_buffer_types[device]
