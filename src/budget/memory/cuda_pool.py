"""Scratch memory that ggml-cuda takes while it computes: pools that grow with the first prompts and never shrink.

Each operation takes its scratch from a stack and gives it back, so a device's pool is the largest of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from budget.memory.buffer_types import OFFLOAD_MIN_BATCH, ROW_PADDING_ELEMS
from budget.memory.kv_cache import n_embd_k_gqa, swa_cells
from budget.memory.layout import Layout
from budget.memory.placement import PlacedTensor
from budget.model.facts import Model
from budget.record import record
from budget.runtime.settings import ContextParams
from budget.units import round_up

_FLOATS = frozenset({"f32", "f16", "bf16"})
_NO_MMQ = frozenset({"iq1_m", "tq1_0", "tq2_0", "q8_K"})
"""Quantised types without an integer kernel (mmq.cu, `ggml_cuda_should_use_mmq`)."""
_MMVQ_MAX_ROWS = 8
"""Up to this many rows no matrix kernel runs (mmvq.cuh, MMVQ_MAX_BATCH_SIZE)."""
_MMF_MAX_ROWS = 16
"""Up to this many rows a float weight needs no cuBLAS (mmf.cu, `ggml_cuda_should_use_mmf`)."""
_N_SM_MAX = 192
"""Streaming multiprocessors of the largest cards, rounded up (188 on an RTX PRO 6000, 148 on a B200)."""
_FIXUP_BYTES = _N_SM_MAX * 128 * 128 * 4
"""Partial results of stream-k: one f32 tile of at most 128 x 128 per multiprocessor (mmq.cuh, `tmp_fixup`)."""
_SSD_CHUNK = 256
"""Tokens per chunk of the state-space scan (ssm-scan.cu, SSM_SSD_CHUNK_SIZE)."""
_SSD_MIN_TOKENS = 128


@record
class PoolUse:
    """Scratch of one device."""

    pool_bytes: int
    reason: str
    """The operation that needs most."""
    activations_bytes: int
    """f16 activations of the widest product, bytes (what Vulkan keeps)."""
    blas: str | None
    """Why cuBLAS is called; None where it is not."""


def pool_use(model: Model, layout: Layout, index: int, *, family: str, target: str | None) -> PoolUse:
    """Scratch that the operations on device number `index` need.

    Args:
        family: `cuda hip musa vulkan`.
        target: compute capability, such as `8.6`, or the AMD target.
    """
    params, flash_attn = layout.params, layout.compute.flash_attn
    weights = list(_products(layout, index))
    blas_for_quants = family == "hip" or (family == "cuda" and (target or "").startswith("7.0"))
    needs: list[tuple[int, str]] = [(0, "nothing")]
    blas: str | None = None
    activations = 0
    for placed, rows in weights:
        uses_blas, need = _product(model, placed, rows, quants_by_blas=blas_for_quants)
        needs.append((need, f"operands of {placed.tensor.name}"))
        activations = max(activations, 2 * rows * placed.tensor.ne[0] * _experts(model, placed))
        if uses_blas and blas is None:
            blas = f"{placed.tensor.name} is {placed.tensor.type.name}"
    layers = [il for il, device in enumerate(layout.placement.layer_device[:-1]) if device == index]
    attention = _attention(model, params, layers, flash_attn=flash_attn)
    needs.append((attention, "attention scores" if not flash_attn else "partial results of flash attention"))
    if attention and not flash_attn:
        blas = "attention without flash attention"
    scan = _state_space_scan(model, params, layers)
    if scan:
        needs.append((scan, "chunks of the state-space scan"))
        blas = blas or "state-space scan"
    size, reason = max(needs)
    if family == "hip":
        # the pool without virtual memory keeps every size it was asked for, each a twentieth larger
        # (ggml-cuda.cu, `ggml_cuda_pool_leg`); two sizes of the same order are typical
        size = size * 21 // 10
    return PoolUse(pool_bytes=size, reason=reason, activations_bytes=activations, blas=blas)


def _products(layout: Layout, index: int) -> Iterator[tuple[PlacedTensor, int]]:
    """Matrices that device `index` multiplies with, and by how many rows at most."""
    params = layout.params
    rows = params.n_ubatch
    takes_host = params.op_offload and index == 0 and rows >= OFFLOAD_MIN_BATCH
    for placed in layout.placement.weights:
        if placed.op not in ("MUL_MAT", "MUL_MAT_ID") or placed.tensor.n_dims < 2:
            continue
        device = placed.buffer_type.device
        if device == index or (device is None and takes_host and placed.tensor_class == "repeating"):
            yield placed, min(rows, params.n_outputs_max) if placed.tensor_class == "output" else rows


def _experts(model: Model, placed: PlacedTensor) -> int:
    return max(model.n_expert_used, 1) if placed.op == "MUL_MAT_ID" else 1


def _product(model: Model, placed: PlacedTensor, rows: int, *, quants_by_blas: bool) -> tuple[bool, int]:
    """Whether one product calls cuBLAS, and its scratch in bytes.

    Source: ggml-cuda.cu, `ggml_cuda_mul_mat`, `ggml_cuda_mul_mat_id`, `ggml_cuda_mul_mat_cublas_impl`; mmq.cu,
    `ggml_cuda_mul_mat_q`.
    """
    tensor = placed.tensor
    n_in, n_out, name = tensor.ne[0], tensor.ne[1], tensor.type.name
    used = _experts(model, placed)
    if name not in _FLOATS and name not in _NO_MMQ and not (quants_by_blas and rows >= 64):
        if rows <= _MMVQ_MAX_ROWS:
            return False, 9 * rows * used * round_up(n_in, ROW_PADDING_ELEMS) // 8
        quantised = 9 * rows * used * round_up(n_in, ROW_PADDING_ELEMS) // 8  # block_q8_1: 36 bytes per 32
        return False, quantised + 8 * rows * used * (used > 1) + _FIXUP_BYTES
    if rows <= _MMF_MAX_ROWS:
        return False, 0
    copies = 0 if name == "f32" else 2 * rows * n_in + (2 * rows * n_out if name != "bf16" else 0)
    if name not in _FLOATS:
        copies += 2 * n_in * n_out
    if used > 1:
        copies += 4 * rows * used * (n_in + n_out + 2)  # sorted by expert first
    return True, copies


def _attention(model: Model, params: ContextParams, layers: list[int], *, flash_attn: bool) -> int:
    """Scratch of one layer's attention, the largest of `layers`, bytes.

    Source: fattn-common.cuh, `launch_fattn` (stream-k: partial sums and their maxima for two waves of blocks of 64
    columns); without flash attention llama-graph.cpp, `build_attn_mha`: the scores are copied to f16 for the
    product with V, K to f32 for the product with Q.
    """
    rows, largest = params.n_ubatch, 0
    for il in layers:
        if il >= len(model.has_kv) or not model.n_head_kv[il] or model.is_recurrent[il]:
            continue
        head_v = model.n_embd_head_v_swa if model.is_swa[il] else model.n_embd_head_v
        if flash_attn:
            largest = max(largest, 8 * 2 * _N_SM_MAX * 64 * (2 + head_v // 2))
            continue
        n_kv = swa_cells(model, params) if model.is_swa[il] else params.n_ctx_seq
        if model.is_encoder:
            n_kv = rows
        scores = 2 * rows * n_kv * model.n_head[il] + 2 * rows * model.n_head[il] * head_v
        largest = max(largest, scores, 4 * n_kv * n_embd_k_gqa(model, il))
    return largest


def _state_space_scan(model: Model, params: ContextParams, layers: list[int]) -> int:
    """Scratch of Mamba-2's chunked scan, bytes; 0 for models without.

    Source: ssm-scan.cu, `ssm_scan_ssd_f32_cuda`.
    """
    tensors = (model.header.by_name.get(f"blk.{il}.ssm_a") for il in layers)
    if not any(t is not None and t.ne[0] == 1 for t in tensors) or params.n_ubatch <= _SSD_MIN_TOKENS:
        return 0
    n_head, d_state = model.number("ssm.time_step_rank"), model.number("ssm.state_size")
    n_group, d_inner = model.number("ssm.group_count", 1), model.number("ssm.inner_size")
    n_seq = max(1, min(params.n_seq_max, params.n_ubatch // (_SSD_MIN_TOKENS + 1)))
    per_sequence = (
        4 * _SSD_CHUNK * _SSD_CHUNK * n_group  # C times B
        + 2 * _SSD_CHUNK * d_inner  # X times dt
        + (2 + 4) * d_state * _SSD_CHUNK * n_head  # B weighted, C scaled
        + 2 * _SSD_CHUNK * _SSD_CHUNK * n_head  # the causal matrix
    )
    return n_seq * per_sequence + 8 * params.n_ubatch * n_head
