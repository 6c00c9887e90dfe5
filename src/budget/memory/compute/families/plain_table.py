"""What the graph constructors of plain decoders say, by `general.architecture`.

Source: src/models/<name>.cpp. Architectures that share a constructor there share a row here.
"""

from __future__ import annotations

from typing import Final

from budget.memory.compute.families.plain import Moe, Plain

_LAYER_GELU: Final = Plain(norm="layer", act="gelu", gated=False)
_GPT2: Final = Plain(norm="layer", act="gelu", gated=False, rope="none", learned_positions="always")
_QWEN3VL: Final = Plain(qk_norm="before", mrope="always", deepstack="after", pad_logits=True, biases=False)

PLAIN: Final[dict[str, Plain]] = {
    "apertus": Plain(qk_norm="before", factors=True, act="xielu", gated=False, biases=False),
    "arcee": Plain(factors=True, act="relu_sqr", gated=False),
    "baichuan": Plain(rope="n_layer==32", alibi="n_layer==40"),
    "bailingmoe": Plain(factors=True, moe=Moe(norm_w=None, scale_key=True, shared="added")),
    "bailingmoe2": Plain(
        qk_norm="before",
        moe=Moe(norm_w=None, gating_key=True, scale_key=True, probs_bias=True, shared="added"),
    ),
    "bloom": Plain(norm="layer", act="gelu", gated=False, rope="none", embd_norm=True, alibi="always"),
    "chatglm": Plain(act="swiglu", gated=False),
    "codeshell": _LAYER_GELU,
    "dbrx": Plain(norm="layer", clamp=True, ffn_norm="attn_output_norm", moe=Moe()),
    "deepseek": Plain(factors=True, moe=Moe(norm_w=False, scale_key=True, shared="added")),
    "deepseek2-ocr": Plain(
        wo_bias=False, nextn=True, output_scale=False,
        moe=Moe(norm_w=None, gating_key=True, scale_key=True, probs_bias=True, gate_up=True, shared="added"),
    ),
    "dots1": Plain(
        qk_norm="before",
        moe=Moe(norm_w=None, gating_key=True, scale_key=True, probs_bias=True, shared="added"),
    ),
    "ernie4_5": Plain(wo_bias=False),
    "ernie4_5-moe": Plain(wo_bias=False, moe=Moe(probs_bias=True, shared="added")),
    "exaone": Plain(factors=True),
    "gemma": Plain(act="gelu", q_scale=True, embd_scale="always"),
    "glm4": Plain(
        mrope="sections", post_attn_norm="post_attention_norm", post_ffn_norm=("post_ffw_norm",), act="swiglu",
        gated=False,
    ),
    "gpt2": _GPT2,
    "granite": Plain(
        embd_scale="key", rope="finetuned", factors=True, moe=Moe(shared="added"), residual_scale="key",
        deepstack="mapping", logit_scale=True,
    ),
    "granitemoe": Plain(
        embd_scale="key", factors=True, moe=Moe(shared="added"), residual_scale="key", logit_scale=True
    ),
    "grok": Plain(
        embd_scale="always", post_attn_norm="attn_output_norm",
        post_ffn_norm=("layer_output_norm", "post_ffw_norm"), moe=Moe(act="gelu", shared="dense"),
        logit_scale=True, softcap=True,
    ),
    "hunyuan-dense": Plain(qk_norm="after", factors=True),
    "hunyuan-moe": Plain(qk_norm="after", factors=True, moe=Moe(shared="added")),
    "hunyuan_vl": Plain(qk_norm="after", factors=True, mrope="sections"),
    "hy_v3": Plain(
        qk_norm="before", factors=True, scales=True, nextn=True, late_rows=True,
        moe=Moe(
            norm_w=None, gating="sigmoid", gating_key=True, scale_key=True, probs_bias=True, shared="added",
            gate_up=True, scales=True,
        ),
    ),
    "internlm2": Plain(),
    "jais": Plain(norm="layer", rope="none", alibi="key"),
    "jais2": Plain(norm="layer", act="relu_sqr", gated=False),
    "maincoder": Plain(qk_norm="after"),
    "minicpm": Plain(
        embd_scale="always", factors=True, moe=Moe(shared="added"), residual_scale="always", logit_scale=True
    ),
    "minimax-m2": Plain(qk_norm="rows", moe=Moe(gating_key=True, probs_bias=True)),
    "mistral3": Plain(factors=True, temperature=True, scales=True, moe=Moe(scales=True)),
    "nanbeige": Plain(factors=True, scales=True, loops=True),
    "nemotron": Plain(norm="layer", act="relu_sqr", gated=False),
    "olmo": Plain(norm="layer", weighted=False, clamp=True),
    "olmoe": Plain(qk_norm="rows", moe=Moe(norm_w=False)),
    "orion": Plain(norm="layer"),
    "paddleocr": Plain(mrope="always"),
    "pangu-embedded": Plain(),
    "pockettts": _LAYER_GELU,
    "qwen": Plain(),
    "qwen2moe": Plain(moe=Moe(norm_w=False, shared="gated")),
    "qwen2vl": Plain(mrope="always", output_bias=False),
    "qwen3tts": _QWEN3VL,
    "qwen3vl": _QWEN3VL,
    "qwen3vlmoe": Plain(qk_norm="before", mrope="always", deepstack="after", moe=Moe()),
    "refact": Plain(rope="none", alibi="always", wo_bias=False, biases=False),
    "seed_oss": Plain(ffn_norm="post_attention_norm"),
    "smollm3": Plain(rope="3 of 4"),
    "starcoder": _GPT2,
    "starcoder2": _LAYER_GELU,
    "xverse": Plain(),
}  # fmt: skip
