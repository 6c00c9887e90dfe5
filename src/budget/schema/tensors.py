"""Shapes of what is said about a model's tensors: its header, where they go, and what llama.cpp prints of them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt

from budget.schema.base import (
    SCHEMA_KEY,
    BufferName,
    DeviceOrMeta,
    Object,
    SplitMode,
    TensorType,
)
from budget.schema.plan import Engine


class TypeRow(Object):
    """All tensors of one type."""

    type: TensorType
    n_tensors: int
    """How many have it."""
    tensor_bytes: NonNegativeInt
    """Their data, bytes."""


class LayerRow(Object):
    """All tensors of one block."""

    layer: int | None
    """Number of the block, from 0; null for tensors outside blocks."""
    n_tensors: int
    """How many belong to it."""
    tensor_bytes: NonNegativeInt
    """Their data, bytes."""


class Inspect(Object):
    """What `budget inspect MODEL --json` prints: the facts of the header, and sizes by tensor type and by block."""

    schema_: Literal["budget/inspect/v1"] = SCHEMA_KEY
    engine: Engine
    """The llama.cpp whose rules read the header."""
    path: str
    """The model as it was named: a path, an address or `sample:NAME`."""
    file_bytes: NonNegativeInt | None
    """Size of the file, or of all shards, bytes; null where it is not known."""
    gguf_version: int | None
    """Version of the GGUF format."""
    name: str | None
    """`general.name` of the header; null where it has none."""
    architecture: str
    """`general.architecture` of the header, such as `llama`."""
    known: bool
    """Whether budget knows the architecture's memory rules."""
    memory: (
        Literal[
            "kv",
            "iswa",
            "hybrid",
            "hybrid_idx",
            "recurrent",
            "none",
            "dsa",
            "dsa_or_kv",
            "dsa_iswa",
            "dsv4",
            "msa",
            "shared_iswa",
            "unsupported",
        ]
        | None
    )
    """Kind of context memory: `kv` is a plain cache, `iswa` one with sliding-window layers, `hybrid` caches and
    recurrent states, `none` no cache at all; null where the architecture is not known."""
    n_ctx_train: int | None
    """Trained context (`context_length`), tokens."""
    n_layer: int | None
    """Blocks, multi-token-prediction ones not counted."""
    n_layer_nextn: int | None
    """Multi-token-prediction blocks, which follow the others."""
    n_embd: int | None
    """Width of an embedding, elements."""
    n_vocab: int | None
    """Tokens of the vocabulary; null where the header does not say."""
    n_head: list[int] | None
    """Attention heads of each block."""
    n_head_kv: list[int] | None
    """K/V heads of each block."""
    n_embd_head_k: int | None
    """Width of one K head, elements."""
    n_embd_head_v: int | None
    """Width of one V head, elements."""
    n_swa: int | None
    """Sliding window, tokens; null where the model has none."""
    swa_layers: list[int]
    """Numbers of the blocks that see only the window, from 0."""
    recurrent_layers: list[int]
    """Numbers of the blocks that keep a recurrent state, from 0."""
    is_mla: bool | None
    """Whether attention is latent (MLA), so that V lives inside K."""
    n_expert: int | None
    """Routed experts of a block; 0 for a dense model."""
    n_expert_used: int | None
    """Routed experts that one token uses."""
    n_tensors: int | None
    """Tensors in the file, all shards together."""
    tensor_bytes: NonNegativeInt
    """Data of all tensors, bytes, the padding between them left out."""
    types: list[TypeRow]
    """The tensors by type, most bytes first."""
    layers: list[LayerRow]
    """The tensors by block, those outside blocks first."""


class PlacedLayer(Object):
    """One block and its device."""

    layer: int
    """Number of the block, from 0; multi-token-prediction blocks are counted too."""
    device: DeviceOrMeta


class PlacedWeight(Object):
    """One weight and the buffer that it is loaded into."""

    name: str
    """As in the file, such as `blk.0.attn_q.weight`."""
    type: TensorType
    buffer: str
    """llama.cpp's name of the buffer type, such as `CUDA0` or `CPU_REPACK`; `CPU` also where the file is mapped."""
    class_: Literal["input", "output", "repeating"] = Field(alias="class")
    """What decides its device: the input layer's stay on the host, `output` go with the output layer, `repeating`
    with their block."""
    layer: int | None
    """Number of its block, from 0; null outside blocks."""
    duplicate: bool
    """A second copy: a tied output, or a rope table on a further device."""
    allocated_bytes: NonNegativeInt
    """With padding, bytes; 0 where it shares another's memory."""


class SkippedWeight(Object):
    """A tensor of the file that llama.cpp does not load."""

    name: str
    """As in the file, such as `blk.61.nextn.eh_proj.weight`."""
    tensor_bytes: NonNegativeInt
    """Its data in the file, bytes."""


class PlacedCache(Object):
    """One tensor of a K/V cache or of a recurrent state."""

    name: str
    """As llama.cpp names it, such as `cache_k_l7`."""
    type: TensorType
    layer: int
    """Number of its block, from 0."""
    buffer: BufferName
    allocated_bytes: NonNegativeInt
    """All cells and slots, with padding, bytes."""


class LiveRow(Object):
    """A tensor that lies in a compute buffer when it is fullest."""

    name: str
    """As llama.cpp's graph names it, such as `inp_tokens`."""
    op: str
    """ggml operation that makes it, such as `MUL_MAT`; `NONE` for an input."""
    ne: list[int]
    """Shape, innermost dimension first."""
    allocated_bytes: NonNegativeInt
    """What it takes in the buffer, bytes."""


class ComputeRow(Object):
    """One compute buffer."""

    buffer: BufferName
    compute_bytes: NonNegativeInt
    """Its size, bytes."""
    live_at_peak: list[LiveRow] | None
    """What lies in the buffer when it is fullest; null unless `--compute` asks for it, or where the architecture's
    graph is not modelled."""


class Place(Object):
    """What `budget place MODEL --json` prints: the device of every block, the buffer of every tensor and cache."""

    schema_: Literal["budget/place/v1"] = SCHEMA_KEY
    engine: Engine
    """The llama.cpp whose rules place the tensors."""
    path: str
    """The model as it was named: a path, an address or `sample:NAME`."""
    n_gpu_layers: int
    """Layers to offload (`-ngl`), the output layer counted, after auto and all are resolved."""
    split_mode: SplitMode
    """How the model is divided between devices (`-sm`)."""
    layers: list[PlacedLayer]
    """Every block in order; overrides (`-ot`, `-cmoe`) may still put single tensors elsewhere."""
    output_device: DeviceOrMeta
    tensors: list[PlacedWeight]
    """Every weight that is loaded, in llama.cpp's order."""
    skipped: list[SkippedWeight]
    """Tensors of the file that are not loaded, such as multi-token-prediction blocks."""
    caches: list[PlacedCache]
    """Every tensor of the K/V caches and recurrent states."""
    compute: list[ComputeRow]
    """Every compute buffer."""


class VerifyRow(Object):
    """One size that the plan or llama.cpp names."""

    scope: Literal["main", "draft", "projector", "lora"]
    """What it belongs to: the main model, the draft model, the projector or an adapter."""
    buffer: str
    """llama.cpp's name of the buffer type; of a device, or `Host`, where llama.cpp printed a table by device."""
    kind: Literal["weights", "context", "compute", "output"]
    """What it holds."""
    planned_bytes: NonNegativeInt
    """What budget planned, bytes, as it is just after loading; 0 where the plan has no such buffer."""
    printed_bytes: NonNegativeInt
    """What llama.cpp printed, bytes, at the precision of its text; 0 where it printed no such buffer."""
    difference_bytes: int
    """Planned less printed, bytes."""
    agrees: bool
    """Whether they differ by no more than llama.cpp's rounding and `--tolerance`."""


class Verify(Object):
    """What `budget verify MODEL --json` prints: the plan beside what a real llama.cpp said, buffer by buffer."""

    schema_: Literal["budget/verify/v1"] = SCHEMA_KEY
    engine: Engine
    """The llama.cpp whose arithmetic the plan is."""
    agrees: bool
    """Whether every row agrees."""
    rows: list[VerifyRow]
    """One for each buffer and kind."""
