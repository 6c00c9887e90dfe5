"""Every weight to its buffer, the way llama.cpp's loader does it."""

from __future__ import annotations

import re

from budget.errors import UsageError
from budget.gguf.header import TensorInfo
from budget.machine.device import Device, Machine
from budget.memory import buffer_types, devices, supports, tensor_ops
from budget.memory.placement import BufferType, PlacedTensor, Placement, TensorClass
from budget.model.facts import Model
from budget.record import record, replace
from budget.runtime.settings import Settings

_LAZY_AUTO_BYTES = 4 << 30
"""llama-model-loader.cpp, `lazy_read::add`: smaller tensors are not read lazily in auto mode."""


@record(kw_only=False)
class _Choice:
    """What the loader chooses a buffer type from."""

    model: Model
    device_types: tuple[BufferType, ...]
    layer_device: tuple[int | None, ...]
    host_list: tuple[BufferType, ...]
    repack_rows: dict[str, int]
    overrides: tuple[tuple[re.Pattern[str], BufferType], ...]
    mmap: bool

    def select(self, tensor: TensorInfo, op: str, device: int | None) -> BufferType:
        """First buffer type in the list of `device` that accepts the tensor (`select_weight_buft`)."""
        if device is not None and supports.accepts(self.device_types[device], tensor, op, self.model):
            return self.device_types[device]
        for buffer_type in self.host_list:
            if buffer_type is buffer_types.CPU_REPACK:
                if supports.repacks(tensor, op, self.repack_rows):
                    return buffer_type
            elif supports.accepts(buffer_type, tensor, op, self.model):
                return buffer_type
        return buffer_types.CPU

    def buffer_type(self, tensor: TensorInfo, op: str, device: int | None) -> BufferType:
        """The buffer type after overrides and the memory map."""
        chosen = None
        for pattern, target in self.overrides:
            if pattern.search(tensor.name):
                # an override to the CPU still considers pinned and repacked buffers
                chosen = self.select(tensor, op, None) if target is buffer_types.CPU else target
                break
        if chosen is None:
            chosen = self.select(tensor, op, device)
        if self.mmap and chosen.is_host and chosen.backend != "cpu":
            return buffer_types.CPU
        return chosen


def place(model: Model, settings: Settings, machine: Machine) -> Placement:
    """Where llama.cpp puts every layer and weight of `model`.

    Raises:
        UsageError: settings that llama.cpp refuses.
        MachineError: a named device does not exist.
        UnknownAnswerError: the split needs memory sizes that are not known.

    Source: llama-model.cpp, `load_tensors`; llama-model-loader.cpp, `create_tensor`.
    """
    physical = devices.model_devices(settings, machine)
    used = physical
    meta: tuple[Device, ...] = ()
    if settings.split_mode == "tensor" and physical:
        _check_split_tensor(settings, model)
        meta = devices.meta_parts(physical)
        used = (devices.meta_device(meta),)
        layer_device = devices.layer_devices(replace(settings, tensor_split=()), model, machine, used)
    else:
        layer_device = devices.layer_devices(settings, model, machine, physical)
    device_types = tuple(buffer_types.device_buffer_type(d, i) for i, d in enumerate(used))
    pinned = buffer_types.host_buffer_type(used)
    mmap = _uses_mmap(settings, used)
    choice = _Choice(
        model=model,
        device_types=device_types,
        layer_device=layer_device,
        host_list=_host_list(settings, pinned),
        repack_rows=buffer_types.repack_rows(machine.host) if settings.repack else {},
        overrides=_overrides(settings, device_types, pinned),
        mmap=mmap,
    )
    weights, skipped, unknown = _weights(model, settings, choice)
    return Placement(
        devices=used,
        n_gpu_layers=devices.resolved_gpu_layers(settings, model),
        layer_device=layer_device,
        device_buffer_types=device_types,
        cpu_buffer_type=buffer_types.CPU,
        host_buffer_type=pinned,
        weights=weights,
        skipped=skipped,
        has_overrides=bool(settings.tensor_buft_overrides),
        split_mode=settings.split_mode,
        mmap=mmap,
        meta_devices=meta,
        unknown_tensors=unknown,
    )


def _check_split_tensor(settings: Settings, model: Model) -> None:
    if model.arch is not None and not model.arch.split_mode_tensor:
        raise UsageError(
            f"-sm tensor: llama.cpp does not support it for {model.architecture}", hint="use -sm layer"
        )
    if settings.flash_attn == "off":
        raise UsageError(
            "-sm tensor needs flash attention; llama.cpp refuses it with -fa off", hint="use -fa auto"
        )


def _host_list(settings: Settings, pinned: BufferType | None) -> tuple[BufferType, ...]:
    """llama-model.cpp, `make_cpu_buft_list`."""
    result = [] if pinned is None or settings.no_host else [pinned]
    if settings.repack:
        result.append(buffer_types.CPU_REPACK)
    return (*result, buffer_types.CPU)


def _uses_mmap(settings: Settings, used: tuple[Device, ...]) -> bool:
    if settings.load_mode == "auto":
        return not any(d.kind == "igpu" and d.backend in ("cuda", "vulkan") for d in used) and not any(
            d.backend in buffer_types.NO_MMAP_BACKENDS for d in used
        )
    return "mmap" in settings.load_mode


def _overrides(
    settings: Settings, device_types: tuple[BufferType, ...], pinned: BufferType | None
) -> tuple[tuple[re.Pattern[str], BufferType], ...]:
    if not settings.tensor_buft_overrides:
        return ()
    from budget.runtime.pattern import tensor_pattern

    named = {t.name: t for t in (*device_types, buffer_types.CPU)}
    if pinned is not None:
        named[pinned.name] = pinned
    result = []
    for pattern, name in settings.tensor_buft_overrides:
        if name not in named:
            raise UsageError(
                f"-ot {pattern}={name}: no such buffer type", hint=f"buffer types here: {', '.join(named)}"
            )
        result.append((tensor_pattern(pattern), named[name]))
    return tuple(result)


def _weights(
    model: Model, settings: Settings, choice: _Choice
) -> tuple[tuple[PlacedTensor, ...], tuple[TensorInfo, ...], tuple[str, ...]]:
    placed: list[PlacedTensor] = []
    skipped: list[TensorInfo] = []
    unknown: list[str] = []
    arch = model.arch
    rope_tables = arch.rope_tables if arch else ()
    lazy = _lazy_names(model, settings)
    output_device = choice.layer_device[-1]
    architecture = arch.name if arch else model.architecture
    for tensor in model.tensors:
        tensor_class, op, known = tensor_ops.tensor_use(tensor.name, architecture)
        if not known:
            unknown.append(tensor.name)
        layer = tensor_ops.block_index(tensor.name)
        if op == "NONE" or _is_skipped(model, settings, tensor.name, layer):
            skipped.append(tensor)
            continue
        if tensor.name in lazy:
            placed.append(_placed(tensor, buffer_types.CPU, tensor_class, layer, op))
        elif tensor.name.removesuffix(".weight") in rope_tables:
            placed += _rope_copies(model, choice, tensor)
        else:
            device = {"input": None, "output": output_device}.get(tensor_class, _layer_of(choice, layer))
            shaped = _reshaped(model, tensor)
            placed.append(_placed(tensor, choice.buffer_type(shaped, op, device), tensor_class, layer, op))
    placed += _tied(model, choice, placed)
    return tuple(placed), tuple(skipped), tuple(unknown)


def _placed(
    tensor: TensorInfo, buffer_type: BufferType, tensor_class: TensorClass, layer: int | None, op: str
) -> PlacedTensor:
    return PlacedTensor(tensor=tensor, buffer_type=buffer_type, tensor_class=tensor_class, layer=layer, op=op)


def _layer_of(choice: _Choice, layer: int | None) -> int | None:
    """Device of a block; repeating tensors outside blocks belong to layer 0."""
    index = layer or 0
    return choice.layer_device[index] if index < len(choice.layer_device) - 1 else None


def _is_skipped(model: Model, settings: Settings, name: str, layer: int | None) -> bool:
    """Blocks for multi-token prediction are loaded only when asked for (src/models/*.cpp, `TENSOR_SKIP`)."""
    arch = model.arch
    if arch is None or arch.mtp in (None, "loaded") or layer is None or layer < model.n_layer:
        return False
    if arch.mtp == "skipped_unless_load_mtp" and settings.load_mtp:
        return False
    rest = name.split(".", 2)[2]
    return not any(rest == kept or rest.startswith(f"{kept}.") for kept in arch.mtp_kept)


def _lazy_names(model: Model, settings: Settings) -> frozenset[str]:
    """Tensors that stay in the file and are read as needed (`--lazy-mode`)."""
    if model.arch is None or settings.lazy_mode == "off":
        return frozenset()
    tensors = (model.header.by_name.get(name) for name in model.arch.lazy)
    return frozenset(
        t.name
        for t in tensors
        if t is not None and (settings.lazy_mode == "on" or t.nbytes > _LAZY_AUTO_BYTES)
    )


def _rope_copies(model: Model, choice: _Choice, tensor: TensorInfo) -> list[PlacedTensor]:
    """One copy of a rope table per buffer type that its layers choose."""
    copies: dict[BufferType, PlacedTensor] = {}
    for il in _rope_layers(model):
        buffer_type = choice.buffer_type(tensor, "ROPE", _layer_of(choice, il))
        if buffer_type not in copies:
            copies[buffer_type] = replace(
                _placed(tensor, buffer_type, "repeating", il, "ROPE"), is_duplicate=bool(copies)
            )
    return list(copies.values())


def _rope_layers(model: Model) -> range | list[int]:
    name = model.arch.name if model.arch else ""
    if name in ("gemma4", "gemma4-assistant"):
        return [il for il in range(model.n_layer_all) if not model.is_swa[il]]
    if name == "step35":
        return range(model.n_layer_all)
    if name == "nanbeige":
        return range(model.n_layer_all // (model.number("num_loops", 1) or 1))
    return range(model.n_layer)


def _reshaped(model: Model, tensor: TensorInfo) -> TensorInfo:
    """The shape the loader asks for, where it differs from the file's (TENSOR_ALLOW_RESHAPE)."""
    if not tensor.name.endswith("attn_output_a.weight"):
        return tensor
    groups, rank = model.number("attention.output_group_count"), model.number("attention.output_lora_rank")
    if not groups or not rank or not model.arch or model.arch.name not in ("deepseek4", "dflash"):
        return tensor
    n_embd_head = model.n_embd_head_k_swa if model.is_swa[0] else model.n_embd_head_k
    ne = (model.n_head[0] * n_embd_head // groups, rank, groups, 1)
    return TensorInfo(tensor.name, ne, 3, tensor.type, tensor.offset, tensor.nbytes, tensor.shard)


def _tied(model: Model, choice: _Choice, placed: list[PlacedTensor]) -> list[PlacedTensor]:
    """A model without an output matrix multiplies with its embedding: a second copy, unless it shares a buffer."""
    arch, by_name = model.arch, model.header.by_name
    rule = arch.output if arch else "tied_if_missing"
    embedding, output = by_name.get("token_embd.weight"), by_name.get("output.weight")
    if arch and arch.name == "codeshell" and embedding is None and output is not None:
        buffer_type = choice.buffer_type(output, "GET_ROWS", None)
        return [_duplicate(output, buffer_type, "input", "GET_ROWS", placed, shared=True)]
    if embedding is None or output is not None or rule in ("own", "none", "optional"):
        return []
    buffer_type = choice.buffer_type(embedding, "MUL_MAT", choice.layer_device[-1])
    shared = not (arch and arch.output_before_input)
    return [_duplicate(embedding, buffer_type, "output", "MUL_MAT", placed, shared=shared)]


def _duplicate(
    tensor: TensorInfo,
    buffer_type: BufferType,
    tensor_class: TensorClass,
    op: str,
    placed: list[PlacedTensor],
    *,
    shared: bool,
) -> PlacedTensor:
    same = any(p.tensor.name == tensor.name and p.buffer_type == buffer_type for p in placed)
    return replace(
        _placed(tensor, buffer_type, tensor_class, None, op),
        is_duplicate=True,
        shares_with_input=shared and same,
    )
