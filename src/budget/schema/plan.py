"""Shapes of what is said about one model: plans, contexts, placement, headers, advice."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, NonNegativeInt

from budget.schema.base import Basis, Object, Verdict


class Engine(Object):
    name: Literal["llama.cpp"]
    validated_commit: str
    """The llama.cpp commit whose arithmetic this is."""


class ModelFacts(Object):
    path: str
    """The model as it was named."""
    architecture: str
    n_layer: int | None
    n_ctx_train: int | None
    """Trained context, tokens; null where it is not known."""
    file_bytes: NonNegativeInt | None
    """Size of the file, or of all shards; null where it is not known."""


class ResolvedSettings(Object):
    """llama.cpp's settings as it resolves them."""

    n_ctx: int
    """Total context, tokens, padded."""
    n_ctx_seq: int
    """Context of one slot, tokens."""
    n_seq_max: int
    """Slots."""
    n_batch: int
    n_ubatch: int
    n_gpu_layers: int
    """As given: -1 auto, -2 all."""
    split_mode: Literal["none", "layer", "row", "tensor"]
    type_k: str
    type_v: str
    flash_attn: bool
    """After `auto` is resolved."""
    kv_unified: bool
    offload_kqv: bool
    swa_full: bool
    load_mode: str


class BudgetFacts(Object):
    mode: Literal["auto", "combined", "per_device", "unlimited"]
    text: str
    """As it was written."""
    combined_bytes: NonNegativeInt | None
    """The one pool of mode `combined`."""


class DeviceBasis(Object):
    """How each number is known."""

    weights: Basis
    context: Basis
    compute: Basis
    overhead: Basis


class DeviceRow(Object):
    name: str
    kind: Literal["gpu", "igpu", "accel", "cpu"]
    weights_bytes: NonNegativeInt
    context_bytes: NonNegativeInt
    """K/V caches and recurrent state."""
    compute_bytes: NonNegativeInt
    output_bytes: NonNegativeInt
    """Logits and embeddings handed to the caller."""
    extras_bytes: NonNegativeInt
    """Projector, adapters, and drafting; `extras` names the parts."""
    overhead_bytes: NonNegativeInt
    """What the process takes beyond llama.cpp's buffers."""
    reserve_bytes: NonNegativeInt
    """Left free on request."""
    required_bytes: NonNegativeInt
    """Sum of the above."""
    available_bytes: NonNegativeInt | None
    """What may be used; null where there is no cap in bytes or it is not known."""
    fits: bool | None
    """null where it is not known."""
    basis: DeviceBasis


class BufferRow(Object):
    """One llama.cpp buffer type, named as llama.cpp names it."""

    name: str
    device: str
    weights_bytes: NonNegativeInt
    context_bytes: NonNegativeInt
    compute_bytes: NonNegativeInt
    output_bytes: NonNegativeInt


class ExtraRow(Object):
    """One part of a projector, an adapter or a draft model on one device."""

    part: Literal["projector", "lora", "control_vector", "draft", "mtp", "speculation"]
    kind: Literal["weights", "context", "compute", "output", "overhead"]
    device: str
    buffer: str
    size_bytes: NonNegativeInt
    """Once it has been used to the full."""
    at_load_bytes: NonNegativeInt | None
    """At load, where that is less."""
    basis: Basis
    source: str


class HostPart(Object):
    """One line of the host's account."""

    name: str
    kind: Literal["file pages", "private", "pinned"]
    """Pages of the file can be dropped and read again; private memory cannot; pinned cannot even be swapped."""
    steady_bytes: NonNegativeInt
    """After loading, with short prompts."""
    worst_bytes: NonNegativeInt
    """Once every slot, cache and limit is full."""
    basis: Basis
    source: str


class FailureRow(Object):
    device: str
    """The device, `total` for one pool, or `unified memory` for RAM and GPU that are one."""
    required_bytes: NonNegativeInt
    available_bytes: NonNegativeInt
    short_bytes: NonNegativeInt


class Fit(Object):
    """`budget fit --json`."""

    schema_: Literal["budget/fit/v1"] = Field(alias="schema")
    verdict: Verdict
    engine: Engine
    model: ModelFacts
    settings: ResolvedSettings
    budget: BudgetFacts
    devices: list[DeviceRow]
    buffers: list[BufferRow]
    extras: list[ExtraRow]
    host_memory: list[HostPart] | None
    """What a server takes of RAM, part by part; null for a model without a file."""
    failures: list[FailureRow]
    max_ctx: NonNegativeInt | None
    """Largest total context that fits, tokens; null where none does or it is not known."""
    suggestions: list[dict[str, Any]]
    notes: list[str]


class WindowFacts(Object):
    """The window that can be served under the policy; every context is in tokens."""

    n_ctx_model: int | None
    """Trained context."""
    n_ctx_requested: int | None
    """null asks for all there is."""
    n_ctx_memory: int | None
    """What memory holds."""
    n_ctx: int
    """What can be served."""
    n_ctx_hot: int
    """Tokens in the cache."""
    n_ctx_cold: int
    """Tokens whose K/V fit in the RAM set aside for it."""
    n_ctx_planner: int
    """Hot and cold together, inside the other limits."""
    usable_bytes: int | None
    required_bytes: NonNegativeInt
    clamped: bool
    reason: (
        Literal[
            "max_resident", "reserve", "memory", "model_limit", "weights", "min_hot_context", "kv_unknown"
        ]
        | None
    )
    """Stable code of what bound it; null where nothing did."""
    sentence: str
    verdict: Verdict


class MaxCtx(Object):
    """`budget max-ctx --json`."""

    schema_: Literal["budget/max-ctx/v1"] = Field(alias="schema")
    max_ctx: int
    """Largest total context that fits, tokens."""
    n_ctx_seq: int
    n_seq_max: int
    kv_unified: bool
    n_ctx_train: int | None
    """Trained context, tokens; null where it is not known."""
    bound_by: Literal["model", "requested", "runtime", "hardware", "none"]
    """The limit that binds."""
    limits: dict[str, int | None]
    """Every limit by name, tokens; null where it is not given or not known."""
    capacity: WindowFacts


class TypeRow(Object):
    type: str
    n_tensors: int
    tensor_bytes: NonNegativeInt


class LayerRow(Object):
    layer: int | None
    """null for tensors outside blocks."""
    n_tensors: int
    tensor_bytes: NonNegativeInt


class Inspect(Object):
    """`budget inspect --json`."""

    schema_: Literal["budget/inspect/v1"] = Field(alias="schema")
    engine: Engine
    path: str
    file_bytes: NonNegativeInt | None
    gguf_version: int | None
    name: str | None
    architecture: str
    known: bool
    """Whether budget knows the architecture's memory rules."""
    memory: str | None
    """Kind of context memory: `kv iswa hybrid recurrent none ...`."""
    n_ctx_train: int | None
    n_layer: int | None
    n_layer_nextn: int | None
    """Multi-token-prediction blocks."""
    n_embd: int | None
    n_vocab: int | None
    n_head: list[int] | None
    n_head_kv: list[int] | None
    n_embd_head_k: int | None
    n_embd_head_v: int | None
    n_swa: int | None
    """Sliding window, tokens."""
    swa_layers: list[int]
    recurrent_layers: list[int]
    is_mla: bool | None
    n_expert: int | None
    n_expert_used: int | None
    n_tensors: int | None
    tensor_bytes: NonNegativeInt
    types: list[TypeRow]
    layers: list[LayerRow]


class PlacedLayer(Object):
    layer: int
    device: str


class PlacedWeight(Object):
    name: str
    type: str
    buffer: str
    class_: Literal["input", "output", "repeating"] = Field(alias="class")
    layer: int | None
    duplicate: bool
    """A second copy: a tied output, or a rope table on a further device."""
    allocated_bytes: NonNegativeInt
    """With padding; 0 where it shares another's memory."""


class SkippedWeight(Object):
    name: str
    tensor_bytes: NonNegativeInt


class PlacedCache(Object):
    name: str
    type: str
    layer: int
    buffer: str
    allocated_bytes: NonNegativeInt


class LiveRow(Object):
    name: str
    op: str
    ne: list[int]
    """Shape, innermost dimension first."""
    allocated_bytes: NonNegativeInt


class ComputeRow(Object):
    buffer: str
    compute_bytes: NonNegativeInt
    live_at_peak: list[LiveRow] | None
    """What lies in the buffer when it is fullest; null unless `--compute` asks for it."""


class Place(Object):
    """`budget place --json`."""

    schema_: Literal["budget/place/v1"] = Field(alias="schema")
    engine: Engine
    path: str
    n_gpu_layers: int
    split_mode: Literal["none", "layer", "row", "tensor"]
    layers: list[PlacedLayer]
    output_device: str
    tensors: list[PlacedWeight]
    skipped: list[SkippedWeight]
    caches: list[PlacedCache]
    compute: list[ComputeRow]


class VerifyRow(Object):
    scope: str
    buffer: str
    kind: str
    planned_bytes: NonNegativeInt
    printed_bytes: NonNegativeInt
    """As llama.cpp printed it, at the precision of its text."""
    difference_bytes: int
    """Planned less printed."""
    agrees: bool


class Verify(Object):
    """`budget verify --json`."""

    schema_: Literal["budget/verify/v1"] = Field(alias="schema")
    engine: Engine
    agrees: bool
    rows: list[VerifyRow]


class SpeedFacts(Object):
    """Upper bounds from memory bandwidth; null where one is not known."""

    basis: Literal["estimate"]
    tokens_per_second: float | None
    """Generated tokens of one sequence."""
    prompt_tokens_per_second: float | None
    n_filled: NonNegativeInt
    """Tokens in the cache when the token is generated."""
    read_bytes: dict[str, NonNegativeInt]
    """Bytes read on each device for one generated token."""
    bus_bytes: NonNegativeInt
    """Activations that cross between devices for one generated token."""
    unknown: list[str]
    """Devices whose bandwidth is not known and that are read."""


class Alternative(Object):
    """Settings that are better at context, speed, quality or slots."""

    command: list[str]
    """A llama-server command line, as arguments."""
    settings: dict[str, Any]
    """Settings that are not llama.cpp's defaults, and the context and the layers in any case."""
    plan: Fit
    costs: list[str]
    """What is given up, in sentences."""
    speed: SpeedFacts


class Advise(Object):
    """`budget advise --json`; where nothing fits `command`, `settings` and `speed` are null."""

    schema_: Literal["budget/advise/v1"] = Field(alias="schema")
    command: list[str] | None
    settings: dict[str, Any] | None
    plan: Fit
    """Where nothing fits, the plan of what was asked for."""
    costs: list[str]
    speed: SpeedFacts | None
    alternatives: list[Alternative]
    ranked_by: Literal["speed", "weights"]
    """What stands for speed: the roofline, or weight bytes on GPUs where a bandwidth is not known."""
    notes: list[str]
