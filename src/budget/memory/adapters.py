"""LoRA adapters and control vectors: neither is in llama.cpp's breakdown, nor seen by its `--fit`."""

from __future__ import annotations

from collections.abc import Iterable

from budget.errors import BadModelError
from budget.gguf.header import Header, TensorInfo
from budget.gguf.types import F32
from budget.memory import buffer_types
from budget.memory.extra import Extra
from budget.memory.layout import HOST
from budget.memory.placement import BufferType, PlacedTensor, Placement
from budget.model.facts import Model
from budget.runtime.settings import Settings

_LORA_SOURCE = "llama-adapter.cpp, llama_adapter_lora_init_impl: each pair lies where its weight lies"
_VECTOR_SOURCE = "llama-adapter.cpp, llama_adapter_cvec::init: one f32 row per layer from the second on"


def lora(model: Model, placement: Placement, header: Header, path: str) -> tuple[Extra, ...]:
    """What one LoRA adapter takes, per buffer type.

    Raises:
        BadModelError: not an adapter, or one of another model.

    Source: llama-adapter.cpp, `llama_adapter_lora_init_impl`.
    """
    _check_adapter(model, header, path)
    homes: dict[str, PlacedTensor] = {}
    for placed in placement.weights:
        homes.setdefault(placed.tensor.name, placed)
    sizes: dict[tuple[BufferType, str], int] = {}
    for name, pair in _pairs(header, path).items():
        home = homes.get(name)
        if home is None:
            raise BadModelError(
                f"{path}: the adapter changes {name}, which the model does not have",
                hint="use the adapter with the model it was trained on",
            )
        _check_shapes(home.tensor, pair, path)
        # repacked buffers cannot hold adapters: llama.cpp falls back to plain CPU memory
        target = buffer_types.CPU if home.buffer_type is buffer_types.CPU_REPACK else home.buffer_type
        # named like the mapped buffer, but memory of its own
        mapped = placement.mmap and home.buffer_type is buffer_types.CPU
        key = (target, "CPU_Mapped" if mapped else target.name)
        sizes[key] = sizes.get(key, 0) + sum(buffer_types.padded_bytes(target, t.type, t.ne) for t in pair)
    return _extras(placement, "lora", sizes.items(), _LORA_SOURCE)


def control_vector(model: Model, settings: Settings, placement: Placement) -> tuple[Extra, ...]:
    """What control vectors take, per buffer type: they are added up into one, so their number does not matter.

    Source: llama-adapter.cpp, `llama_adapter_cvec::init`; llama-model.cpp, `select_buft`.
    """
    sizes: dict[tuple[BufferType, str], int] = {}
    for il in range(1, model.n_layer):
        device = placement.layer_device[il]
        target = placement.cpu_buffer_type
        if device is not None:
            target = placement.device_buffer_types[device]
        elif placement.host_buffer_type is not None and not settings.no_host:
            target = placement.host_buffer_type  # first in the list of a host layer, and it can add
        row = buffer_types.padded_bytes(target, F32, (model.n_embd, 1, 1, 1))
        sizes[target, target.name] = sizes.get((target, target.name), 0) + row
    return _extras(placement, "control_vector", sizes.items(), _VECTOR_SOURCE)


def _extras(
    placement: Placement, part: str, sizes: Iterable[tuple[tuple[BufferType, str], int]], source: str
) -> tuple[Extra, ...]:
    return tuple(
        Extra(
            part=part,  # type: ignore[arg-type]
            kind="weights",
            device=HOST if target.device is None else placement.devices[target.device].name,
            buffer=name,
            size_bytes=size,
            basis="exact" if target.backend in ("cpu", "cuda") else "formula",
            source=source,
        )
        for (target, name), size in sizes
    )


def _check_adapter(model: Model, header: Header, path: str) -> None:
    kinds = {key: _text(header, key) for key in ("general.type", "adapter.type", "general.architecture")}
    if kinds["general.type"] != "adapter" or kinds["adapter.type"] != "lora":
        raise BadModelError(f"{path}: not a LoRA adapter", hint="convert it with convert_lora_to_gguf.py")
    if kinds["general.architecture"] != model.architecture:
        raise BadModelError(
            f"{path}: an adapter for {kinds['general.architecture']}, and the model is {model.architecture}",
            hint="use the adapter with the model it was trained on",
        )


def _text(header: Header, key: str) -> str:
    value = header.metadata.get(key)
    return value.value if value is not None and isinstance(value.value, str) else ""


def _pairs(header: Header, path: str) -> dict[str, tuple[TensorInfo, TensorInfo]]:
    """The A and B of each weight; norms are ignored, as llama.cpp does."""
    sides: tuple[dict[str, TensorInfo], dict[str, TensorInfo]] = {}, {}
    for tensor in header.tensors:
        for suffix, side in zip((".lora_a", ".lora_b"), sides, strict=True):
            if tensor.name.endswith(suffix):
                side[tensor.name.removesuffix(suffix)] = tensor
                break
        else:
            if not tensor.name.endswith("_norm.weight"):
                raise BadModelError(f"{path}: {tensor.name} is no part of a LoRA adapter")
    if sides[0].keys() != sides[1].keys():
        alone = min(sides[0].keys() ^ sides[1].keys())
        raise BadModelError(f"{path}: half of the pair for {alone} is missing", hint="convert it again")
    return {name: (a, sides[1][name]) for name, a in sides[0].items()}


def _check_shapes(weight: TensorInfo, pair: tuple[TensorInfo, TensorInfo], path: str) -> None:
    a, b = pair
    if weight.name.endswith("token_embd.weight"):
        fits = weight.ne[0] == b.ne[1] and weight.ne[1] == a.ne[1]
    else:
        fits = weight.ne[0] == a.ne[0] and weight.ne[1] == b.ne[1] and a.ne[1] == b.ne[0]
    if not fits:
        raise BadModelError(
            f"{path}: the pair for {weight.name} has another shape than the weight",
            hint="use the adapter with the model it was trained on",
        )
