"""Where the bytes of a model go that is described by numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from budget.errors import UnknownAnswerError, UsageError
from budget.machine.device import Device, Machine
from budget.memory import buffer_types
from budget.memory.compute.result import ComputeBuffers
from budget.memory.devices import layer_devices, model_devices, resolved_gpu_layers
from budget.memory.kv_cache import check, swa_cells
from budget.memory.layout import HOST, Buffer, Layout
from budget.memory.placement import Placement
from budget.model.facts import Model
from budget.planning.described import Described
from budget.runtime.settings import ContextParams, Settings, resolve


def lay_out_described(described: Described, model: Model, settings: Settings, machine: Machine) -> Layout:
    """Where the bytes of `described` go, in llama.cpp's order of layers.

    Weights are equal slices per layer, the output layer counted as one. Input embeddings, which llama.cpp keeps in
    RAM, and the padding of tensors are not known.

    Raises:
        UsageError: settings that llama.cpp refuses, or no context where none is known.
        MachineError: a named device does not exist.
        UnknownAnswerError: the default split needs free memory that is not known.
    """
    if not settings.n_ctx and not described.n_ctx_train and not settings.kv_unified_per_slot:
        raise UsageError(
            "the trained context of a described model is not known", hint="give -c, or --ctx-train"
        )
    if settings.n_ctx < 0:
        raise UsageError(f"-c {settings.n_ctx}: a context cannot be negative")
    params = resolve(settings, model)
    check(model, params)
    used = model_devices(settings, machine)
    if settings.split_mode == "none":
        settings = replace(settings, tensor_split=())  # one device: llama.cpp never looks at the shares
    devices = layer_devices(settings, model, machine, used)
    weights, caches = _slices(described, model, settings, params, used, devices)
    sums: dict[int | None, list[int]] = {}
    for device, size in weights:
        sums.setdefault(device, [0, 0, 0])[0] += size
    for device, size in caches:
        target = device if settings.offload_kqv else None
        sums.setdefault(target, [0, 0, 0])[1] += size
    sums.setdefault(devices[-1], [0, 0, 0])[2] += described.fixed_bytes
    names = [d.name for d in used]
    fixed_at = HOST if devices[-1] is None else names[devices[-1]]
    return Layout(
        placement=_placement(used, devices, settings, model),
        params=params,
        caches=(),
        compute=ComputeBuffers(
            bytes_by_buffer={fixed_at: described.fixed_bytes},
            flash_attn=params.flash_attn != "off",
            basis="estimate",
            note="a model described by numbers",
        ),
        buffers=tuple(
            Buffer(
                name=HOST if device is None else names[device],
                device=HOST if device is None else names[device],
                weights_bytes=w, context_bytes=c, compute_bytes=f,
            )
            for device, (w, c, f) in sums.items() if w or c or f
        ),
        weights_basis="estimate",
        context_basis="estimate",
        notes=_notes(described),
    )  # fmt: skip


def _notes(described: Described) -> tuple[str, ...]:
    notes = [f"weights: {described.weights_basis}"]
    if not described.fixed_bytes:
        notes.append("compute buffers are not known and not counted: give what they take with --fixed-bytes")
    if described.n_layer is None:
        notes.append("layers are not known: the split over devices is by share")
    return tuple(notes)


def _slices(
    described: Described,
    model: Model,
    settings: Settings,
    params: ContextParams,
    used: tuple[Device, ...],
    devices: tuple[int | None, ...],
) -> tuple[list[tuple[int | None, int]], list[tuple[int | None, int]]]:
    """Weights and caches as (device, bytes)."""
    cache = cache_bytes(described, model, params) or [0]
    if described.n_layer is None:
        offloaded = bool(used) and resolved_gpu_layers(settings, model) > 0
        if not offloaded:
            return [(None, described.weights_bytes)], [(None, sum(cache))]
        shares = device_shares(settings, used)
        return (
            list(enumerate(spread(described.weights_bytes, shares))),
            list(enumerate(spread(sum(cache), shares))),
        )
    slots = described.n_layer + 1
    each, rest = divmod(described.weights_bytes, slots)
    weights = [*[each] * described.n_layer, each + rest]
    if len(cache) != described.n_layer:
        cache = spread(sum(cache), [Fraction(1)] * described.n_layer)
    return list(zip(devices, weights, strict=True)), list(zip(devices, cache, strict=False))


def cache_bytes(described: Described, model: Model, params: ContextParams) -> list[int] | None:
    """K/V bytes of each layer, or of all in one entry where layers are not known; None where it is not known.

    Windowed layers hold the window and one micro-batch per stream, as llama.cpp sizes them.
    """
    per_token = described.cache_bytes_per_token(params.type_k, params.type_v)
    if per_token is None:
        return None
    n_cells = params.n_ctx_seq * params.n_stream
    n_layer, n_kv = described.n_layer, described.n_layer_kv
    n_kv = n_layer if n_kv is None else n_kv
    if n_layer is None or not n_kv:
        return [per_token * n_cells]
    each, rest = divmod(per_token, n_kv)
    swa = swa_cells(model, params) * params.n_stream if described.n_layer_swa else n_cells
    sizes = [0] * n_layer
    for il in range(n_kv):
        cells = swa if il < described.n_layer_swa else n_cells
        sizes[il] = (each + (rest if il == n_kv - 1 else 0)) * cells
    return sizes


def device_shares(settings: Settings, used: Sequence[Device]) -> list[Fraction]:
    """Share of each device: `-ts`, else its free memory.

    Raises:
        UnknownAnswerError: neither is known.
    """
    if settings.tensor_split and any(settings.tensor_split):
        padded = [*settings.tensor_split, *([0.0] * len(used))][: len(used)]
        return [Fraction(share) for share in padded]
    if len(used) == 1:
        return [Fraction(1)]
    shares = []
    for device in used:
        if device.free_bytes is None:
            raise UnknownAnswerError(
                f"free memory of {device.name} is not known, so the default split is not either",
                hint="give the shares with -ts",
            )
        shares.append(Fraction(device.free_bytes))
    return shares if any(shares) else [Fraction(1)] * len(used)


def spread(total_bytes: int, shares: Sequence[Fraction]) -> list[int]:
    """`total_bytes` over `shares`, rounded so that the parts sum to the whole."""
    whole, parts, done, reached = sum(shares), [], 0, Fraction(0)
    for share in shares:
        reached += share
        upto = int(Fraction(total_bytes) * reached / whole + Fraction(1, 2))
        parts.append(upto - done)
        done = upto
    return parts


def _placement(
    used: tuple[Device, ...], devices: tuple[int | None, ...], settings: Settings, model: Model
) -> Placement:
    return Placement(
        devices=used,
        n_gpu_layers=resolved_gpu_layers(settings, model),
        layer_device=devices,
        device_buffer_types=tuple(buffer_types.device_buffer_type(d, i) for i, d in enumerate(used)),
        cpu_buffer_type=buffer_types.CPU,
        host_buffer_type=buffer_types.host_buffer_type(used),
        weights=(),
        skipped=(),
        has_overrides=False,
        split_mode=settings.split_mode,
        mmap=False,
    )
