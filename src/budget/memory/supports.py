"""Which weights a backend accepts: the loader puts a weight in the first buffer whose device can run its op."""

from __future__ import annotations

from budget.gguf.header import TensorInfo
from budget.gguf.types import GGMLType
from budget.memory.buffer_types import CUDA_FAMILY
from budget.memory.placement import BufferType
from budget.model.facts import Model

CUDA_MUL_MAT = frozenset(
    "f32 f16 bf16 q1_0 q2_0 q4_0 q4_1 q5_0 q5_1 q8_0 mxfp4 nvfp4 q2_K q3_K q4_K q5_K q6_K q8_K "
    "iq1_m iq1_s iq2_s iq2_xs iq2_xxs iq3_s iq3_xxs iq4_nl iq4_xs".split()
)
"""Types of matrices that ggml-cuda multiplies with (ggml-cuda.cu, `supports_op`)."""
_CUDA_GET_ROWS = frozenset(
    "f16 f32 bf16 i32 q1_0 q2_0 q4_0 q4_1 q5_0 q5_1 q8_0 q2_K q3_K q4_K q5_K q6_K "
    "iq2_xxs iq2_xs iq2_s iq3_xxs iq3_s iq1_s iq1_m iq4_xs".split()
)
_CUDA_ARITHMETIC = frozenset({"f32", "f16"})


def accepts(buffer_type: BufferType, tensor: TensorInfo, op: str, model: Model) -> bool:
    """Whether the device behind `buffer_type` runs `op` with `tensor` as its weight.

    Source: llama-model-loader.cpp, `weight_buft_supported`; ggml-cuda.cu, `supports_op`. Other GPU
    backends are taken to support every weight; their own rules are not modelled.
    """
    if buffer_type.backend not in CUDA_FAMILY:
        return True
    return _cuda(tensor, op, model)


def _cuda(tensor: TensorInfo, op: str, model: Model) -> bool:
    name = tensor.type.name
    if op in ("MUL_MAT", "MUL_MAT_ID"):
        return name in CUDA_MUL_MAT
    if op == "GET_ROWS":
        return cuda_gets_rows(tensor.type, tensor.ne[0])
    if op in ("ADD", "MUL", "DIV"):
        return name in _CUDA_ARITHMETIC
    if op == "SCALE":
        return name in ("f32", "bf16")
    if op == "SSM_CONV":
        return tensor.ne[1] % 128 == 0
    if op == "SSM_SCAN":
        return _cuda_ssm_scan(tensor, model)
    return True


def cuda_gets_rows(type_: GGMLType, n_elems: int) -> bool:
    """Whether ggml-cuda takes rows of `n_elems` elements from a table of `type_` (ggml-cuda.cu, `supports_op`)."""
    return type_.name in _CUDA_GET_ROWS or (type_.name in ("iq4_nl", "mxfp4") and n_elems % 256 == 0)


def _cuda_ssm_scan(tensor: TensorInfo, model: Model) -> bool:
    """`tensor` is ssm_a: one row for Mamba-2, one per state for Mamba-1."""
    n_head = tensor.ne[1]
    head_dim = model.number("ssm.inner_size") // n_head if n_head else 0
    if tensor.ne[0] == 1:
        return model.number("ssm.state_size") in (96, 128, 256) and head_dim % 16 == 0
    return (
        tensor.ne[0] == 16
        and head_dim == 1
        and n_head % 128 == 0
        and model.number("ssm.group_count") in (0, 1)
    )


def repacks(tensor: TensorInfo, op: str, rows: dict[str, int]) -> bool:
    """Whether ggml-cpu would repack `tensor`.

    Source: ggml-cpu/repack.cpp, `extra_buffer_type::supports_op`.
    """
    multiple = rows.get(tensor.type.name)
    if multiple is None or tensor.ne[1] % multiple:
        return False
    n_dims = max((i + 1 for i, n in enumerate(tensor.ne) if n != 1), default=1)
    return (op == "MUL_MAT" and n_dims == 2) or (op == "MUL_MAT_ID" and n_dims == 3)
