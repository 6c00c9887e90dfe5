"""Recurrent state: what a state-space or linear-attention layer keeps per sequence."""

from __future__ import annotations

from collections.abc import Iterable

from budget.gguf.types import F32
from budget.memory.kv_cache import CacheTensor
from budget.model.facts import Model
from budget.runtime.settings import ContextParams

_NO_GROUPS = frozenset({"mamba", "jamba"})
"""Mamba-1 loaders never read `ssm.group_count`."""


def n_embd_r(model: Model) -> int:
    """Elements of the convolution (or token-shift) state of one layer and sequence.

    Source: llama-hparams.cpp, `n_embd_r`.
    """
    arch = model.arch
    if arch is None:
        return 0
    d_conv = model.number("ssm.conv_kernel")
    if arch.state == "rwkv":
        return model.number("token_shift_count", 2) * model.n_embd
    if arch.state == "shortconv":
        return model.n_embd * (model.number("shortconv.l_cache") - 1)
    if arch.state == "kda":
        width = model.n_head[0] * model.number("kda.head_dim")
        return 3 * (d_conv - 1 if d_conv > 0 else 3) * width
    if arch.state == "mamba":
        groups = 0 if arch.name in _NO_GROUPS else model.number("ssm.group_count")
        channels = model.number("ssm.inner_size") + 2 * groups * model.number("ssm.state_size")
        return max(d_conv - 1, 0) * channels
    return 0


def n_embd_s(model: Model) -> int:
    """Elements of the recurrent state of one layer and sequence.

    Source: llama-hparams.cpp, `n_embd_s`.
    """
    state = model.arch.state if model.arch else None
    if state == "rwkv":
        return model.n_embd * model.number("wkv.head_size")
    if state == "kda":
        return model.number("kda.head_dim") ** 2 * model.n_head[0]
    if state == "lightning":
        return model.n_embd_head_k**2 * model.n_head[0]
    if state == "mamba":
        return model.number("ssm.state_size") * model.number("ssm.inner_size")
    return 0


def recurrent_layers(model: Model) -> tuple[int, ...]:
    """Layers that hold state."""
    if model.arch is None or model.arch.recurrent_rule is None:
        return ()
    return tuple(il for il in range(model.n_layer) if model.is_recurrent[il])


def state_tensors(model: Model, params: ContextParams) -> Iterable[CacheTensor]:
    """Every state tensor, always f32, whatever the context length.

    Source: llama-memory-recurrent.cpp, constructor.
    """
    rows = max(1, params.n_seq_max) * (1 + params.n_rs_seq)
    r, s = n_embd_r(model) * rows, n_embd_s(model) * rows
    ple = _ple_elements(model) * rows
    ple_layers = {int(il) for il in model.array("ple.layers") or ()} if ple else set()
    for il in recurrent_layers(model):
        yield CacheTensor(f"cache_r_l{il}", il, F32, (r,), "recurrent")
        yield CacheTensor(f"cache_s_l{il}", il, F32, (s,), "recurrent")
    for il in sorted(ple_layers):
        yield CacheTensor(f"cache_ple_r_l{il}", il, F32, (ple,), "recurrent")


def _ple_elements(model: Model) -> int:
    """qwen4exp: history of the per-layer-embedding convolution."""
    n_gram, heads = model.number("ple.ngram_size"), model.number("ple.heads_per_ngram")
    kernel = model.number("ple.conv_kernel")
    if kernel <= 0 or (n_gram - 1) * heads <= 0:
        return 0
    return (kernel - 1) * n_gram * model.number("hyper_connection.count") * model.n_embd
