"""`Header` to `Model`: hyper-parameters the way llama.cpp's loader reads them."""

from __future__ import annotations

from collections.abc import Mapping

from budget.errors import BadModelError, UsageError
from budget.gguf.header import Array, Header, Scalar, Value
from budget.model.architectures import ARCHITECTURES, GLM52_INDEXER_TYPES
from budget.model.facts import Architecture, Model, SlidingWindow, SwaType
from budget.nearest import did_you_mean, nearest
from budget.record import replace

MAX_LAYERS = 512
"""llama-hparams.h, LLAMA_MAX_LAYERS."""
MAX_EXPERTS = 1024
"""llama-hparams.h, LLAMA_MAX_EXPERTS."""
_POOLING = {0: "none", 1: "mean", 2: "cls", 3: "last", 4: "rank"}
"""llama.h, `llama_pooling_type`."""
_INTEGERS = frozenset({"u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64"})


class _Keys:
    """Typed access to `<architecture>.<key>`, with the overrides in front of the header."""

    def __init__(self, architecture: str, metadata: Mapping[str, Value]) -> None:
        self.architecture = architecture
        self.metadata = metadata

    def value(self, name: str) -> Value | None:
        return self.metadata.get(f"{self.architecture}.{name}")

    def integer(self, name: str) -> int | None:
        """A scalar size or count.

        Raises:
            BadModelError: another type, or a negative number.
        """
        value = self.value(name)
        if value is None or isinstance(value.value, Array):
            return None
        if value.type not in _INTEGERS or not isinstance(value.value, int) or value.value < 0:
            raise BadModelError(
                f"metadata {self.architecture}.{name} should be an unsigned integer, "
                f"not {value.type} {value.value!r}",
                hint="convert the model again with a current convert_hf_to_gguf.py",
            )
        return value.value

    def required(self, name: str) -> int:
        value = self.integer(name)
        if value is None:
            raise BadModelError(
                f"metadata key {self.architecture}.{name} is missing",
                hint="llama.cpp refuses this file too; download or convert it again",
            )
        return value

    def array(self, name: str) -> tuple[Scalar, ...] | None:
        value = self.value(name)
        return value.value.values if value is not None and isinstance(value.value, Array) else None

    def per_layer(self, name: str, n_layer: int, default: int | tuple[int, ...]) -> tuple[int, ...]:
        """`get_key_or_arr`: an array of exactly `n_layer` numbers, or one number for all.

        Raises:
            BadModelError: an array of another length.
        """
        array = self.array(name)
        if array is not None:
            if len(array) < n_layer:
                raise BadModelError(
                    f"metadata {self.architecture}.{name} has {len(array)} entries for {n_layer} layers",
                    hint="llama.cpp refuses this file too; convert the model again",
                )
            return tuple(int(x) for x in array[:n_layer])
        scalar = self.integer(name)
        if scalar is None:
            return (default,) * n_layer if isinstance(default, int) else default
        return (scalar,) * n_layer


def read_model(
    header: Header, *, assume: str | None = None, overrides: Mapping[str, Value] | None = None
) -> Model:
    """What llama.cpp makes of `header`.

    Args:
        assume: architecture whose memory rules to use instead of the file's own.
        overrides: metadata that replaces the header's (`--override-kv`).

    Raises:
        BadModelError: a required key is missing or has the wrong type, or a size makes no sense.
        UsageError: `assume` names an architecture that does not exist.

    Source: llama-model.cpp, `llama_model_base::load_hparams`; src/models/*.cpp, `load_arch_hparams`.
    """
    metadata = {**header.metadata, **(overrides or {})}
    name = metadata.get("general.architecture")
    if name is None or not isinstance(name.value, str):
        raise BadModelError(
            "metadata key general.architecture is missing",
            hint="this GGUF holds no language model; pass the model file itself",
        )
    _refuse_companion(name.value, metadata)
    arch = _architecture(name.value, assume)
    keys = _Keys(name.value, metadata)
    n_layer_all = keys.required("block_count")
    if not 0 < n_layer_all <= MAX_LAYERS:
        raise BadModelError(
            f"metadata {name.value}.block_count is {n_layer_all}, llama.cpp takes 1 to {MAX_LAYERS}"
        )
    model = _base(keys, header, arch, n_layer_all)
    model = replace(model, assumed=assume is not None, overrides=overrides or {})
    return model if arch is None else _apply_architecture(model, arch, keys)


def _refuse_companion(architecture: str, metadata: Mapping[str, Value]) -> None:
    """A projector, an adapter or a control vector is no model, but goes beside one."""
    kind = metadata.get("general.type")
    if architecture == "clip":
        what, flag = "a multimodal projector", "--mmproj"
    elif architecture == "controlvector":
        what, flag = "a control vector", "--control-vector"
    elif kind is not None and kind.value == "adapter":
        what, flag = "a LoRA adapter", "--lora"
    else:
        return
    raise BadModelError(f"this is {what}, not a model", hint=f"pass it with {flag} beside its model")


def _architecture(name: str, assume: str | None) -> Architecture | None:
    if assume is None:
        return ARCHITECTURES.get(name)
    if assume not in ARCHITECTURES:
        near = nearest(assume, ARCHITECTURES, n=3)
        raise UsageError(
            f"--assume {assume}: no such architecture",
            hint=did_you_mean(near, "as general.architecture has it, such as llama, qwen3 or gemma3"),
        )
    return ARCHITECTURES[assume]


def _base(keys: _Keys, header: Header, arch: Architecture | None, n_layer_all: int) -> Model:
    """Hyper-parameters common to all architectures."""
    arch_name = arch.name if arch else keys.architecture
    n_embd = keys.required("features_length" if arch_name == "wavtokenizer-dec" else "embedding_length")
    n_layer_nextn = keys.integer("nextn_predict_layers") or 0
    if n_layer_nextn > n_layer_all:
        raise BadModelError(
            f"{n_layer_nextn} multi-token-prediction layers in a model of {n_layer_all} layers"
        )
    n_head = keys.per_layer("attention.head_count", n_layer_all, 0)
    n_head_kv = keys.per_layer("attention.head_count_kv", n_layer_all, n_head)
    head = n_embd // n_head[0] if n_head[0] else 0
    head_k = _or(keys.integer("attention.key_length"), head) if n_head[0] else 0
    head_v = _or(keys.integer("attention.value_length"), head) if n_head[0] else 0
    n_expert = keys.integer("expert_count") or 0
    n_expert_used = max(keys.per_layer("expert_used_count", n_layer_all, 0))
    if arch_name in ("hunyuan_vl", "hunyuan-dense") and n_expert <= 1:
        n_expert = n_expert_used = 0  # llama-model.cpp: these write expert_count 1 for dense models
    _check_experts(n_expert, n_expert_used)
    causal = keys.value("attention.causal")
    pooling = keys.integer("pooling_type")
    return Model(
        architecture=keys.architecture,
        arch=arch,
        header=header,
        n_ctx_train=keys.required("context_length"),
        n_embd=n_embd,
        n_vocab=_n_vocab(keys, header),
        n_layer_all=n_layer_all,
        n_layer_nextn=n_layer_nextn,
        n_expert=n_expert,
        n_expert_used=n_expert_used,
        n_head=n_head,
        n_head_kv=n_head_kv,
        n_ff=keys.per_layer("feed_forward_length", n_layer_all, 0),
        n_embd_head_k=head_k,
        n_embd_head_v=head_v,
        n_embd_head_k_swa=_or(keys.integer("attention.key_length_swa"), head_k),
        n_embd_head_v_swa=_or(keys.integer("attention.value_length_swa"), head_v),
        n_embd_out=keys.integer("embedding_length_out") or n_embd,
        n_swa=0,
        swa_type="none",
        is_swa=(False,) * n_layer_all,
        is_recurrent=(False,) * n_layer_all,
        has_kv=(True,) * n_layer_all,
        is_mla=False,
        causal_attn=(arch.causal if arch else True) and (causal is None or causal.value is not False),
        pooling=_POOLING.get(pooling, "unspecified") if pooling is not None else "unspecified",
    )


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _check_experts(n_expert: int, n_expert_used: int) -> None:
    if n_expert > MAX_EXPERTS or n_expert_used > n_expert:
        raise BadModelError(
            f"{n_expert_used} of {n_expert} experts used, llama.cpp takes at most {MAX_EXPERTS}"
        )
    if n_expert and not n_expert_used:
        raise BadModelError(f"the model has {n_expert} experts and uses none of them")


def _n_vocab(keys: _Keys, header: Header) -> int | None:
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    if tokens is not None and isinstance(tokens.value, Array):
        return tokens.value.length
    n_vocab = keys.integer("vocab_size")
    if n_vocab:
        return n_vocab
    embedding = header.by_name.get("token_embd.weight") or header.by_name.get("output.weight")
    return embedding.ne[1] if embedding else None


def _apply_architecture(model: Model, arch: Architecture, keys: _Keys) -> Model:
    model = _expand_layers(model, arch, keys)
    n_layer_all = model.n_layer_all
    if arch.name == "deepseek4" and f"blk.{model.n_layer}.nextn.eh_proj.weight" not in model.header.by_name:
        model = replace(model, n_layer_nextn=0)
    is_mla = arch.mla == "k_only_forced" or bool(
        arch.mla and keys.integer("attention.key_length_mla") and keys.integer("attention.value_length_mla")
    )
    is_recurrent = _recurrent(model, arch, keys)
    n_swa, swa_type, is_swa = _window(model, arch, keys, is_recurrent)
    head_v = model.n_embd_head_v
    if arch.head_v_is_kv_lora_rank:
        head_v = keys.required("attention.kv_lora_rank")
    n_embd_out = model.n_embd_out
    if arch.name == "deepseek4":
        n_embd_out = keys.required("hyper_connection.count") * model.n_embd
    n_kv_layers = _kv_from_start(arch, keys, n_layer_all)
    return replace(
        model,
        n_embd_head_v=head_v,
        n_embd_out=n_embd_out,
        is_mla=is_mla,
        is_recurrent=is_recurrent,
        n_swa=n_swa,
        swa_type=swa_type,
        is_swa=is_swa,
        has_kv=tuple(il < n_kv_layers for il in range(n_layer_all)),
    )


def _expand_layers(model: Model, arch: Architecture, keys: _Keys) -> Model:
    """Layers that exist in the cache but not as blocks of their own in the file."""
    if arch.expansion == "router":  # graniteswitch.cpp: one more layer with one head holds K/V
        return replace(
            model,
            n_layer_all=model.n_layer_all + 1,
            n_layer_nextn=1,
            n_head=(*model.n_head, 1),
            n_head_kv=(*model.n_head_kv, 1),
            n_ff=(*model.n_ff, 0),
        )
    if arch.expansion == "num_loops":
        n_loops = keys.integer("num_loops") or 1
        if model.n_layer_all * n_loops > MAX_LAYERS:
            raise BadModelError(
                f"{model.n_layer_all} layers in {n_loops} loops, llama.cpp takes {MAX_LAYERS}"
            )
        return replace(
            model,
            n_layer_all=model.n_layer_all * n_loops,
            n_head=model.n_head * n_loops,
            n_head_kv=model.n_head_kv * n_loops,
            n_ff=model.n_ff * n_loops,
        )
    return model


def _kv_from_start(arch: Architecture, keys: _Keys, n_layer_all: int) -> int:
    """Layers below this have a cache of their own (`n_layer_kv_from_start`)."""
    rule = arch.n_layer_kv_from_start
    if rule is None:
        return n_layer_all
    if isinstance(rule, int):
        return rule
    return n_layer_all - (keys.integer("attention.shared_kv_layers") or 0)


def _recurrent(model: Model, arch: Architecture, keys: _Keys) -> tuple[bool, ...]:
    n = model.n_layer_all
    rule = arch.recurrent_rule
    if rule is None:
        return (False,) * n
    if rule == "all":
        return (True,) * n
    if rule == "recurrent_layers_or_interval":
        array = keys.array("attention.recurrent_layers")
        if array is not None:
            return tuple(bool(array[il]) if il < len(array) else False for il in range(n))
        interval = keys.integer("full_attention_interval") or arch.recurrent_interval
        return tuple(il < model.n_layer and (il + 1) % interval != 0 for il in range(n))
    without_ff = rule == "n_head_kv==0&&n_ff==0"
    n_checked = n if arch.memory == "hybrid_idx" else model.n_layer
    return tuple(
        il < n_checked and model.n_head_kv[il] == 0 and (not without_ff or model.n_ff[il] == 0)
        for il in range(n)
    )


def _window(
    model: Model, arch: Architecture, keys: _Keys, is_recurrent: tuple[bool, ...]
) -> tuple[int, SwaType, tuple[bool, ...]]:
    """Window in tokens, its type, and which layers have it."""
    none: tuple[int, SwaType, tuple[bool, ...]] = (0, "none", (False,) * model.n_layer_all)
    swa = arch.swa
    if arch.name == "dflash" and keys.integer("hyper_connection.count"):
        # DSpark stages: every layer is windowed (dflash.cpp)
        return keys.required("attention.sliding_window"), "standard", (True,) * model.n_layer_all
    if swa is None:
        return none
    key = keys.integer("attention.sliding_window")
    n_swa = key if key is not None else swa.window_default
    enabled = {
        "always": True,
        "n_swa>0": bool(n_swa),
        "n_layer==64": model.n_layer == 64,
        "unless_zero": key != 0,
        "never": False,
    }[swa.enabled]
    if not enabled:
        return none
    if swa.enabled == "always" and not n_swa and not swa.window_forced:
        raise BadModelError(
            f"metadata key {keys.architecture}.attention.sliding_window is missing or 0",
            hint="llama.cpp refuses this file too; convert the model again",
        )
    return swa.window_forced or n_swa, swa.type, _pattern(model, swa, keys, is_recurrent)


def _pattern(
    model: Model, swa: SlidingWindow, keys: _Keys, is_recurrent: tuple[bool, ...]
) -> tuple[bool, ...]:
    """Source: llama-model.cpp, `load_swa_pattern`; llama-hparams.cpp, `set_swa_pattern`."""
    n = model.n_layer_all
    if swa.pattern == "all_layers_incl_nextn":
        return (True,) * n
    if swa.pattern == "all_non_recurrent":
        return tuple(not r for r in is_recurrent)
    array = keys.array("attention.sliding_window_pattern")
    if array is not None:
        return tuple(bool(array[il]) if il < len(array) else False for il in range(n))
    if swa.pattern == "array_required":
        raise BadModelError(
            f"metadata array {keys.architecture}.attention.sliding_window_pattern is missing",
            hint="llama.cpp refuses this file too; convert the model again",
        )
    scalar = keys.integer("attention.sliding_window_pattern")
    period = swa.period if scalar is None else scalar

    def windowed(il: int) -> bool:
        if period == 0:
            return True
        return il % period != 0 if swa.dense_first else il % period < period - 1

    return tuple(il < model.n_layer and windowed(il) for il in range(n))


def indexer_full_layers(model: Model) -> tuple[bool, ...]:
    """Layers that run the sparse-attention indexer themselves and so hold its key cache.

    Source: src/models/{glm-dsa,glm5-next,hy-v4,dots3note,deepseek32}.cpp.
    """
    n = model.n_layer_all
    array = model.array("attention.indexer.types")
    name = model.arch.name if model.arch else ""
    if name == "deepseek32":
        return (True,) * n
    if array is not None:
        return tuple(il < len(array) and int(array[il]) == 1 for il in range(n))
    scalar = model.key("attention.indexer.types")
    if scalar is not None:
        return (int(scalar) == 1,) * n
    if name == "glm-dsa" and model.n_ctx_train >= 1048576:
        return tuple(il < len(GLM52_INDEXER_TYPES) and GLM52_INDEXER_TYPES[il] == 1 for il in range(n))
    return (name in ("glm-dsa", "glm5-next"),) * n
