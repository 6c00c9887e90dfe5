"""All of one model's memory, added up per buffer and per device."""

from __future__ import annotations

from typing import Literal

from budget.errors import UsageError
from budget.gguf.types import GGMLType
from budget.machine.device import Device, Machine
from budget.memory import buffer_types
from budget.memory.compute import compute_buffers
from budget.memory.compute.result import ComputeBuffers
from budget.memory.kv_cache import CacheTensor, cache_tensors
from budget.memory.place import place
from budget.memory.placement import BufferType, Placement, cache_buffer_type
from budget.memory.recurrent import state_tensors
from budget.memory.weights import weight_bytes
from budget.model.facts import Model
from budget.record import record, replace
from budget.runtime.settings import ContextParams, Settings, resolve

Basis = Literal["exact", "formula", "estimate"]

HOST = "CPU"
"""Name of the host as a memory device."""
REALLY_ALLOCATED = frozenset({"recurrent", "state"})
"""Caches that llama.cpp allocates even when it only measures (llama-memory-recurrent.cpp and
llama-kv-cache-dsv4.cpp never ask `no_alloc`)."""
_CHECKED_BACKENDS = frozenset({"cuda", "cpu", "rpc"})
"""Backends whose weight and cache arithmetic was held against real allocations."""


@record
class Buffer:
    """One llama.cpp buffer type and what it holds."""

    name: str
    """llama.cpp's name: `CUDA0`, `CUDA_Host`, `CPU`, `CPU_Mapped`, `CPU_REPACK`, ..."""
    device: str
    """Device whose memory it takes: `CUDA0`, `CPU`."""
    weights_bytes: int = 0
    context_bytes: int = 0
    compute_bytes: int = 0
    output_bytes: int = 0
    """Logits and embeddings handed to the caller; llama.cpp does not print it."""

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.weights_bytes + self.context_bytes + self.compute_bytes + self.output_bytes


@record
class Layout:
    """What one model takes, and how each kind of number is known."""

    placement: Placement
    params: ContextParams
    caches: tuple[CacheTensor, ...]
    compute: ComputeBuffers
    buffers: tuple[Buffer, ...]
    weights_basis: Basis
    context_basis: Basis
    slices: tuple[Buffer, ...] = ()
    """`-sm tensor`: what each device behind the Meta device holds of its one buffer."""
    notes: tuple[str, ...] = ()
    """What is not known, in sentences."""

    @property
    def devices(self) -> tuple[Device, ...]:
        """The devices that hold something, the host aside."""
        return self.placement.meta_devices or self.placement.devices

    def on(self, device: str) -> Buffer:
        """The sum of every buffer on `device`, as one buffer of that name."""
        mine = [b for b in (*self.buffers, *self.slices) if b.device == device]
        return Buffer(
            name=device,
            device=device,
            weights_bytes=sum(b.weights_bytes for b in mine),
            context_bytes=sum(b.context_bytes for b in mine),
            compute_bytes=sum(b.compute_bytes for b in mine),
            output_bytes=sum(b.output_bytes for b in mine),
        )


def lay_out(
    model: Model,
    settings: Settings,
    machine: Machine,
    *,
    accounting: Literal["real", "fit"] = "real",
    placement: Placement | None = None,
    want_live: bool = False,
) -> Layout:
    """Everything `model` takes with `settings` on `machine`.

    Args:
        accounting: `real` is what a load reserves, `fit` what llama.cpp's `--fit` measures.
        placement: reuse this placement: it does not depend on the context.
        want_live: name the tensors alive at the peak of each compute buffer.

    Raises:
        UsageError: settings that llama.cpp refuses.
        UnknownAnswerError: a number that the answer needs is not known.
    """
    params = resolve(settings, model)
    if accounting == "fit":
        settings = replace(settings, load_mode="none")  # fit.cpp measures so, whatever the load will do
        placement = None if placement and placement.mmap else placement
    placement = placement or place(model, settings, machine)
    caches = (*cache_tensors(model, params), *state_tensors(model, params))
    compute = compute_buffers(model, params, placement, accounting=accounting, want_live=want_live)
    if placement.meta_devices and compute.basis == "exact":
        compute = replace(compute, basis="formula", note="-sm tensor was measured without allocating")
    sums: dict[tuple[str, int | None], Buffer] = {}

    def add(name: str, device: int | None, **sizes: int) -> None:
        key = (name, device)
        buffer = sums.get(key) or Buffer(name=name, device=_device_name(placement, device))
        sums[key] = replace(buffer, **{k: getattr(buffer, k) + v for k, v in sizes.items()})

    for (name, device), size in weight_bytes(model, placement).items():
        add(name, device, weights_bytes=size)
    for tensor in caches:
        buffer_type = cache_buffer_type(placement, params, tensor.layer)
        if placement.meta_devices and buffer_type.device is not None and tensor.cache in REALLY_ALLOCATED:
            continue
        size = buffer_types.padded_bytes(buffer_type, tensor.type, tensor.ne)
        add(buffer_type.name, buffer_type.device, context_bytes=size)
    slices = _slices(model, settings, placement, params, caches, compute) if placement.meta_devices else ()
    if slices:
        # llama.cpp prints the whole model and cache once, and the largest slice of what it really allocates
        states = max(size for _, size in slices)
        add(placement.device_buffer_types[0].name, 0, context_bytes=states)
    by_name = {t.name: t.device for t in placement.device_buffer_types}
    for name, size in compute.bytes_by_buffer.items():
        add(name, by_name.get(name), compute_bytes=size)
    output = _output_buffer_type(placement)
    add(output.name, output.device, output_bytes=output_buffer_bytes(model, params))
    exact = model.arch is not None and not model.assumed and not placement.unknown_tensors
    checked = (
        all(d.backend in _CHECKED_BACKENDS for d in placement.devices) and placement.split_mode != "tensor"
    )
    basis: Basis = "exact" if exact and checked else "formula"
    return Layout(
        placement=placement,
        params=params,
        caches=caches,
        compute=compute,
        buffers=tuple(b for b in sums.values() if b.total_bytes),
        weights_basis="exact" if checked and not model.assumed else "formula",
        context_basis=basis,
        slices=tuple(buffer for buffer, _ in slices),
        notes=_notes(model, placement),
    )


def _slices(
    model: Model,
    settings: Settings,
    placement: Placement,
    params: ContextParams,
    caches: tuple[CacheTensor, ...],
    compute: ComputeBuffers,
) -> tuple[tuple[Buffer, int], ...]:
    """What each device behind the Meta device holds, and how much of that is state."""
    from budget.memory import split_tensor

    n = len(placement.meta_devices)
    meta = placement.device_buffer_types[0]
    types = tuple(buffer_types.device_buffer_type(d, i) for i, d in enumerate(placement.meta_devices))
    weights, context, states = [0] * n, [0] * n, [0] * n

    def share(totals: list[int], name: str, type_: GGMLType, ne: tuple[int, ...]) -> None:
        for i, part in enumerate(split_tensor.slices(model, name, type_, ne, n, settings.tensor_split)):
            if part[0] % type_.block_elems:
                raise UsageError(
                    f"-sm tensor cuts {name} inside a block of {type_.name}; llama.cpp aborts there"
                )
            totals[i] += buffer_types.padded_bytes(types[i], type_, part)

    for placed in placement.weights:
        if placed.buffer_type == meta and not placed.shares_with_input:
            share(weights, placed.tensor.name, placed.tensor.type, placed.tensor.ne)
    for tensor in caches:
        if cache_buffer_type(placement, params, tensor.layer) == meta:
            share(
                states if tensor.cache in REALLY_ALLOCATED else context, tensor.name, tensor.type, tensor.ne
            )
    return tuple(
        (
            Buffer(
                name=device.name,
                device=device.name,
                weights_bytes=weights[i],
                context_bytes=context[i] + states[i],
                compute_bytes=compute.bytes_by_buffer.get(meta.name, 0),
            ),
            states[i],
        )
        for i, device in enumerate(placement.meta_devices)
    )


def output_buffer_bytes(model: Model, params: ContextParams) -> int:
    """Bytes of one row per sequence, as reserved when the context is made: logits, embeddings, what samplers return.

    Source: llama-context.cpp, `output_reserve`.
    """
    n_rows = params.n_seq_max
    size = 4 * (model.n_vocab or 0) * n_rows
    if params.embeddings or (model.arch is not None and model.arch.name == "t5"):
        size += 4 * model.n_embd_out * n_rows
    if params.backend_sampling:
        size += sampled_bytes(model, n_rows)
    return size


def sampled_bytes(model: Model, n_rows: int) -> int:
    """Bytes of what samplers on the device return: logits, probabilities and candidates of each row, and its token.

    Source: llama-context.cpp, `output_reserve`.
    """
    return 4 * n_rows * (3 * (model.n_vocab or 0) + 1)


def _output_buffer_type(placement: Placement) -> BufferType:
    """Pinned memory of the output layer's device where it has some."""
    on_device = placement.layer_device[-1] is not None
    return (
        placement.host_buffer_type if on_device and placement.host_buffer_type else placement.cpu_buffer_type
    )


def _device_name(placement: Placement, device: int | None) -> str:
    return HOST if device is None else placement.devices[device].name


def _notes(model: Model, placement: Placement) -> tuple[str, ...]:
    notes = []
    if model.arch is None:
        notes.append(f"architecture {model.architecture} is not known: its cache is not counted")
    if model.assumed and model.arch:
        notes.append(f"memory rules of {model.arch.name} are assumed for {model.architecture}")
    if placement.unknown_tensors:
        first = ", ".join(placement.unknown_tensors[:3])
        notes.append(
            f"{len(placement.unknown_tensors)} tensors llama.cpp does not know at this commit: {first}"
        )
    return tuple(notes)
