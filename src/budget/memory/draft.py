"""Speculative decoding: a draft model with its own context, or a second context on the main model's own blocks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from budget.errors import UsageError
from budget.gguf.types import BY_NAME
from budget.machine.device import Device, Machine
from budget.memory import buffer_types
from budget.memory.extra import Extra
from budget.memory.kv_cache import mtp_cache_tensors
from budget.memory.layout import HOST, Basis, Buffer, Layout, lay_out, sampled_bytes
from budget.memory.overhead import context_bytes, overhead_parts
from budget.memory.placement import cache_buffer_type
from budget.model.facts import Model
from budget.runtime.settings import ContextParams, Settings
from budget.units import MiB, round_up

BLOCK_DRAFTERS = frozenset({"draft-dflash", "draft-dspark"})
"""Draft a whole block in one pass, so every position of it is an output."""
READS_STATES = frozenset({"draft-mtp", "draft-eagle3", "draft-dflash", "draft-dspark"})
"""Drafters that read hidden states of the main model."""
_EAGLE_LAYERS = 3
"""Layers of the main model that an EAGLE-3 drafter reads where its header does not list them."""
_DRAFT_SOURCE = "speculative.cpp, common_base_params_to_speculative: a second model and context"
_MTP_SOURCE = "speculative.cpp, common_speculative_init_result: a context of type MTP on the same weights"
_HIDDEN_SOURCE = "llama-context.cpp, output_reserve: hidden states of every token of a batch"


def draft_settings(settings: Settings, target: ContextParams) -> Settings:
    """The settings that llama.cpp loads the draft model with, beside a main context of `target`.

    Source: speculative.cpp, `common_base_params_to_speculative`, `common_speculative_init_result`.
    """
    one_device = settings.draft_devices is not None and len(settings.draft_devices) == 1
    block = bool(BLOCK_DRAFTERS & set(settings.spec_type))
    return replace(
        settings,
        tool="llama-server",
        n_ctx=target.n_ctx,
        n_parallel=target.n_seq_max,
        kv_unified=target.kv_unified,
        kv_unified_per_slot=0,
        n_gpu_layers=settings.draft_n_gpu_layers,
        devices=settings.devices if settings.draft_devices is None else settings.draft_devices,
        split_mode="layer" if one_device else settings.split_mode,
        tensor_buft_overrides=settings.draft_tensor_buft_overrides,
        type_k=settings.draft_type_k,
        type_v=settings.draft_type_v,
        embedding=False,
        pooling=None,
        n_rs_seq=0,
        model_draft=None,
        spec_type=settings.spec_type if block else (),
        override_kv=(),
    )


def after_loading(machine: Machine, target: Layout) -> Machine:
    """`machine` with the main model loaded: what the draft's default split sees as free memory."""
    devices = tuple(
        d
        if d.free_bytes is None
        else replace(
            d,
            free_bytes=max(
                0,
                d.free_bytes
                - target.on(d.name).total_bytes
                - (0 if d.context_in_use or not target.on(d.name).total_bytes else context_bytes(d)),
            ),
            context_in_use=True,
        )
        for d in machine.devices
    )
    return replace(machine, devices=devices)


def draft(
    model: Model, settings: Settings, machine: Machine, target: Layout, target_model: Model
) -> tuple[Extra, ...]:
    """Weights, context and compute of a draft model, per buffer.

    Args:
        model: the draft model.
        settings: the settings of the main model.
        target: the main model's layout.
        target_model: the main model.

    Raises:
        UsageError: settings that llama.cpp refuses for the draft model.
    """
    mine = draft_settings(settings, target.params)
    layout = lay_out(model, mine, after_loading(machine, target))
    buffers = [b for b in layout.buffers if not (layout.slices and b.device == "Meta()")]
    result: list[Extra] = []
    for buffer in (*buffers, *layout.slices):
        result += _buffer_extras(buffer, layout)
    for device in layout.devices:
        result += _scratch(device, layout, model)
    layers = len(model.array("target_layers") or ()) or _EAGLE_LAYERS
    hidden = hidden_states(settings, target, target_model, layers=layers)
    return (*result, _sampling(target, model, layout.params), *hidden)


def _sampling(target: Layout, model: Model, params: ContextParams) -> Extra:
    """Logits, probabilities and candidates of drafts that are sampled on the device (on by default).

    Source: llama-context.cpp, `output_reserve`.
    """
    rows = min(params.n_outputs_max, params.n_batch)
    output = target.placement.host_buffer_type or target.placement.cpu_buffer_type
    return Extra(
        part="speculation",
        kind="output",
        device=HOST,
        buffer=output.name,
        size_bytes=sampled_bytes(model, rows),
        basis="formula",
        source="llama-context.cpp, output_reserve: backend sampling of drafts",
    )


def _scratch(device: Device, layout: Layout, model: Model) -> Iterable[Extra]:
    """Pool and graphs of the draft's own backend on `device`; the driver context is the main model's."""
    size = sum(p.size_bytes for p in overhead_parts(device, layout, model) if p.name in ("pool", "graphs"))
    if size:
        yield Extra(
            part="draft",
            kind="overhead",
            device=device.name,
            buffer=device.name,
            size_bytes=size,
            basis="estimate",
            source="ggml-cuda: a context of llama.cpp has a backend, and so a pool, of its own",
        )


def _buffer_extras(buffer: Buffer, layout: Layout) -> Iterable[Extra]:
    sizes: tuple[tuple[str, int, Basis], ...] = (
        ("weights", buffer.weights_bytes, layout.weights_basis),
        ("context", buffer.context_bytes, layout.context_basis),
        ("compute", buffer.compute_bytes, layout.compute.basis),
        ("output", buffer.output_bytes, layout.context_basis),
    )
    for kind, size, basis in sizes:
        if size:
            yield Extra(
                part="draft",
                kind=kind,  # type: ignore[arg-type]
                device=buffer.device,
                buffer=buffer.name,
                size_bytes=size,
                basis=basis,
                source=_DRAFT_SOURCE,
            )


def mtp(model: Model, settings: Settings, target: Layout) -> tuple[Extra, ...]:
    """The second context of `--spec-type draft-mtp` without a draft model: caches, compute and output.

    Its weights are the main model's, loaded with `load_mtp`.

    Raises:
        UsageError: a model without blocks for multi-token prediction, or one whose blocks llama.cpp cannot run.
    """
    if not model.n_layer_nextn:
        raise UsageError(
            f"--spec-type draft-mtp: this {model.architecture} model has no blocks for multi-token prediction",
            hint="use a file that has them, or a draft model with -md",
        )
    params = replace(
        target.params,
        type_k=BY_NAME[settings.draft_type_k],
        type_v=BY_NAME[settings.draft_type_v],
        n_rs_seq=0,
        n_outputs_max=target.params.n_seq_max,
    )
    placement = target.placement
    sizes: dict[tuple[str, int | None], int] = {}
    for tensor in mtp_cache_tensors(model, params):
        home = cache_buffer_type(placement, params, tensor.layer)
        size = buffer_types.padded_bytes(home, tensor.type, tensor.ne)
        sizes[home.name, home.device] = sizes.get((home.name, home.device), 0) + size
    result = [
        _mtp_extra(target, "context", name, device, size, target.context_basis)
        for (name, device), size in sizes.items()
        if size
    ]
    device = placement.layer_device[model.n_layer]
    home = placement.cpu_buffer_type if device is None else placement.device_buffer_types[device]
    compute = _mtp_compute(model, params)
    result.append(_mtp_extra(target, "compute", home.name, home.device, compute, "estimate"))
    output = placement.host_buffer_type or placement.cpu_buffer_type
    rows = 4 * params.n_seq_max * ((model.n_vocab or 0) + model.n_embd_out)
    result.append(_mtp_extra(target, "output", output.name, None, rows, "formula"))
    hidden = hidden_states(settings, target, model, layers=0)
    return (*result, _sampling(target, model, params), *hidden)


def _mtp_extra(
    target: Layout, kind: str, name: str, device: int | None, size: int, basis: Basis
) -> Extra:  # fmt: skip
    return Extra(
        part="mtp",
        kind=kind,  # type: ignore[arg-type]
        device=HOST if device is None else target.placement.devices[device].name,
        buffer=name,
        size_bytes=size,
        basis=basis,
        source=_MTP_SOURCE,
    )


def _mtp_compute(model: Model, params: ContextParams) -> int:
    """Compute buffer of one block for multi-token prediction: an upper bound of the tensors alive together.

    The token's embedding and the hidden state are normed and joined (2 x 2 n_embd), then one ordinary block runs.
    """
    rows = params.n_ubatch
    e = model.n_embd
    attention = 4 * e + 4 * max(model.n_head, default=0) * model.n_embd_head_k
    expert = model.number("expert_feed_forward_length") * max(model.n_expert_used, 1)
    ffn = 3 * max(*model.n_ff, expert) + 2 * e * max(model.n_expert_used, 1)
    mask = 2 * params.n_ctx_seq * rows * (1 if model.swa_type == "none" else 2)
    logits = 4 * params.n_outputs_max * ((model.n_vocab or 0) + e)
    return round_up(mask + max(4 * rows * (4 * e + max(attention, ffn)), logits), MiB)


def hidden_states(settings: Settings, target: Layout, model: Model, *, layers: int) -> tuple[Extra, ...]:
    """Hidden states of the main model that a drafter reads, in the main context's output buffer.

    Args:
        model: the main model.
        layers: layers whose input an EAGLE-3 or DFlash drafter reads.

    Source: llama-context.cpp, `output_reserve`: one row per token of a batch, not per output.
    """
    kinds = READS_STATES & set(settings.spec_type)
    width = (model.n_embd_out if "draft-mtp" in kinds else 0) + (
        layers * model.n_embd if kinds - {"draft-mtp"} else 0
    )
    if not width:
        return ()
    output = target.placement.host_buffer_type or target.placement.cpu_buffer_type
    return (
        Extra(
            part="speculation",
            kind="output",
            device=HOST,
            buffer=output.name,
            size_bytes=4 * width * target.params.n_batch,
            basis="formula",
            source=_HIDDEN_SOURCE,
        ),
    )
