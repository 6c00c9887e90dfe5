"""Which layer class a weight belongs to, and which ggml op reads it: the two facts its buffer depends on.

Source: llama.cpp src/llama-arch.cpp, `LLM_TENSOR_INFOS`; llama-model-loader.cpp, `create_tensor`.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache

from budget.memory.placement import TensorClass

_NAMES: dict[tuple[TensorClass, str], str] = {
    ("input", "GET_ROWS"): """
        token_embd position_embd token_types per_layer_token_embd
    """,
    ("output", "MUL"): """
        output_norm cls.norm enc.output_norm output_res_score output_hc_scale output_hc_norm
        dec.output_norm
    """,
    ("repeating", "MUL"): """
        token_embd_norm blk.%d.attn_norm blk.%d.ffn_norm blk.%d.post_attention_norm blk.%d.attn_q_norm
        blk.%d.attn_k_norm blk.%d.post_ffw_norm blk.%d.post_ffw_norm_1 blk.%d.post_ffw_norm_2
        blk.%d.pre_ffw_norm_2 blk.%d.attn_norm_2 blk.%d.layer_output_norm blk.%d.layer_output_scale
        blk.%d.attn_output_norm blk.%d.ssm_norm blk.%d.ssm_d blk.%d.ssm_dt_norm blk.%d.ssm_b_norm
        blk.%d.ssm_c_norm blk.%d.ssm_conv1d_q blk.%d.ssm_conv1d_k blk.%d.ssm_conv1d_v
        blk.%d.attn_res_score blk.%d.ffn_res_score blk.%d.ffn_routed_norm blk.%d.attn_q_a_norm
        blk.%d.attn_kv_a_norm blk.%d.hc_attn_scale blk.%d.hc_ffn_scale blk.%d.hc_attn_norm
        blk.%d.hc_ffn_norm blk.%d.ple_norm_key blk.%d.ple_norm_query blk.%d.ple_norm_conv
        blk.%d.attn_compressor_norm per_layer_proj_norm blk.%d.post_norm blk.%d.altup_correct_scale
        blk.%d.altup_router_norm blk.%d.laurel_post_norm blk.%d.ffn_norm_exps blk.%d.nextn.enorm
        blk.%d.nextn.hnorm blk.%d.nextn.shared_head_norm blk.%d.attn_sub_norm blk.%d.ffn_sub_norm
        dec.blk.%d.attn_norm dec.blk.%d.cross_attn_norm dec.blk.%d.ffn_norm enc.blk.%d.attn_norm
        enc.blk.%d.ffn_norm blk.%d.time_mix_lerp_x blk.%d.time_mix_ln blk.%d.channel_mix_lerp_k
        blk.%d.channel_mix_lerp_r blk.%d.time_mix_k_k blk.%d.time_mix_k_a blk.%d.time_mix_r_k
        convnext.%d.norm convnext.%d.gamma posnet.%d.norm posnet.%d.norm1 posnet.%d.norm2
        posnet.%d.attn_norm blk.%d.indexer.k_norm blk.%d.indexer.q_norm blk.%d.indexer_compressor_norm
        blk.%d.attn_conv_base blk.%d.ffn_conv_base
    """,
    ("output", "MUL_MAT"): """
        output cls cls.output output_hc_fn output_hc_down output_hc_up altup_unembd_proj altup_proj
        dense_2 dense_3 nextn.post_projection fc markov_w2 conf_proj selector_hidden
    """,
    ("repeating", "ROPE"): """
        rope_freqs rope_factors_long rope_factors_short
    """,
    ("repeating", "ADD"): """
        hrm.z_l_init blk.%d.exp_probs_b blk.%d.exp_probs_b_vl blk.%d.hc_attn_base blk.%d.hc_ffn_base
        blk.%d.time_mix_lerp_w blk.%d.time_mix_lerp_k blk.%d.time_mix_lerp_v blk.%d.time_mix_lerp_r
        blk.%d.time_mix_lerp_g blk.%d.time_mix_lerp_fused blk.%d.time_mix_decay blk.%d.time_mix_w0
        blk.%d.time_mix_a0 blk.%d.time_mix_v0
    """,
    ("repeating", "MUL_MAT"): """
        blk.%d.attn_q blk.%d.attn_k blk.%d.attn_v blk.%d.attn_output blk.%d.ffn_gate_inp blk.%d.ffn_gate
        blk.%d.ffn_down blk.%d.ffn_up blk.%d.attn_gate blk.%d.ffn_gate_shexp blk.%d.ffn_up_shexp
        blk.%d.ffn_down_shexp blk.%d.ffn_latent_down blk.%d.ffn_latent_up blk.%d.attn_qkv
        blk.%d.ffn_gate_inp_shexp blk.%d.ssm_dt blk.%d.ssm_ba blk.%d.ssm_alpha blk.%d.ssm_in
        blk.%d.ssm_out blk.%d.ssm_x blk.%d.ssm_f_a blk.%d.ssm_f_b blk.%d.ssm_beta blk.%d.ssm_g_a
        blk.%d.ssm_g blk.%d.ffn_routed_down blk.%d.ffn_routed_up blk.%d.ssm_g_b blk.%d.attn_q_a
        blk.%d.attn_q_b blk.%d.attn_kv_a_mqa blk.%d.attn_kv_b blk.%d.attn_kv blk.%d.attn_output_a
        blk.%d.attn_output_b blk.%d.hc_attn_fn blk.%d.hc_ffn_fn blk.%d.hc_attn_down blk.%d.hc_attn_up
        blk.%d.hc_attn_inject blk.%d.hc_ffn_down blk.%d.hc_ffn_up blk.%d.hc_ffn_inject blk.%d.ple_key
        blk.%d.ple_value blk.%d.attn_compressor_kv blk.%d.attn_compressor_gate per_layer_model_proj
        blk.%d.inp_gate blk.%d.proj blk.%d.altup_correct_coef blk.%d.altup_predict_coef
        blk.%d.altup_router blk.%d.laurel_l blk.%d.laurel_r blk.%d.attn_k_b blk.%d.attn_v_b
        nextn.pre_projection blk.%d.nextn.eh_proj blk.%d.nextn.shared_head_head dec.blk.%d.attn_q
        dec.blk.%d.attn_k dec.blk.%d.attn_v dec.blk.%d.attn_o dec.blk.%d.cross_attn_q
        dec.blk.%d.cross_attn_k dec.blk.%d.cross_attn_v dec.blk.%d.cross_attn_o dec.blk.%d.ffn_gate
        dec.blk.%d.ffn_down dec.blk.%d.ffn_up enc.blk.%d.attn_q enc.blk.%d.attn_k enc.blk.%d.attn_v
        enc.blk.%d.attn_o enc.blk.%d.ffn_gate enc.blk.%d.ffn_down enc.blk.%d.ffn_up blk.%d.time_mix_w1
        blk.%d.time_mix_w2 blk.%d.time_mix_decay_w1 blk.%d.time_mix_decay_w2 blk.%d.time_mix_key
        blk.%d.time_mix_value blk.%d.time_mix_receptance blk.%d.time_mix_gate blk.%d.time_mix_output
        blk.%d.channel_mix_key blk.%d.channel_mix_value blk.%d.channel_mix_receptance blk.%d.time_mix_a1
        blk.%d.time_mix_a2 blk.%d.time_mix_v1 blk.%d.time_mix_v2 blk.%d.time_mix_g1 blk.%d.time_mix_g2
        convnext.%d.pw1 convnext.%d.pw2 posnet.%d.attn_q posnet.%d.attn_k posnet.%d.attn_v
        posnet.%d.attn_output blk.%d.shortconv.in_proj blk.%d.shortconv.out_proj blk.%d.vis_attn_qkv
        blk.%d.vis_attn_output blk.%d.vis_gate blk.%d.vis_down blk.%d.vis_up blk.%d.indexer.proj
        blk.%d.indexer.attn_k blk.%d.indexer.attn_q_b blk.%d.indexer.q_proj blk.%d.indexer.k_proj
        blk.%d.indexer_compressor_kv blk.%d.indexer_compressor_gate blk.%d.attn_conv_proj
        blk.%d.ffn_conv_proj
    """,
    ("repeating", "MUL_MAT_ID"): """
        blk.%d.ffn_gate_exps blk.%d.ffn_gate_up_exps blk.%d.ffn_down_exps blk.%d.ffn_up_exps
        blk.%d.ffn_gate_chexps blk.%d.ffn_down_chexps blk.%d.ffn_up_chexps
    """,
    ("repeating", "DIV"): """
        blk.%d.ffn.act
    """,
    ("repeating", "SSM_SCAN"): """
        blk.%d.ssm_a
    """,
    ("repeating", "SSM_CONV"): """
        blk.%d.ssm_conv1d blk.%d.ple_conv1d blk.%d.shortconv.conv
    """,
    ("output", "ADD"): """
        output_hc_base
    """,
    ("repeating", "GET_ROWS"): """
        blk.%d.attn_compressor_ape blk.%d.nextn.embed_tokens dec.blk.%d.attn_rel_b enc.blk.%d.attn_rel_b
        blk.%d.indexer_compressor_ape blk.%d.ffn_gate_tid2eid
    """,
    ("repeating", "NONE"): """
        dec.blk.%d.cross_attn_rel_b
    """,
    ("repeating", "RWKV_WKV6"): """
        blk.%d.time_mix_first
    """,
    ("repeating", "IM2COL"): """
        conv1d convnext.%d.dw posnet.%d.conv1 posnet.%d.conv2
    """,
    ("repeating", "SCALE"): """
        blk.%d.attn_sinks
    """,
    ("input", "NONE"): """
        masked_embd_centroids masked_embd_ordering
    """,
    ("output", "GET_ROWS"): """
        d2t markov_w1 selector_predecessor selector_successor
    """,
}

_MUL_SSM_A = frozenset(
    {"kimi-linear", "kimi-k3", "bailingmoe3", "glm5-next", "qwen3next", "qwen35", "qwen35moe", "qwen4exp"}
)
"""Linear-attention architectures multiply by `ssm_a` where the Mamba ones scan with it."""

_BLOCK = re.compile(r"(?P<prefix>(?:enc\.|dec\.)?blk\.|convnext\.|posnet\.)(?P<layer>\d+)\.")
_SUFFIX = re.compile(r"\.(?P<suffix>weight|bias|scale|input_scale|scales|lora_a|lora_b)\Z")


@cache
def _table() -> dict[str, tuple[TensorClass, str]]:
    return {name: key for key, names in _NAMES.items() for name in names.split()}


def block_index(name: str) -> int | None:
    """The block a tensor belongs to: 7 for `blk.7.attn_q.weight`; None outside blocks."""
    match = _BLOCK.match(name)
    return int(match["layer"]) if match else None


def tensor_use(name: str, architecture: str) -> tuple[TensorClass, str, bool]:
    """Layer class and ggml op of the weight `name`, and whether llama.cpp knows the name.

    An unknown name is taken as a matrix of its block (or of layer 0): what a new architecture most likely adds.
    """
    block = _BLOCK.match(name)
    generic = f"{block['prefix']}%d.{name[block.end() :]}" if block else name
    return _generic_use(generic, architecture)


@lru_cache(maxsize=4096)
def _generic_use(name: str, architecture: str) -> tuple[TensorClass, str, bool]:
    suffix_match = _SUFFIX.search(name)
    base = name[: suffix_match.start()] if suffix_match else name
    suffix = suffix_match["suffix"] if suffix_match else ""
    found = _table().get(base)
    if found is None:
        return "repeating", "MUL_MAT", False
    tensor_class, op = _special(base, architecture) or found
    if suffix == "bias" and op != "NONE":
        op = "ADD_ID" if op == "MUL_MAT_ID" else "ADD"
    elif suffix in ("lora_a", "lora_b"):
        op = "MUL_MAT_ID"
    return tensor_class, op, True


def _special(base: str, architecture: str) -> tuple[TensorClass, str] | None:
    """Names that mean different things in different architectures."""
    if base == "token_embd_norm" and architecture in ("lfm2", "lfm2moe"):
        return "output", "MUL"
    if base == "blk.%d.ssm_a" and architecture in _MUL_SSM_A:
        return "repeating", "MUL"
    if base == "blk.%d.indexer_compressor_ape" and architecture == "glm5-next":
        return "repeating", "ADD"
    return None
