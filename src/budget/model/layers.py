"""What differs from layer to layer: which layers there are, and which of them have a cache, a state or a window."""

from __future__ import annotations

from budget.errors import BadModelError
from budget.model.architectures import GLM52_INDEXER_TYPES
from budget.model.facts import Architecture, Model, SlidingWindow, SwaType
from budget.model.keys import Keys
from budget.model.limits import LLAMA_MAX_LAYERS
from budget.record import replace


def expand_layers(model: Model, arch: Architecture, keys: Keys) -> Model:
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
        if model.n_layer_all * n_loops > LLAMA_MAX_LAYERS:
            raise BadModelError(
                f"{model.n_layer_all} layers in {n_loops} loops, llama.cpp takes {LLAMA_MAX_LAYERS}"
            )
        return replace(
            model,
            n_layer_all=model.n_layer_all * n_loops,
            n_head=model.n_head * n_loops,
            n_head_kv=model.n_head_kv * n_loops,
            n_ff=model.n_ff * n_loops,
        )
    return model


def n_layer_kv_from_start(arch: Architecture, keys: Keys, n_layer_all: int) -> int:
    """Layers below this have a cache of their own, those from it on share one of these.

    Source: llama-hparams.h, `n_layer_kv_from_start`; src/models/{gemma3n,gemma4}.cpp.
    """
    rule = arch.n_layer_kv_from_start
    if rule is None:
        return n_layer_all
    if isinstance(rule, int):
        return rule
    return n_layer_all - (keys.integer("attention.shared_kv_layers") or 0)


def is_recurrent(model: Model, arch: Architecture, keys: Keys) -> tuple[bool, ...]:
    """Which layers keep a state instead of a cache (`llama_hparams::is_recr_impl`)."""
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


def sliding_window(
    model: Model, arch: Architecture, keys: Keys, recurrent: tuple[bool, ...]
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
    return swa.window_forced or n_swa, swa.type, _pattern(model, swa, keys, recurrent)


def _pattern(model: Model, swa: SlidingWindow, keys: Keys, recurrent: tuple[bool, ...]) -> tuple[bool, ...]:
    """Source: llama-model.cpp, `load_swa_pattern`; llama-hparams.cpp, `set_swa_pattern`."""
    n = model.n_layer_all
    if swa.pattern == "all_layers_incl_nextn":
        return (True,) * n
    if swa.pattern == "all_non_recurrent":
        return tuple(not r for r in recurrent)
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
