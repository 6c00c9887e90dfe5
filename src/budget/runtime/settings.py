"""What a user passes to llama.cpp, in llama.cpp's own names, and what llama.cpp makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from budget.errors import UsageError
from budget.gguf.types import BY_NAME, GGMLType
from budget.record import record
from budget.units import round_up

if TYPE_CHECKING:
    from budget.model.facts import Model

Tool = Literal["llama-server", "llama-cli"]
FlashAttn = Literal["auto", "on", "off"]
SplitMode = Literal["none", "layer", "row", "tensor"]
LoadMode = Literal["auto", "none", "mmap", "mlock", "mmap+mlock", "dio"]
LazyMode = Literal["auto", "on", "off"]

N_GPU_LAYERS_AUTO = -1
N_GPU_LAYERS_ALL = -2
N_CTX_PADDING = 256
"""Cells; llama-context.cpp pads every context to this."""
N_CTX_MIN_FIT = 4096
"""Tokens; common.h, `fit_params_min_ctx`."""
FIT_CTX_FULL = -1
"""`fit_params_min_ctx` after an explicit `-c 0`: UINT32_MAX in an int32."""
LLAMA_MAX_SEQ = 256
"""Most sequences of one context (llama-cparams.h)."""
MAX_DEVICES = 16
"""Most devices of one model, and more than the values of `-ts` and `-fitt` (llama.cpp, `llama_max_devices`)."""
CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")
"""What `-ctk` and `-ctv` accept (common/arg.cpp, `kv_cache_types`)."""

_HAS_ENCODER = frozenset({"t5", "t5encoder", "eagle3", "dflash"})
"""llama-model.cpp, `llama_model_has_encoder`."""


@record
class Settings:
    """llama.cpp's parameters that change memory, with llama-server's defaults.

    Source: common/common.h (`common_params`), common/arg.cpp.
    """

    tool: Tool = "llama-server"
    n_ctx: int = 0
    """Total context, tokens; 0 takes the trained context."""
    n_batch: int = 2048
    """Logical batch, tokens."""
    n_ubatch: int = 512
    """Physical batch, tokens."""
    n_parallel: int = -1
    """Slots; -1 lets llama-server choose (4 slots, one unified cache); llama-cli has 1."""
    kv_unified: bool | None = None
    """One cache for all slots; None keeps the tool's default."""
    kv_unified_per_slot: int = 0
    """Context of each slot of a unified cache when `-c` is not given, tokens; 0 is off."""
    n_gpu_layers: int = N_GPU_LAYERS_AUTO
    """Layers offloaded, the output layer counted; -1 auto, -2 all."""
    split_mode: SplitMode = "layer"
    tensor_split: tuple[float, ...] = ()
    """Share per device; empty splits by free memory."""
    main_gpu: int = 0
    devices: tuple[str, ...] | None = None
    """Devices by name in order; None uses all, an empty tuple none."""
    flash_attn: FlashAttn = "auto"
    type_k: str = "f16"
    type_v: str = "f16"
    offload_kqv: bool = True
    """K/V caches live on the device of their layer (`-nkvo` turns it off)."""
    swa_full: bool = False
    """Sliding-window layers keep the full context."""
    tensor_buft_overrides: tuple[tuple[str, str], ...] = ()
    """(pattern, buffer type) in llama.cpp's order; `-cmoe`, `-ncmoe` and `-ncffn` are entries too."""
    repack: bool = True
    """CPU weights may be repacked (`-nr` turns it off)."""
    no_host: bool = False
    """Pinned host buffers are bypassed."""
    op_offload: bool = True
    """Large batches of host weights run on the GPU."""
    load_mode: LoadMode = "auto"
    lazy_mode: LazyMode = "auto"
    embedding: bool = False
    """Embedding or reranking mode: every token of a batch may be an output."""
    pooling: str | None = None
    """`none mean cls last rank`; None takes the model's own."""
    backend_sampling: bool = False
    """Sampling runs on the device: the output buffer also holds sampled values."""
    n_rs_seq: int = 0
    """Recurrent states kept per sequence for rollback (set by speculative decoding)."""
    load_mtp: bool = False
    """Multi-token-prediction blocks are loaded (`--spec-type draft-mtp`)."""
    spec_type: tuple[str, ...] = ()
    spec_draft_n_max: int = 3
    """Draft tokens per step (common.h, `common_params_speculative_draft::n_max`)."""
    spec_ngram_mod_n_max: int = 64
    """Draft tokens per step of `ngram-mod`."""
    spec_ngram_simple_size_m: int = 48
    """Draft tokens per step of `ngram-simple`."""
    spec_ngram_map_k_size_m: int = 48
    """Draft tokens per step of `ngram-map-k`."""
    spec_ngram_map_k4v_size_m: int = 48
    """Draft tokens per step of `ngram-map-k4v`."""
    model_draft: str | None = None
    draft_n_gpu_layers: int = N_GPU_LAYERS_AUTO
    draft_devices: tuple[str, ...] | None = None
    draft_type_k: str = "f16"
    draft_type_v: str = "f16"
    draft_tensor_buft_overrides: tuple[tuple[str, str], ...] = ()
    mmproj: str | None = None
    """Path or address of the multimodal projector."""
    mmproj_auto: bool = True
    """A projector that lies in the repository of `-hf` is loaded too (`--no-mmproj` turns it off)."""
    mmproj_offload: bool = True
    mmproj_device: str | None = None
    """None takes the first of `devices`, see `mmproj_placement`."""
    image_max_tokens: int | None = None
    lora: tuple[str, ...] = ()
    control_vector: tuple[str, ...] = ()
    cache_ram_mib: int = 8192
    """llama-server's prompt cache limit, MiB; -1 no limit, 0 off."""
    ctx_checkpoints: int = 32
    """Context checkpoints per slot."""
    fit: bool = True
    """llama.cpp may change unset settings so that they fit (`--fit`)."""
    fit_target_mib: tuple[int, ...] = (1024,)
    """Margin per device, MiB; one value holds for all, and devices after the last of several keep 1024."""
    fit_ctx: int = N_CTX_MIN_FIT
    """Least context that `--fit` may choose, tokens; -1 (also by an explicit `-c 0`) forbids a smaller one."""
    rpc: tuple[str, ...] = ()
    """RPC servers, `host:port`."""
    override_kv: tuple[tuple[str, str], ...] = ()
    """Scalar metadata replaced by `--override-kv`: (key, `type:value`)."""


@record
class ContextParams:
    """Settings resolved against a model, as llama.cpp's context holds them."""

    n_ctx: int
    """Total context after padding, tokens."""
    n_ctx_seq: int
    """Context of one sequence, tokens."""
    n_seq_max: int
    n_stream: int
    """Separate cache streams: 1 when unified, else `n_seq_max`."""
    n_batch: int
    n_ubatch: int
    n_outputs_max: int
    """Most output rows of one batch; what the graph reserves logits for."""
    kv_unified: bool
    type_k: GGMLType
    type_v: GGMLType
    flash_attn: FlashAttn
    """As asked for; `auto` is resolved by the compute graph."""
    v_trans: bool
    """V is stored transposed: decided from the parameter, before `auto` is resolved."""
    offload_kqv: bool
    op_offload: bool
    swa_full: bool
    embeddings: bool
    pooling: str
    """`unspecified none mean cls last rank`, the model's own where none was given."""
    n_rs_seq: int
    backend_sampling: bool = False
    """Samplers run where the logits are; never with `-sm tensor` (llama-context.cpp, `set_sampler`)."""


def resolve(settings: Settings, model: Model) -> ContextParams:
    """The context llama.cpp creates for `model` with `settings`.

    Raises:
        UsageError: a combination that llama.cpp refuses, or a value out of range.

    Source: llama-context.cpp, constructor; tools/server/server.cpp for the slots.
    """
    n_parallel, kv_unified = slots(settings)
    n_ctx = _n_ctx(settings, model, n_parallel)
    n_batch = settings.n_batch
    if settings.embedding and n_batch > settings.n_ubatch:
        n_batch = settings.n_ubatch  # server.cpp: an embedding must be one micro-batch
    n_batch_param = n_batch
    if n_batch == 0:
        raise UsageError("a batch of 0 tokens; llama.cpp refuses this", hint="set -b and -ub to 1 or more")
    if model.causal_attn:
        n_batch = min(n_ctx, n_batch)
    n_ubatch = min(n_batch, settings.n_ubatch or n_batch_param)
    n_ctx = round_up(n_ctx, N_CTX_PADDING)
    n_ctx_seq, n_stream = n_ctx, 1
    if not kv_unified:
        n_ctx_seq = round_up(n_ctx // n_parallel, N_CTX_PADDING)
        n_ctx, n_stream = n_ctx_seq * n_parallel, n_parallel
    flash_attn = _flash_attn(settings, model)
    n_outputs_max = _n_outputs_max(settings, model, n_parallel, n_batch_param) or n_batch
    if n_parallel > n_outputs_max:
        raise UsageError(
            f"{n_parallel} sequences and a batch of {n_outputs_max} tokens: llama.cpp aborts where a batch has no "
            "token for each sequence",
            hint=f"set -b to {n_parallel} or more, or -np to {n_outputs_max} or less",
        )
    return ContextParams(
        n_ctx=n_ctx,
        n_ctx_seq=n_ctx_seq,
        n_seq_max=n_parallel,
        n_stream=n_stream,
        n_batch=n_batch,
        n_ubatch=n_ubatch,
        n_outputs_max=min(n_outputs_max, n_batch),
        kv_unified=kv_unified,
        type_k=BY_NAME[settings.type_k],
        type_v=BY_NAME[settings.type_v],
        flash_attn=flash_attn,
        v_trans=flash_attn == "off",
        offload_kqv=settings.offload_kqv,
        op_offload=settings.op_offload,
        swa_full=settings.swa_full,
        embeddings=settings.embedding,
        pooling=settings.pooling or model.pooling,
        n_rs_seq=settings.n_rs_seq if model.supports_rs_rollback else 0,
        backend_sampling=settings.backend_sampling and settings.split_mode != "tensor",
    )


def slots(settings: Settings) -> tuple[int, bool]:
    """Sequences, and whether they share one cache.

    Raises:
        UsageError: more sequences than llama.cpp serves.
    """
    n_parallel, kv_unified = settings.n_parallel, settings.kv_unified
    if n_parallel < 0:
        server = settings.tool == "llama-server"
        n_parallel = 4 if server else 1  # server-context.cpp: auto is 4 slots, unified
        kv_unified = server if kv_unified is None or server else kv_unified
    n_parallel = max(1, n_parallel)
    if n_parallel > LLAMA_MAX_SEQ:
        raise UsageError(f"-np {n_parallel}: llama.cpp serves at most {LLAMA_MAX_SEQ} sequences")
    return n_parallel, bool(kv_unified)


def _n_ctx(settings: Settings, model: Model, n_parallel: int) -> int:
    """Total context before padding, tokens."""
    n_ctx = settings.n_ctx
    if n_ctx == 0 and settings.kv_unified_per_slot > 0 and settings.fit_ctx != FIT_CTX_FULL:
        n_ctx = n_parallel * settings.kv_unified_per_slot
    n_ctx = n_ctx or model.n_ctx_train
    if n_ctx == 0:
        raise UsageError("the model names no context length", hint="give one with -c")
    return n_ctx


def _flash_attn(settings: Settings, model: Model) -> FlashAttn:
    """The parameter after llama_init_from_model, which still may be `auto`.

    A quantised V cache turns it on without asking whether the devices run it: then the CPU does.
    """
    if model.flash_attn_forced_off:
        return "off"
    if settings.split_mode == "tensor" and settings.flash_attn == "off":
        raise UsageError("-sm tensor needs flash attention, and it is off", hint="leave -fa off away")
    if settings.flash_attn == "auto" and (
        settings.split_mode == "tensor" or BY_NAME[settings.type_v].quantized
    ):
        return "on"
    return settings.flash_attn


def n_draft_max(settings: Settings) -> int:
    """Most tokens that speculation drafts for one sequence in one step.

    Source: speculative.cpp, `common_speculative_n_max`.
    """
    ngram = {
        "none": 0,
        "ngram-simple": settings.spec_ngram_simple_size_m,
        "ngram-map-k": settings.spec_ngram_map_k_size_m,
        "ngram-map-k4v": settings.spec_ngram_map_k4v_size_m,
        "ngram-mod": settings.spec_ngram_mod_n_max,
        "ngram-cache": 8,
    }
    return max((ngram.get(kind, settings.spec_draft_n_max) for kind in settings.spec_type), default=0)


def _n_outputs_max(settings: Settings, model: Model, n_parallel: int, n_batch: int) -> int:
    """Most output rows of a batch that llama-server asks for; 0 is llama.cpp's own: every token.

    `n_batch` is the parameter, not what a short context leaves of it. A context asserts that it is no less than the
    number of sequences (llama-context.cpp, `output_reserve`).

    Source: server-context.cpp, `server_output_limits`.
    """
    pooled = settings.pooling not in (None, "none")
    if settings.tool != "llama-server" or model.architecture in _HAS_ENCODER:
        return 0
    if settings.embedding or pooled:
        return n_batch
    return max(1, min(n_batch, n_parallel * (1 + n_draft_max(settings))))


def mmproj_placement(settings: Settings) -> tuple[bool, str | None]:
    """Whether the projector goes to a device, and to which; None is llama.cpp's choice.

    Source: arg.cpp, after the arguments are read: `-mmdev` follows `-dev`.
    """
    if not settings.mmproj_offload or settings.mmproj_device is not None or settings.devices is None:
        return settings.mmproj_offload, settings.mmproj_device
    return (True, settings.devices[0]) if settings.devices else (False, None)
