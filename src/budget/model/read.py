"""`Header` to `Model`: hyper-parameters the way llama.cpp's loader reads them."""

from __future__ import annotations

from collections.abc import Mapping

from budget.errors import BadModelError, UsageError
from budget.gguf.header import Array, Header, Value
from budget.model import layers
from budget.model.architectures import ARCHITECTURES
from budget.model.facts import Architecture, Model
from budget.model.keys import Keys
from budget.model.limits import LLAMA_MAX_EXPERTS, LLAMA_MAX_LAYERS
from budget.nearest import did_you_mean, nearest
from budget.record import replace

_POOLING = {0: "none", 1: "mean", 2: "cls", 3: "last", 4: "rank"}
"""llama.h, `llama_pooling_type`."""


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
    keys = Keys(name.value, metadata)
    n_layer_all = keys.required("block_count")
    if not 0 < n_layer_all <= LLAMA_MAX_LAYERS:
        raise BadModelError(
            f"metadata {name.value}.block_count is {n_layer_all}, llama.cpp takes 1 to {LLAMA_MAX_LAYERS}"
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


def _base(keys: Keys, header: Header, arch: Architecture | None, n_layer_all: int) -> Model:
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
    if n_expert > LLAMA_MAX_EXPERTS or n_expert_used > n_expert:
        raise BadModelError(
            f"{n_expert_used} of {n_expert} experts used, llama.cpp takes at most {LLAMA_MAX_EXPERTS}"
        )
    if n_expert and not n_expert_used:
        raise BadModelError(f"the model has {n_expert} experts and uses none of them")


def _n_vocab(keys: Keys, header: Header) -> int | None:
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    if tokens is not None and isinstance(tokens.value, Array):
        return tokens.value.length
    n_vocab = keys.integer("vocab_size")
    if n_vocab:
        return n_vocab
    embedding = header.by_name.get("token_embd.weight") or header.by_name.get("output.weight")
    return embedding.ne[1] if embedding else None


def _apply_architecture(model: Model, arch: Architecture, keys: Keys) -> Model:
    model = layers.expand_layers(model, arch, keys)
    n_layer_all = model.n_layer_all
    if arch.name == "deepseek4" and f"blk.{model.n_layer}.nextn.eh_proj.weight" not in model.header.by_name:
        model = replace(model, n_layer_nextn=0)
    is_mla = arch.mla == "k_only_forced" or bool(
        arch.mla and keys.integer("attention.key_length_mla") and keys.integer("attention.value_length_mla")
    )
    is_recurrent = layers.is_recurrent(model, arch, keys)
    n_swa, swa_type, is_swa = layers.sliding_window(model, arch, keys, is_recurrent)
    head_v = model.n_embd_head_v
    if arch.head_v_is_kv_lora_rank:
        head_v = keys.required("attention.kv_lora_rank")
    n_embd_out = model.n_embd_out
    if arch.name == "deepseek4":
        n_embd_out = keys.required("hyper_connection.count") * model.n_embd
    n_kv_layers = layers.n_layer_kv_from_start(arch, keys, n_layer_all)
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
