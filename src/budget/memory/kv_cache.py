"""Tensors of the K/V caches: plain, sliding-window, MLA, and the caches of sparse-attention indexers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from budget.errors import UsageError
from budget.gguf.types import F32, GGMLType
from budget.model.facts import Model
from budget.model.layers import indexer_full_layers
from budget.record import record
from budget.runtime.settings import N_CTX_PADDING, ContextParams
from budget.units import round_up

Filter = Callable[[int], bool]


@record(kw_only=False)
class CacheTensor:
    """One tensor of the context's memory."""

    name: str
    """As llama.cpp names it, such as `cache_k_l7`."""
    layer: int
    type: GGMLType
    ne: tuple[int, ...]
    """Shape: [width, cells, streams] for K and V, [elements] for states."""
    cache: str = "base"
    """Which cache it belongs to: `base swa index csa hca lid recurrent state`."""


def swa_cells(model: Model, params: ContextParams, *, n_sequences: int | None = None) -> int:
    """Cells per stream of a sliding-window cache.

    Source: llama-kv-cache-iswa.cpp, constructor.
    """
    if params.swa_full:
        return params.n_ctx_seq
    n = (params.n_seq_max if params.kv_unified else 1) if n_sequences is None else n_sequences
    return round_up(min(params.n_ctx_seq, model.n_swa * n + params.n_ubatch), N_CTX_PADDING)


def check(model: Model, params: ContextParams) -> None:
    """Refuse what llama.cpp refuses.

    Raises:
        UsageError: K/V types that this model or these settings cannot have.

    Source: llama-context.cpp, `llama_init_from_model`.
    """
    arch = model.arch
    k, v = params.type_k, params.type_v
    if arch is None:
        return
    if v.quantized and params.flash_attn == "off":
        why = "llama.cpp turns it off for this architecture" if arch.flash_attn_forced_off else "it is off"
        raise UsageError(
            f"-ctv {v.name}: a quantised V cache needs flash attention, and {why}",
            hint="use -ctv f16, or -fa auto",
        )
    if (model.is_mla or arch.memory == "dsv4") and k is not v:
        raise UsageError(
            f"-ctk {k.name} -ctv {v.name}: {model.architecture} keeps V inside K, so both types must be equal"
        )
    if params.flash_attn == "off":
        return
    for il in range(model.n_layer):
        for letter, type_, width in (("k", k, _head_k(model, il)), ("v", v, _head_v(model, il))):
            if width % type_.block_elems:
                raise UsageError(
                    f"-ct{letter} {type_.name}: its blocks of {type_.block_elems} do not divide the head size "
                    f"{width} of layer {il}; llama.cpp refuses this",
                    hint=f"use -ct{letter} f16 or q8_0 with a head size that is a multiple of 32",
                )


def _head_k(model: Model, il: int) -> int:
    return model.n_embd_head_k_swa if model.is_swa[il] else model.n_embd_head_k


def _head_v(model: Model, il: int) -> int:
    return model.n_embd_head_v_swa if model.is_swa[il] else model.n_embd_head_v


def n_embd_k_gqa(model: Model, il: int) -> int:
    """Width of one K cell of layer `il`, elements."""
    return _head_k(model, il) * model.n_head_kv[il]


def n_embd_v_gqa(model: Model, il: int) -> int:
    """Width of one V cell of layer `il`, elements."""
    return _head_v(model, il) * model.n_head_kv[il]


def _kv(
    model: Model,
    params: ContextParams,
    cells: int,
    keep: Filter,
    *,
    cache: str = "base",
    n_stream: int | None = None,
    k_only: bool | None = None,
    widths: Callable[[int], tuple[int, int]] | None = None,
    prefix: str = "cache_",
) -> Iterable[CacheTensor]:
    """The tensors of one `llama_kv_cache`.

    Source: llama-kv-cache.cpp, constructor.
    """
    streams = params.n_stream if n_stream is None else n_stream
    no_v = model.is_mla if k_only is None else k_only
    width_v_max = max((n_embd_v_gqa(model, il) for il in range(model.n_layer_all)), default=0)
    for il in range(model.n_layer_all):
        if not (model.has_kv[il] and keep(il)):
            continue
        width_k, width_v = widths(il) if widths else (n_embd_k_gqa(model, il), n_embd_v_gqa(model, il))
        yield CacheTensor(f"{prefix}k_l{il}", il, params.type_k, (width_k, cells, streams), cache)
        if not no_v:
            # transposed V is stored as wide as the widest layer
            width = width_v_max if params.v_trans and widths is None else width_v
            yield CacheTensor(f"{prefix}v_l{il}", il, params.type_v, (width, cells, streams), cache)


def cache_tensors(model: Model, params: ContextParams) -> tuple[CacheTensor, ...]:
    """Every K/V tensor of the main context of `model`; empty for models without a cache.

    Raises:
        UsageError: cache types that llama.cpp refuses.

    Source: llama-model.cpp, `create_memory`.
    """
    check(model, params)
    arch = model.arch
    if arch is None:
        return ()
    build = _BUILDERS.get(arch.memory)
    return tuple(build(model, params)) if build else ()


def _trunk(model: Model) -> Filter:
    """The default filter: multi-token-prediction blocks are cached by their own context."""
    router = model.arch is not None and model.arch.expansion == "router"
    if model.n_layer_nextn and model.n_layer and not router:
        return lambda il: il < model.n_layer
    return lambda _il: True


def _plain(model: Model, params: ContextParams) -> Iterable[CacheTensor]:
    return _windowed(model, params, _trunk(model))


def _windowed(
    model: Model, params: ContextParams, keep: Filter, *, k_only: bool | None = None
) -> Iterable[CacheTensor]:
    """One cache, or two where some layers have a window (`llama_kv_cache_iswa`)."""
    if model.swa_type == "none":
        yield from _kv(model, params, params.n_ctx_seq, keep, k_only=k_only)
        return
    yield from _kv(
        model, params, params.n_ctx_seq, lambda il: keep(il) and not model.is_swa[il], k_only=k_only
    )
    yield from _kv(
        model, params, swa_cells(model, params), lambda il: keep(il) and model.is_swa[il], cache="swa",
        k_only=k_only,
    )  # fmt: skip


def mtp_cache_tensors(model: Model, params: ContextParams) -> tuple[CacheTensor, ...]:
    """K/V tensors of a context for multi-token prediction: the blocks behind the trunk, whatever the trunk keeps.

    Raises:
        UsageError: llama.cpp cannot run the blocks of this architecture.

    Source: llama-model.cpp, `create_memory` with a context of type MTP.
    """
    rule = model.arch.mtp_context if model.arch else None
    if rule == "hybrid_idx":
        raise UsageError(f"llama.cpp has no graph for multi-token prediction with {model.architecture}")

    def behind(il: int) -> bool:
        return il >= model.n_layer

    if rule in ("kv", "kv_k_only"):
        k_only = True if rule == "kv_k_only" else None
        return tuple(_kv(model, params, params.n_ctx_seq, behind, k_only=k_only))
    return tuple(_windowed(model, params, behind, k_only=False if rule == "iswa" else None))


def attention_layers(model: Model) -> Filter:
    """Layers of a hybrid model that have K/V."""
    rule = model.arch.hybrid_attn if model.arch else "all"
    if rule == "all":
        return lambda _il: True
    if rule == "!is_recr&&n_ff==0":
        return lambda il: not model.is_recurrent[il] and model.n_ff[il] == 0
    if rule == "il<n_layer&&!is_recr":
        return lambda il: il < model.n_layer and not model.is_recurrent[il]
    return lambda il: not model.is_recurrent[il]


def _hybrid(model: Model, params: ContextParams) -> Iterable[CacheTensor]:
    return _windowed(model, params, attention_layers(model))


def _index(model: Model, params: ContextParams, keep: Filter, *, factor: int = 1) -> Iterable[CacheTensor]:
    """Key cache of a sparse-attention indexer: one head, no V."""
    width = model.number("attention.indexer.key_length") * factor
    return _kv(
        model, params, params.n_ctx_seq, keep, cache="index", k_only=True, widths=lambda _il: (width, 0),
        prefix="cache_idx_",
    )  # fmt: skip


def _hybrid_idx(model: Model, params: ContextParams) -> Iterable[CacheTensor]:
    keep = attention_layers(model)
    yield from _kv(model, params, params.n_ctx_seq, keep)
    if not model.number("attention.indexer.key_length"):
        return
    full = indexer_full_layers(model)
    all_layers = model.arch is not None and model.arch.name == "qwen4exp"
    factor = 3 if model.number("attention.indexer.kpool") > 0 else 1
    yield from _index(model, params, lambda il: keep(il) and (all_layers or full[il]), factor=factor)


def _dsa(model: Model, params: ContextParams) -> Iterable[CacheTensor]:
    full = indexer_full_layers(model)
    yield from _kv(model, params, params.n_ctx_seq, lambda il: il < model.n_layer)
    yield from _index(model, params, lambda il: il < model.n_layer and full[il])


def _dsa_or_kv(model: Model, params: ContextParams) -> Iterable[CacheTensor]:
    yield from _kv(model, params, params.n_ctx_seq, lambda _il: True)
    if model.number("attention.indexer.top_k"):
        full = indexer_full_layers(model)
        yield from _index(model, params, lambda il: full[il])


def _dsa_iswa(model: Model, params: ContextParams) -> Iterable[CacheTensor]:
    full = indexer_full_layers(model)
    yield from _windowed(model, params, lambda il: il < model.n_layer)
    yield from _index(model, params, lambda il: il < model.n_layer and full[il])


def _msa(model: Model, params: ContextParams) -> Iterable[CacheTensor]:
    """MiniMax-M3: the index cache of the sparse layers holds V as well (`llama_kv_cache_msa`)."""
    first = model.number("leading_dense_block_count")
    width_k = model.number("attention.indexer.key_length")
    yield from _kv(model, params, params.n_ctx_seq, _trunk(model))
    yield from _kv(
        model, params, params.n_ctx_seq, lambda il: il >= first, cache="index",
        widths=lambda _il: (width_k, model.n_embd_head_v), prefix="cache_idx_",
    )  # fmt: skip


def compress_ratios(model: Model) -> tuple[int, ...]:
    """DeepSeek-V4: tokens per compressed cell of each layer; 0 where nothing is compressed."""
    ratios = model.array("attention.compress_ratios") or ()
    return tuple(int(ratios[il]) if il < len(ratios) else 0 for il in range(model.n_layer_all))


def _dsv4(model: Model, params: ContextParams) -> Iterable[CacheTensor]:
    """DeepSeek-V4: a raw window and compressed caches, one stream per sequence even when unified.

    Source: llama-kv-cache-dsv4.cpp, constructor.
    """
    streams, ratios = params.n_seq_max, compress_ratios(model)
    width = (model.n_embd_head_k_swa * model.n_head_kv[0], 0)
    raw = swa_cells(model, params, n_sequences=1)
    yield from _kv(model, params, raw, lambda _il: True, cache="swa", n_stream=streams, k_only=True)

    def compressed(cache: str, ratio: int, size: tuple[int, int]) -> Iterable[CacheTensor]:
        cells = round_up(max(1, -(-params.n_ctx_seq // ratio)), N_CTX_PADDING)
        return _kv(
            model, params, cells, lambda il: ratios[il] == ratio, cache=cache, n_stream=streams, k_only=True,
            widths=lambda _il: size, prefix=f"cache_{cache}_",
        )  # fmt: skip

    yield from compressed("csa", 4, width)
    yield from compressed("hca", 128, width)
    yield from compressed("lid", 4, (model.number("attention.indexer.key_length"), 0))
    yield from _dsv4_states(model, params, ratios)


def _dsv4_states(model: Model, params: ContextParams, ratios: tuple[int, ...]) -> Iterable[CacheTensor]:
    planes = params.n_seq_max * (1 + params.n_rs_seq)
    head, index = model.n_embd_head_k_swa, model.number("attention.indexer.key_length")
    for il, ratio in enumerate(ratios):
        shapes = {4: ((2 * head, 8, "csa"), (2 * index, 8, "lid")), 128: ((head, 128, "hca"),)}.get(ratio, ())
        for width, rows, cache in shapes:
            for part in ("kv", "score"):
                name = f"dsv4_{cache}_state_{part}_l{il}"
                yield CacheTensor(name, il, F32, (width, rows, planes), "state")


_BUILDERS: dict[str, Callable[[Model, ContextParams], Iterable[CacheTensor]]] = {
    "kv": _plain,
    "iswa": _plain,
    "hybrid": _hybrid,
    "hybrid_idx": _hybrid_idx,
    "dsa": _dsa,
    "dsa_or_kv": _dsa_or_kv,
    "dsa_iswa": _dsa_iswa,
    "dsv4": _dsv4,
    "msa": _msa,
}
