"""Architecture builders: which function builds the compute graph of which architecture.

A family is a module here with functions `build(g: Builder) -> None`, one per shape of graph. `TABLE` says which
function belongs to which `general.architecture`; only the module that is needed is imported. A builder follows the
graph constructor in llama.cpp's src/models/<name>.cpp call by call, with the helpers of `Builder`:

    g.inp_embd(), g.inp_pos(n), g.attn_inp_kv(), ..., g.inp_out_ids()   inputs, in the order of the source
    g.w(il, "attn_q"), g.opt(il, ..), g.b(il, ..), g.s(il, ..)          block il: needed, optional, bias, scale
    g.norm_w(x, il, "attn_norm")                                        norm with weight (and pinning, as build_norm)
    g.qkv(il, x), g.rope(x, pos, factors), g.attn(inp, il, q, k, v)     attention
    g.ffn(il, x, "silu"), g.moe(il, x, ...)                             feed-forward
    g.rs_inp(), g.rs(inp, states, size), g.mamba2(inp, x, il)           recurrent layers
    g.cache("cache_r_l0")                                               a tensor of the context's memory
    g.delta_conv(inp, ..), g.delta_net(q, k, v, ..)                     gated delta nets
    g.add_fused("hc_pre", t, il), g.stage.fused_hc_pre                  nodes that llama.cpp probes for
    g.select_rows(il, out_ids, a, b)                                    rows of the last layer
    g.finish(g.head_norm(x))                                            norm, logits

What matters: which tensors exist, their shape and type, the order of creation where it decides the order of nodes
(every `ggml_build_forward_expand` is a `g.expand`), and which weights the source passes: toy fixtures carry `.scale`
tensors that many builders ignore (`scales=`), and inputs are leaves in the order of their first use, not creation.

Further operations go to ops.py as shape rules; what CUDA cannot run goes to cuda.py. Header keys are read with
`g.model.number`, `g.model.key`, `g.model.array`; a missing weight raises and the answer becomes an estimate.

A decoder with a K/V cache that differs from `plain.build` only in details needs no function: a row in `plain_table`
and the entry `plain:plain` here.

To try one: `python -m tests.bench.compute_rows --only toy/starcoder` prints measured against replayed buffers.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, TypeAlias

from budget.model.facts import Model

if TYPE_CHECKING:
    from budget.memory.compute.builder import Builder

Build: TypeAlias = "Callable[[Builder], None]"

TABLE: dict[str, str] = {
    "afmoe": "sliding_moe:afmoe",
    "apertus": "plain:plain",
    "arcee": "plain:plain",
    "arctic": "beside:arctic",
    "arwkv7": "rwkv:rwkv_transformer",
    "baichuan": "plain:plain",
    "bailingmoe": "plain:plain",
    "bailingmoe2": "plain:plain",
    "bailingmoe3": "kda:bailingmoe3",
    "bert": "encoder:bert",
    "bitnet": "rare:bitnet",
    "bloom": "plain:plain",
    "chameleon": "rare:chameleon",
    "chatglm": "plain:plain",
    "codeshell": "plain:plain",
    "cogvlm": "odd:cogvlm",
    "cohere2": "sliding:cohere2",
    "cohere2moe": "sliding_moe:cohere2moe",
    "command-r": "decoder:command_r",
    "dbrx": "plain:plain",
    "deci": "odd:deci",
    "deepseek": "plain:plain",
    "deepseek2": "mla:deepseek2",
    "deepseek2-ocr": "plain:plain",
    "deepseek32": "dsa:deepseek32",
    "deepseek4": "deepseek4:deepseek4",
    "dots1": "plain:plain",
    "dots3note": "dots3note:dots3note",
    "dream": "diffusion:dream",
    "ernie4_5": "plain:plain",
    "ernie4_5-moe": "plain:plain",
    "eurobert": "encoder:eurobert",
    "exaone": "plain:plain",
    "exaone-moe": "sliding_moe:exaone_moe",
    "exaone4": "sliding:exaone4",
    "falcon": "beside:falcon",
    "falcon-h1": "state_space:falcon_h1",
    "gemma": "plain:plain",
    "gemma-embedding": "gemma:gemma_embedding",
    "gemma2": "gemma:gemma2",
    "gemma3": "gemma:gemma3",
    "gemma3n": "gemma_altup:gemma3n",
    "gemma4": "gemma_altup:gemma4",
    "glm-dsa": "dsa:deepseek32",
    "glm4": "plain:plain",
    "glm4moe": "decoder:glm4moe",
    "glm5-next": "glm5_next:glm5_next",
    "gpt-oss": "decoder:gpt_oss",
    "gpt2": "plain:plain",
    "gptneox": "beside:gptneox",
    "granite": "plain:plain",
    "granite_swa": "sliding_moe:granite_swa",
    "granitehybrid": "state_space:granite_hybrid",
    "granitemoe": "plain:plain",
    "graniteswitch": "rare:granite_switch",
    "grok": "plain:plain",
    "grovemoe": "beside:grovemoe",
    "hrm_text": "odd:hrm_text",
    "hunyuan-dense": "plain:plain",
    "hunyuan-moe": "plain:plain",
    "hunyuan_vl": "plain:plain",
    "hy_v3": "plain:plain",
    "hy_v4": "hy_v4:hy_v4",
    "internlm2": "plain:plain",
    "jais": "plain:plain",
    "jais2": "plain:plain",
    "jamba": "state_space:jamba",
    "jina-bert-v2": "encoder:bert",
    "jina-bert-v3": "encoder:bert",
    "kimi-k3": "kimi_k3:kimi_k3",
    "kimi-linear": "kda:kimi_linear",
    "laguna": "sliding_moe:laguna",
    "lfm2": "short_conv:lfm2",
    "lfm2moe": "short_conv:lfm2",
    "llada": "diffusion:llada",
    "llada-moe": "diffusion:llada_moe",
    "llama": "decoder:llama",
    "llama-embed": "decoder:llama_embed",
    "llama4": "decoder:llama4",
    "maincoder": "plain:plain",
    "mamba": "state_space:mamba",
    "mamba2": "state_space:mamba",
    "maple": "sliding_moe:maple",
    "mellum": "sliding_moe:mellum",
    "mimo2": "sliding_moe:mimo2",
    "minicpm": "plain:plain",
    "minicpm3": "mla:minicpm3",
    "minimax-01": "minimax_01:minimax_01",
    "minimax-m2": "plain:plain",
    "minimax-m3": "minimax_m3:minimax_m3",
    "mistral3": "plain:plain",
    "mistral4": "mla:deepseek2",
    "modern-bert": "encoder:modern_bert",
    "mpt": "odd:mpt",
    "muse-glimmer": "sliding:muse_glimmer",
    "nanbeige": "plain:plain",
    "nemotron": "plain:plain",
    "nemotron_h": "state_space:nemotron_h",
    "nemotron_h_moe": "state_space:nemotron_h",
    "neo-bert": "encoder:neo_bert",
    "nomic-bert": "encoder:bert",
    "nomic-bert-moe": "encoder:bert",
    "olmo": "plain:plain",
    "olmo2": "decoder:olmo2",
    "olmoe": "plain:plain",
    "openelm": "odd:openelm",
    "orion": "plain:plain",
    "paddleocr": "plain:plain",
    "pangu-embedded": "plain:plain",
    "phi2": "beside:phi2",
    "phi3": "decoder:phi3",
    "phimoe": "decoder:phi3",
    "plamo": "beside:plamo",
    "plamo2": "plamo2:plamo2",
    "plamo3": "sliding:plamo3",
    "plm": "rare:plm",
    "pockettts": "plain:plain",
    "qwen": "plain:plain",
    "qwen2": "decoder:qwen2",
    "qwen2moe": "plain:plain",
    "qwen2vl": "plain:plain",
    "qwen3": "decoder:qwen3",
    "qwen35": "gated_delta:qwen35",
    "qwen35moe": "gated_delta:qwen35",
    "qwen3moe": "decoder:qwen3moe",
    "qwen3next": "gated_delta:qwen3next",
    "qwen3tts": "plain:plain",
    "qwen3vl": "plain:plain",
    "qwen3vlmoe": "plain:plain",
    "qwen4exp": "qwen4exp:qwen4exp",
    "refact": "plain:plain",
    "rnd1": "diffusion:rnd1",
    "rwkv6": "rwkv:rwkv",
    "rwkv6qwen2": "rwkv:rwkv_transformer",
    "rwkv7": "rwkv:rwkv",
    "seed_oss": "plain:plain",
    "smallthinker": "sliding_moe:smallthinker",
    "smollm3": "plain:plain",
    "spark2_5": "sliding:spark2_5",
    "stablelm": "beside:stablelm",
    "starcoder": "plain:plain",
    "starcoder2": "plain:plain",
    "step35": "sliding_moe:step35",
    "t5": "t5:t5",
    "t5encoder": "t5:t5encoder",
    "talkie": "odd:talkie",
    "xverse": "plain:plain",
}
"""`general.architecture` to `module:function`."""

UNCHECKED: frozenset[str] = frozenset()
"""Architectures whose graph follows the source, but was never compared with a measurement: basis `formula`."""


def builder(model: Model) -> Build | None:
    """The function that builds the graph of `model`, or None where there is none."""
    if model.arch is None:
        return None
    path = TABLE.get(model.arch.name)
    if path is None:
        return None
    module, function = path.split(":")
    build: Build = getattr(import_module(f"budget.memory.compute.families.{module}"), function)
    return build
