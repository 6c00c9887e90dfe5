"""A model as llama.cpp understands it: hyper-parameters, caches per layer, tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from budget.gguf.header import Header, Scalar, TensorInfo, Value
from budget.record import field, record

MemoryKind = Literal[
    "kv", "iswa", "hybrid", "hybrid_idx", "recurrent", "none", "dsa", "dsa_or_kv", "dsa_iswa", "dsv4", "msa",
    "shared_iswa", "unsupported",
]  # fmt: skip


SwaType = Literal["none", "standard", "chunked", "symmetric"]


@record
class SlidingWindow:
    """How an architecture decides its window and which layers have it (`llama_hparams`, `load_swa_pattern`)."""

    type: SwaType
    window_default: int = 0
    """Window when the header has no key, tokens; 0 means the key decides."""
    window_forced: int = 0
    """Window whatever the header says, tokens; 0 means it is not forced."""
    enabled: str = "always"
    """`always`, `n_swa>0`, `n_layer==64`, `unless_zero`, `never`."""
    pattern: str = "key_or_default"
    """`key_or_default`, `array_required`, `all_non_recurrent`, `all_layers_incl_nextn`."""
    period: int = 0
    """Default period: one layer in `period` is dense; 0 makes all windowed."""
    dense_first: bool = False


@record
class Architecture:
    """One row of the architecture table: everything about memory that the header does not say."""

    name: str
    """`general.architecture`."""
    memory: MemoryKind
    swa: SlidingWindow | None = None
    mla: str | None = None
    """`required_keys optional_keys required_effectively k_only_forced`, or None."""
    recurrent_rule: str | None = None
    """`all`, `n_head_kv==0`, `recurrent_layers_or_interval`, `n_head_kv==0&&n_ff==0`."""
    recurrent_interval: int = 0
    """Default of `full_attention_interval`."""
    state: Literal["mamba", "rwkv", "kda", "shortconv", "lightning"] | None = None
    hybrid_attn: str = "!is_recr"
    """Layers with a K/V cache in a hybrid model: `!is_recr`, `il<n_layer&&!is_recr`, `!is_recr&&n_ff==0`, `all`."""
    n_layer_kv_from_start: int | str | None = None
    """Layers after these share an earlier cache: a number, or `n_layer_all-shared_kv_layers`."""
    expansion: Literal["router", "num_loops"] | None = None
    head_v_is_kv_lora_rank: bool = False
    flash_attn_forced_off: bool = False
    output: Literal["tied_if_missing", "always_tied", "own", "none", "optional"] = "own"
    output_before_input: bool = False
    """The output tensor is created before the embedding, so a tied copy is never shared."""
    rope_tables: tuple[str, ...] = ()
    """Tensors that exist once per buffer type that needs them."""
    lazy: tuple[str, ...] = ()
    """Tensors that may be read lazily from the file."""
    mtp: Literal["always_skipped", "skipped_unless_load_mtp", "loaded"] | None = None
    mtp_kept: tuple[str, ...] = ()
    """Suffixes of tensors of skipped blocks that are loaded anyway."""
    mtp_context: str | None = None
    causal: bool = True
    rs_rollback: bool = False
    split_mode_tensor: bool = True


@record
class Model:
    """A model's facts. Per-layer tuples have `n_layer_all` entries."""

    architecture: str
    """`general.architecture`."""
    arch: Architecture | None
    """Its row in the table; None for an architecture budget does not know."""
    assumed: bool = False
    """`--assume` chose the row: nothing is exact."""
    header: Header = field(repr=False)
    n_ctx_train: int
    n_embd: int
    n_vocab: int | None
    n_layer_all: int
    """Blocks, multi-token-prediction and loop expansions included."""
    n_layer_nextn: int
    n_expert: int
    n_expert_used: int
    n_head: tuple[int, ...]
    n_head_kv: tuple[int, ...]
    n_ff: tuple[int, ...]
    n_embd_head_k: int
    n_embd_head_v: int
    n_embd_head_k_swa: int
    n_embd_head_v_swa: int
    n_embd_out: int
    n_swa: int
    """Sliding window, tokens; 0 without."""
    swa_type: SwaType
    is_swa: tuple[bool, ...]
    is_recurrent: tuple[bool, ...]
    has_kv: tuple[bool, ...]
    """False for a layer that shares the cache of an earlier one."""
    is_mla: bool
    causal_attn: bool
    pooling: str
    """`unspecified none mean cls last rank` from the header."""
    overrides: Mapping[str, Value] = field(default_factory=dict)

    @property
    def n_layer(self) -> int:
        """Blocks without the multi-token-prediction ones."""
        return self.n_layer_all - self.n_layer_nextn

    @property
    def supports_rs_rollback(self) -> bool:
        """Whether recurrent states can be kept for speculative decoding."""
        return self.arch is not None and self.arch.rs_rollback

    @property
    def flash_attn_forced_off(self) -> bool:
        """Grok: llama.cpp turns flash attention off whatever is asked."""
        return self.arch is not None and self.arch.flash_attn_forced_off

    @property
    def is_encoder(self) -> bool:
        """No cache and no causal mask: embedding and diffusion models."""
        return self.arch is not None and self.arch.memory == "none"

    @property
    def tensors(self) -> tuple[TensorInfo, ...]:
        """Every tensor of the file, in file order."""
        return self.header.tensors

    def key(self, name: str, default: Scalar | None = None) -> Scalar | None:
        """Scalar metadata `<architecture>.<name>`; `default` where it is missing or an array."""
        value = self.overrides.get(f"{self.architecture}.{name}") or self.header.metadata.get(
            f"{self.architecture}.{name}"
        )
        if value is None or value.type == "array":
            return default
        return value.value  # type: ignore[return-value]

    def number(self, name: str, default: int = 0) -> int:
        """Integer metadata `<architecture>.<name>`, `default` where it is missing."""
        value = self.key(name, default)
        return int(value) if isinstance(value, int | float) else default

    def array(self, name: str) -> tuple[Scalar, ...] | None:
        """Array metadata `<architecture>.<name>`; None where it is missing, a scalar, or was stepped over."""
        value = self.header.metadata.get(f"{self.architecture}.{name}")
        if value is None or value.type != "array":
            return None
        return value.value.values  # type: ignore[union-attr]
