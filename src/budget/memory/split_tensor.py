"""`-sm tensor`: which slice of each tensor every device behind the Meta device holds.

Source: llama-model.cpp, `llama_meta_device_get_split_state`; the names below are its patterns.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from budget.gguf.types import GGMLType
from budget.memory.devices import f32
from budget.memory.kv_cache import n_embd_k_gqa, n_embd_v_gqa
from budget.model.facts import Model
from budget.record import record

MIRRORED = -1
"""Every device holds all of it."""

_QGATE = frozenset({"qwen3next", "qwen35", "qwen35moe", "qwen4exp"})
"""Architectures whose attention queries carry a gate of the same width."""
_RULES: tuple[tuple[str, int, tuple[str, ...]], ...] = (
    (r"blk\.\d*\.attn_(q|k|v|qkv).weight", 1, ("attn_output.weight", "ssm_out.weight")),
    (r"blk\.\d*\.attn_(q|k|v|qkv)\.bias", 0, ("attn_output.weight", "ssm_out.weight")),
    (r"cache_(k|v)_l\d*", 0, ("attn_output.weight",)),
    (r"blk\.\d*\.attn_sinks.weight", 0, ("attn_output.weight",)),
    (r"blk\.\d*\.attn_output.weight", 0, ()),
    (r"blk\.\d*\.attn_gate.weight", 1, ("attn_output.weight", "ssm_out.weight")),
    (r"blk\.\d*\.(ssm_dt.bias|ssm_a)", 0, ("ssm_out.weight",)),
    (r"blk\.\d*\.ssm_(alpha|beta|ba).weight", 1, ("ssm_out.weight",)),
    (r"cache_(r|s)_l\d*", 0, ("ssm_out.weight",)),
    (r"blk\.\d*\.ssm_conv1d.weight", 1, ("ssm_out.weight",)),
    (r"blk\.\d*\.ssm_out.weight", 0, ()),
    (r"blk\.\d*\.ffn_(up|gate)(_exps)?.weight", 1, ("ffn_down.weight", "ffn_down_exps.weight")),
    (r"blk\.\d*\.ffn_(up|gate)(_exps)?.bias", 0, ("ffn_down.weight", "ffn_down_exps.weight")),
    (r"blk\.\d*\.ffn_gate_up(_exps)?.weight", 1, ("ffn_down.weight", "ffn_down_exps.weight")),
    (r"blk\.\d*\.ffn_down(_exps)?.weight", 0, ("ffn_down.weight", "ffn_down_exps.weight")),
    (r"output\.weight", 1, ()),
    (r"output\.bias", 0, ()),
)
_DSV4_RULES: tuple[tuple[str, int, tuple[str, ...]], ...] = (
    (r"cache_.*|dsv4_.*", MIRRORED, ()),
    (r"blk\.\d*\.attn_sinks.weight", 0, ("attn_output_a.weight",)),
    (r"blk\.\d*\.attn_q_b\.weight", 1, ("attn_output_a.weight",)),
    (r"blk\.\d*\.attn_output_a\.weight", 2, ()),
    (r"blk\.\d*\.attn_output_b\.weight", 0, ()),
    (r"blk\.\d*\.ffn_(up|gate)_shexp.weight", 1, ("ffn_down_shexp.weight",)),
    (r"blk\.\d*\.ffn_down_shexp.weight", 0, ("ffn_down_shexp.weight",)),
    (r"output\.weight", MIRRORED, ()),
)
_MIRRORED_CACHES = r"cache_idx_.*|cache_ple_r_l\d*"


@record(kw_only=False)
class _Segment:
    width: int
    repeats: int
    granularity: int


def slices(
    model: Model,
    name: str,
    type_: GGMLType,
    ne: tuple[int, ...],
    n_devices: int,
    tensor_split: Sequence[float],
) -> list[tuple[int, ...]]:
    """Shape of the slice of tensor `name` on each of `n_devices` devices."""
    shape = (*ne, *(1,) * (4 - len(ne)))
    axis, reference = _axis(model, name, type_, shape)
    if axis == MIRRORED:
        return [shape] * n_devices
    layer = _layer(name)
    rotation = (_same_kind_before(model, layer) if layer is not None else model.n_layer) % n_devices
    widths = [0] * n_devices
    for segment in _segments(model, name, shape[axis], shape, layer or 0, reference, n_devices):
        for device, width in enumerate(_cut(segment, n_devices, tensor_split, rotation)):
            widths[device] += width * segment.repeats
    return [(*shape[:axis], width, *shape[axis + 1 :]) for width in widths]


def _axis(model: Model, name: str, type_: GGMLType, ne: tuple[int, ...]) -> tuple[int, GGMLType]:
    """Axis along which `name` is cut, and the type whose blocks set the granularity."""
    arch = model.arch.name if model.arch else ""
    if arch == "hrm_text" or re.fullmatch(_MIRRORED_CACHES, name):
        return MIRRORED, type_
    if arch in ("lfm2", "lfm2moe") and re.fullmatch(r"cache_(r|s)_l\d*", name):
        return MIRRORED, type_
    if re.fullmatch(r"blk\.\d*\.attn_(q|k)_norm\.weight", name):
        return (MIRRORED if ne[1] == 1 else 1), _reference(model, name, ("attn_output.weight",), type_)
    rules = (*_DSV4_RULES, *_RULES) if arch == "deepseek4" else _RULES
    for pattern, axis, references in rules:
        if re.fullmatch(pattern, name):
            return axis, _reference(model, name, references, type_)
    return MIRRORED, type_


def _reference(model: Model, name: str, suffixes: tuple[str, ...], own: GGMLType) -> GGMLType:
    layer = _layer(name)
    for suffix in suffixes:
        tensor = model.header.by_name.get(f"blk.{layer}.{suffix}")
        if tensor is not None:
            return tensor.type
    return own


def _layer(name: str) -> int | None:
    match = re.match(r"blk\.(\d+)\.", name) or re.search(r"_l(\d+)\Z", name)
    return int(match[1]) if match else None


def _same_kind_before(model: Model, layer: int) -> int:
    kind = (model.is_recurrent[layer], model.is_swa[layer])
    return sum((model.is_recurrent[il], model.is_swa[il]) == kind for il in range(layer))


def _cut(segment: _Segment, n: int, tensor_split: Sequence[float], rotation: int) -> list[int]:
    """Widths of one segment by device: cut at whole granules, the last slice takes the rest."""
    shares = [*tensor_split, *(0.0,) * n][:n]
    running: list[float] = []
    for j in range(n):
        share = f32(shares[(j + rotation) % n])
        running.append(f32(share + running[-1]) if running else share)
    result = [0] * n
    low = 0
    for j in range(n):
        if j == n - 1:
            high = segment.width
        elif running[-1] == 0.0:
            high = segment.width * (j + 1) // n
        else:
            high = int(f32(f32(f32(segment.width) * running[j]) / running[-1]))
        if j < n - 1:
            high -= high % segment.granularity
        result[(j + rotation) % n] = high - low
        low = high
    return result


def _segments(
    model: Model, name: str, width: int, ne: tuple[int, ...], layer: int, reference: GGMLType, n_devices: int
) -> list[_Segment]:
    if model.is_recurrent[layer] and _layer(name) is not None:
        found = _recurrent_segments(model, name, width, reference)
    else:
        found = _attention_segments(model, name, width, ne, layer, reference, n_devices)
    if found is not None:
        return found
    if re.search(r"ffn_gate_up|ffn_(up|gate|down)", name):
        repeats = 2 if "gate_up" in name or width == 2 * model.n_ff[layer] else 1
        return [_Segment(width // repeats, repeats, math.lcm(reference.block_elems, 128))]
    return [_Segment(width, 1, 1)]


def _recurrent_segments(model: Model, name: str, width: int, reference: GGMLType) -> list[_Segment] | None:
    """Linear attention: keys, values and their convolution, in whole heads."""
    state, groups = model.number("ssm.state_size"), model.number("ssm.group_count")
    d_conv, rank = model.number("ssm.conv_kernel"), model.number("ssm.time_step_rank")
    if not state or not groups:
        return None
    granule = math.lcm(math.lcm(reference.block_elems, 128), state)
    keys, values, ratio = state * groups, state * rank, max(rank // groups, 1)
    interleaved = model.arch is not None and model.arch.name != "qwen3next"
    history = d_conv - 1
    if re.search(r"attn_qkv.weight|ssm_conv1d", name):
        mixed = [_Segment(keys, 2 + ratio, granule)]
        return mixed if interleaved else [_Segment(keys, 2, granule), _Segment(values, 1, granule)]
    if name.startswith("cache_r_l"):
        unit = granule * history
        mixed = [_Segment(keys * history, 2 + ratio, unit)]
        split = [_Segment(keys * history, 2, unit), _Segment(values * history, 1, unit)]
        return _rows(mixed if interleaved else split, width)
    if name.startswith("cache_s_l"):
        unit = granule * state
        split = (
            [_Segment(groups * state * state, ratio, unit)]
            if interleaved
            else [_Segment(values * state, 1, unit)]
        )
        return _rows(split, width)
    if re.search(r"attn_gate.weight|ssm_out.weight", name):
        return [_Segment(keys, ratio, granule)] if interleaved else [_Segment(width, 1, granule)]
    if re.search(r"ssm_ba.weight", name):
        return [_Segment(width, 1, 2 * (granule // state))]
    if re.search(r"ssm_(dt|a|alpha|beta)", name):
        unit = granule // state
        return [_Segment(groups, ratio, unit)] if interleaved else [_Segment(width, 1, unit)]
    return None


def _rows(segments: list[_Segment], width: int) -> list[_Segment]:
    """A state holds one row per sequence; each is cut alike."""
    one = sum(s.width * s.repeats for s in segments)
    n_rows = width // one if one else 0
    return [_Segment(s.width, s.repeats * n_rows, s.granularity) for s in segments]


def _attention_segments(
    model: Model, name: str, width: int, ne: tuple[int, ...], layer: int, reference: GGMLType, n_devices: int
) -> list[_Segment] | None:
    """Attention: whole groups of heads, so that Q, K, V and the output stay in step."""
    n_head, n_head_kv = model.n_head[layer], model.n_head_kv[layer]
    if not n_head or not n_head_kv:
        return None
    head_k = model.n_embd_head_k_swa if model.is_swa[layer] else model.n_embd_head_k
    head_v = model.n_embd_head_v_swa if model.is_swa[layer] else model.n_embd_head_v
    n_gqa = n_head // n_head_kv
    block = reference.block_elems
    while block < 128 and block * n_devices < n_gqa * head_k:
        block *= 2
    granule_q = math.lcm(n_gqa * head_k, block)
    per_head = granule_q // head_k
    granule_k = granule_q // n_gqa
    granule_v = granule_k // head_k * head_v
    qgate = model.arch is not None and model.arch.name in _QGATE
    granule_gated = math.lcm(2 * n_gqa * head_k, block)
    groups = model.number("attention.output_group_count")
    if groups and model.arch is not None and model.arch.name == "deepseek4":
        # the grouped output projection wants whole groups of heads on a device
        heads = n_head // groups
        for pattern, granularity in (
            (r"attn_sinks", heads),
            (r"attn_q_b\.weight", heads * head_k),
            (r"attn_output_a\.weight", 1),
            (r"attn_output_b\.weight", model.number("attention.output_lora_rank")),
        ):
            if re.search(pattern, name):
                return [_Segment(width, 1, granularity)]
    if re.search(r"attn_qkv\.", name):
        width_q = n_head * head_k * (2 if qgate else 1)
        q = _Segment(width_q, 1, granule_gated if qgate else granule_q)
        k, v = n_embd_k_gqa(model, layer), n_embd_v_gqa(model, layer)
        if k == v:
            return [q, _Segment(k, 2, granule_k)]
        return [q, _Segment(k, 1, granule_k), _Segment(v, 1, granule_v)]
    simple = (
        (r"attn_q\.(weight|bias)", granule_gated if qgate else granule_q),
        (r"attn_k\.(weight|bias)|cache_k_l", granule_k),
        (r"attn_v\.(weight|bias)|cache_v_l", granule_v),
        (r"attn_output.weight", per_head * head_v),
        (r"attn_sinks", per_head),
        (r"attn_gate", per_head if ne[1] == n_head else granule_q),
    )
    for pattern, granularity in simple:
        if re.search(pattern, name):
            return [_Segment(width, 1, granularity)]
    return None
