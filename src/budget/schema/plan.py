"""The shape of `budget fit --json`, and of its parts, which other answers hold too."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import NonNegativeInt

from budget.schema.base import (
    SCHEMA_KEY,
    Basis,
    BufferName,
    CacheType,
    DeviceKind,
    DeviceName,
    DeviceOrMeta,
    KnownHow,
    Object,
    Source,
    SplitMode,
    Verdict,
)


class Engine(Object):
    """The program whose memory is planned."""

    name: Literal["llama.cpp"]
    """Always `llama.cpp`."""
    validated_commit: str
    """The llama.cpp commit whose arithmetic this is."""


class ModelFacts(Object):
    """The model that the plan is about."""

    path: str
    """The model as it was named: a path, an address, `sample:NAME`; `described model` where numbers describe it."""
    architecture: str
    """`general.architecture` of the header, such as `llama`; `described` where numbers describe the model."""
    n_layer: int | None
    """Blocks, multi-token-prediction ones not counted; null where numbers describe the model without them."""
    n_ctx_train: int | None
    """Trained context, tokens; null where the model is described by numbers that do not give it."""
    file_bytes: NonNegativeInt | None
    """Size of the file, or of all shards, bytes; of the weights where numbers describe the model. null where it is
    not known."""


class ResolvedSettings(Object):
    """llama.cpp's settings as it resolves them."""

    n_ctx: int
    """Total context (`-c`), tokens, padded to 256 for every separate cache."""
    n_ctx_seq: int
    """Context of one slot, tokens: all of `n_ctx` with `kv_unified`, else an equal share."""
    n_seq_max: int
    """Sequences that are served at once: llama-server's slots (`-np`)."""
    n_batch: int
    """Logical batch (`-b`), tokens; no larger than the context where attention is causal."""
    n_ubatch: int
    """Physical batch (`-ub`), tokens, at most `n_batch`; compute buffers grow with it."""
    n_gpu_layers: int
    """Layers to offload (`-ngl`) as given, the output layer counted: -1 is auto, -2 all."""
    split_mode: SplitMode
    """How the model is divided between devices (`-sm`)."""
    type_k: CacheType
    """GGML type of the K cache (`-ctk`)."""
    type_v: CacheType
    """GGML type of the V cache (`-ctv`)."""
    flash_attn: bool
    """Whether flash attention is used (`-fa`), after `auto` is resolved."""
    kv_unified: bool
    """Whether all slots share one cache (`-kvu`)."""
    offload_kqv: bool
    """Whether each cache is on the device of its layer; false keeps them in RAM (`-nkvo`)."""
    swa_full: bool
    """Whether sliding-window layers keep the whole context (`--swa-full`)."""
    load_mode: Literal["auto", "none", "mmap", "mlock", "mmap+mlock", "dio"]
    """How the file is read (`-lm`) as given; `auto` maps it unless a device cannot use mapped weights."""


class BudgetFacts(Object):
    """What memory may be used."""

    mode: Literal["auto", "combined", "per_device", "unlimited"]
    """`auto`: the free memory of each GPU and 80 % of the available RAM; `combined`: one pool for RAM and GPUs;
    `per_device`: caps for single devices; `unlimited`: no cap."""
    text: str
    """As it was written, such as `24GiB` or `ram=64GiB,vram=24GiB`."""
    combined_bytes: NonNegativeInt | None
    """The one pool of mode `combined`, bytes; null in every other mode."""


class DeviceBasis(Object):
    """How each number of a device is known.

    `exact`: read from the file, or llama.cpp's own arithmetic, checked against it. `formula`: the arithmetic is
    known, this case was not checked. `estimate`: a guess.
    """

    weights: Basis
    """Of `weights_bytes`."""
    context: Basis
    """Of `context_bytes`, and of `output_bytes`."""
    compute: Basis
    """Of `compute_bytes`."""
    overhead: Basis
    """Of `overhead_bytes`; `exact` where there is none or `--overhead` gives it."""


class DeviceRow(Object):
    """What one memory device must hold, and what it may."""

    name: DeviceName
    kind: DeviceKind
    """What llama.cpp takes the device for; `cpu` is the host."""
    weights_bytes: NonNegativeInt
    """Weights, bytes: allocated with their padding, or the span of the file that is mapped."""
    context_bytes: NonNegativeInt
    """K/V caches and recurrent state, bytes."""
    compute_bytes: NonNegativeInt
    """Compute buffers, which hold the activations of one physical batch (`n_ubatch`), bytes."""
    output_bytes: NonNegativeInt
    """Logits and embeddings handed to the caller, a row for each slot, bytes."""
    extras_bytes: NonNegativeInt
    """Projector, adapters, and drafting, bytes; `extras` of `budget fit --json` names the parts."""
    overhead_bytes: NonNegativeInt
    """What the process takes beyond llama.cpp's buffers, such as the CUDA context, kernels and pools, bytes."""
    reserve_bytes: NonNegativeInt
    """To be left free on request (`--reserve`), bytes."""
    required_bytes: NonNegativeInt
    """Sum of weights, context, compute, output, extras, overhead and reserve, bytes."""
    available_bytes: NonNegativeInt | None
    """What may be used there, bytes, what other models hold taken off; null where it has no cap of its own or its
    memory is not known."""
    fits: bool | None
    """Whether it may hold what it must; null where its memory is not known. One pool for all (budget mode
    `combined`) is judged in `failures`, not here."""
    basis: DeviceBasis
    """How each number is known."""


class BufferRow(Object):
    """One llama.cpp buffer type and what it holds, to be held against the log of a real load."""

    name: BufferName
    device: DeviceOrMeta
    weights_bytes: NonNegativeInt
    """`model buffer size` of the log, bytes."""
    context_bytes: NonNegativeInt
    """`KV buffer size` and `RS buffer size` of the log, bytes."""
    compute_bytes: NonNegativeInt
    """`compute buffer size` of the log, bytes."""
    output_bytes: NonNegativeInt
    """Logits and embeddings handed to the caller, bytes."""


class ExtraRow(Object):
    """One part of a projector, an adapter or a draft model on one device."""

    part: Literal["projector", "lora", "control_vector", "draft", "mtp", "speculation"]
    """What it belongs to; `mtp` is drafting with the model's own multi-token-prediction blocks, `speculation` the
    output buffers that drafting needs besides."""
    kind: Literal["weights", "context", "compute", "output", "overhead"]
    """What it holds; `overhead` is scratch of a second backend on the device."""
    device: DeviceName
    buffer: BufferName
    size_bytes: NonNegativeInt
    """Once it has been used to the full, bytes."""
    at_load_bytes: NonNegativeInt | None
    """At load, bytes, where that is less; null where nothing grows later."""
    basis: KnownHow
    source: Source


class HostPart(Object):
    """One line of the host's account: what a server takes of RAM."""

    name: str
    """What it is, such as `compute buffer (CUDA_Host)`, `vocabulary` or `prompt cache (--cache-ram)`."""
    kind: Literal["file pages", "private", "pinned"]
    """Pages of the file can be dropped and read again; private memory cannot; pinned cannot even be swapped."""
    steady_bytes: NonNegativeInt
    """After loading, with short prompts, bytes."""
    worst_bytes: NonNegativeInt
    """Once every slot, cache and limit is full, bytes."""
    basis: KnownHow
    source: Source


class FailureRow(Object):
    """A device that must hold more than it may."""

    device: str
    """The device, `total` for one pool, or `unified memory` for RAM and GPU that are one."""
    required_bytes: NonNegativeInt
    """What it must hold, bytes, reserve included."""
    available_bytes: NonNegativeInt
    """What it may hold, bytes, what other models hold taken off; never negative."""
    short_bytes: NonNegativeInt
    """The difference, bytes."""


class SuggestionRow(Object):
    """One change that helps a plan that does not fit, tried as a whole plan."""

    flag: str
    """The change as typed, such as `-ctk q8_0 -ctv q8_0`."""
    settings: dict[str, Any]
    """Every changed setting with its new value, by llama.cpp's parameter name, such as `type_k` or `n_parallel`."""
    device: str
    """The device that falls short by most, or `total` for one pool."""
    gained_bytes: NonNegativeInt
    """Bytes that are no longer needed on that device."""
    fits: bool
    """Whether this change alone is enough."""
    cost: str
    """What is lost by it, such as `slower prompts`."""
    text: str
    """All of it as one sentence."""


class Fit(Object):
    """What `budget fit MODEL --json` prints: the verdict and every number behind it."""

    schema_: Literal["budget/fit/v1"] = SCHEMA_KEY
    verdict: Verdict
    """`unknown` where a number that decides is not known, which `notes` says; it never means that it fits."""
    engine: Engine
    """The llama.cpp whose memory is planned."""
    model: ModelFacts
    """The model that was asked about."""
    settings: ResolvedSettings
    """llama.cpp's settings, with its defaults filled in."""
    budget: BudgetFacts
    """What may be used of the machine's memory."""
    devices: list[DeviceRow]
    """A row for each device that the model uses, in llama.cpp's order, and the host last."""
    buffers: list[BufferRow]
    """The same memory by llama.cpp's buffer types; extras, overhead and reserve are not in it."""
    extras: list[ExtraRow]
    """Parts of projector, adapters and draft model; empty without them."""
    host_memory: list[HostPart] | None
    """What a server takes of RAM, part by part, what grows after loading included; null for a model without a
    file."""
    failures: list[FailureRow]
    """Where memory falls short; empty unless the verdict is `does_not_fit`."""
    max_ctx: NonNegativeInt | None
    """Largest total context (`-c`) that fits, tokens, within the trained one; null where none does, it is not known,
    or the plan is part of `budget advise --json`."""
    suggestions: list[SuggestionRow]
    """Changes that would help, those that are enough first; empty where it fits, where none helps, and in
    `budget advise --json`."""
    notes: list[str]
    """What is worth saying beside the numbers, and why a verdict is unknown, in sentences."""
