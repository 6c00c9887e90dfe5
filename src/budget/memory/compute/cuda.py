"""ggml-cuda's rules: which operations it runs, and how large it makes a tensor.

Source: ggml-cuda/ggml-cuda.cu, `supports_op`, `get_alloc_size`; ggml-cuda/fattn.cu.
"""

from __future__ import annotations

from collections.abc import Callable

from budget.memory.buffer_types import ROW_PADDING_ELEMS
from budget.memory.compute.ffn import SRC1_F32
from budget.memory.compute.tensor import Tensor, is_contiguous, is_contiguous_rows, nbytes, nelements, strides
from budget.memory.supports import CUDA_MUL_MAT, cuda_gets_rows

_ALWAYS = frozenset(
    "NONE RESHAPE VIEW PERMUTE TRANSPOSE ADD_ID ADD1 SQR SQRT SIN COS CLAMP LOG DUP ARGMAX COUNT_EQUAL CONT "
    "DIAG_MASK_INF SOFT_MAX TOP_K ARGSORT PAD UPSCALE PAD_REFLECT_1D ARANGE TIMESTEP_EMBEDDING LEAKY_RELU RWKV_WKV6 "
    "GATED_LINEAR_ATTN RWKV_WKV7 GATED_DELTA_NET FILL CUMSUM TRI DIAG SOLVE_TRI CONV_TRANSPOSE_2D POOL_1D POOL_2D "
    "DSV4_HC_COMB DSV4_HC_PRE DSV4_HC_POST CONV_TRANSPOSE_1D CONV_2D_DW".split()
)
_SET_ROWS = frozenset("f32 f16 bf16 q4_0 q4_1 q5_0 q5_1 q8_0 iq4_nl".split())
_FLOATS = frozenset({"f32", "f16", "bf16"})
_CPY_QUANTS = frozenset("q8_0 q4_0 q4_1 q5_0 q5_1".split())
_FATTN_KV = frozenset("f32 f16 bf16 q4_0 q4_1 q5_0 q5_1 q8_0".split())
_FATTN_SAME_HEAD = frozenset({40, 64, 72, 80, 96, 112, 128, 256})
_FATTN_VEC_PAIRS = frozenset({("f16", "f16"), ("bf16", "bf16"), ("q4_0", "q4_0"), ("q8_0", "q8_0")})
"""Pairs of K and V types that the vector kernel is compiled for without GGML_CUDA_FA_ALL_QUANTS."""
FATTN_KQ_STRIDE = 256
"""fattn-common.cuh."""


class Rules:
    """The rules for one device."""

    def __init__(self, buft: int, gpu_bufts: frozenset[int], capability: tuple[int, int]) -> None:
        self.other_gpus = gpu_bufts - {buft}
        self.capability = capability
        self.checks: dict[str, Callable[[Tensor], bool]] = {
            "UNARY": _first_contiguous,
            "GLU": lambda t: is_contiguous(t.src[0], 1),
            "MUL_MAT": _mul_mat,
            "MUL_MAT_ID": _mul_mat,
            "GET_ROWS": _get_rows,
            "SET_ROWS": _set_rows,
            "SET": lambda t: t.type is t.src[0].type is t.src[1].type and t.type.name in ("f32", "i32"),
            "CPY": _cpy,
            "REPEAT": lambda t: t.src[0].type.name in ("f32", "f16"),
            "CONCAT": _concat,
            "NORM": lambda t: is_contiguous_rows(t.src[0]),
            "RMS_NORM": lambda t: is_contiguous_rows(t.src[0]),
            "L2_NORM": lambda t: is_contiguous_rows(t.src[0]),
            "SCALE": lambda t: t.src[0].type.name in ("f32", "bf16"),
            "ADD": _arithmetic,
            "SUB": _arithmetic,
            "MUL": _arithmetic,
            "DIV": _arithmetic,
            "SSM_SCAN": _ssm_scan,
            "SSM_CONV": lambda t: t.src[0].ne[1] % 128 == 0,
            "ROLL": lambda t: t.src[0].type.name == "f32" and is_contiguous(t.src[0]),
            "ROPE": _rope,
            "ROPE_BACK": _rope,
            "IM2COL": lambda t: is_contiguous(t.src[0]) and is_contiguous(t.src[1]),
            "CONV_2D": lambda t: is_contiguous(t.src[0]) and is_contiguous(t.src[1]),
            "ACC": lambda t: is_contiguous(t.src[0]) and is_contiguous(t.src[1]),
            "SUM": lambda t: is_contiguous_rows(t.src[0]),
            "SUM_ROWS": lambda t: t.src[0].type.name == "f32" and is_contiguous_rows(t.src[0]),
            "MEAN": lambda t: t.src[0].type.name == "f32" and is_contiguous_rows(t.src[0]),
            "GROUP_NORM": _first_contiguous,
            "FLASH_ATTN_EXT": lambda t: fattn_kernel(t, self.capability) is not None,
            "LIGHTNING_INDEXER": _lightning_indexer,
        }

    def supports(self, t: Tensor) -> bool:
        """Whether the device runs `t`: no source may lie in the memory of another one."""
        if self.other_gpus:
            for s in t.src:
                if s.buft in self.other_gpus:
                    return False
        if t.op in _ALWAYS:
            return True
        check = self.checks.get(t.op)
        return check is not None and check(t)

    def alloc_size(self, t: Tensor) -> int:
        """Bytes of `t` in this device's memory, before alignment."""
        size = nbytes(t)
        type_ = t.type
        if type_.quantized:
            rest = t.ne[0] % ROW_PADDING_ELEMS
            if rest:
                size += type_.block_bytes * (ROW_PADDING_ELEMS - rest) // type_.block_elems
        elif t.op == "FLASH_ATTN_EXT":
            size += fattn_extra(t, size, self.capability)
        return size


def _first_contiguous(t: Tensor) -> bool:
    return is_contiguous(t.src[0])


def _rope(t: Tensor) -> bool:
    a = t.src[0]
    return strides(a)[0] == a.type.block_bytes and is_contiguous(a, 2)


def _mul_mat(t: Tensor) -> bool:
    a, b = t.src[0], t.src[1]
    if a.nb is not None and a.nb[0] != a.type.block_bytes:
        return False
    if b.nb is not None and b.nb[0] != b.type.block_bytes:
        return False
    if b.type.name == "f16" and a.type.name != "f16" and t.param != "hadamard":
        return False
    if t.param == SRC1_F32:
        return False
    return a.type.name in CUDA_MUL_MAT


def _get_rows(t: Tensor) -> bool:
    a = t.src[0]
    return cuda_gets_rows(a.type, a.ne[0])


def _set_rows(t: Tensor) -> bool:
    source = t.src[0].type.name
    if t.src[1].type.name not in ("i64", "i32"):
        return False
    return (t.type.name in _SET_ROWS and source == "f32") or (t.type.name == "f16" and source == "f16")


def _cpy(t: Tensor) -> bool:
    a, b = t.src[0].type.name, t.src[1].type.name
    if a in _FLOATS and b in _FLOATS:
        return True
    if "f32" in (a, b) and (a in _CPY_QUANTS or b in _CPY_QUANTS):
        return True
    if (a, b) in (("f32", "iq4_nl"), ("f32", "i32"), ("i32", "f32"), ("i32", "i32")):
        return True
    return a == b and is_contiguous(t.src[0]) and is_contiguous(t.src[1])


def _concat(t: Tensor) -> bool:
    a, b = t.src[0], t.src[1]
    if a.type is not b.type:
        return False
    if not a.type.quantized:
        return True
    if a.ne[0] % a.type.block_elems or b.ne[0] % b.type.block_elems:
        return False
    return is_contiguous(a) and is_contiguous(b)


def _arithmetic(t: Tensor) -> bool:
    a, b, out = t.src[0].type.name, t.src[1].type.name, t.type.name
    if "bf16" in (a, b, out):
        return a == out == "bf16" and b in ("bf16", "f32")
    return a in ("f32", "f16") and b in ("f32", "f16") and out in ("f32", "f16")


def _ssm_scan(t: Tensor) -> bool:
    s, a, b = t.src[0], t.src[3], t.src[4]
    if a.ne[0] == 1:
        return s.ne[0] in (96, 128, 256) and s.ne[1] % 16 == 0
    if isinstance(t.param, int) and t.param > 1:
        return False
    return s.ne[0] == 16 and s.ne[1] == 1 and s.ne[2] % 128 == 0 and b.ne[1] == 1


def _aligned(t: Tensor) -> bool:
    return t.type.quantized or all(n % 16 == 0 for n in strides(t)[1:])


def _lightning_indexer(t: Tensor) -> bool:
    q, k = t.src[0], t.src[1]
    return q.ne[0] == 128 and q.ne[1] in (32, 64) and _aligned(q) and _aligned(k) and k.type.name in _FATTN_KV


def fattn_kernel(t: Tensor, capability: tuple[int, int]) -> str | None:
    """`mma vec tile`: the kernel that runs flash attention, or None where none does.

    Source: ggml-cuda/fattn.cu, `ggml_cuda_get_best_fattn_kernel`.
    """
    q, k, v = t.src[0], t.src[1], t.src[2]
    options = str(t.param)
    has_mask, alibi = "mask" in options, "alibi" in options
    if q.ne[2] % k.ne[2]:
        return None
    gqa = q.ne[2] // k.ne[2]
    n_kv = k.ne[1]
    gqa_opt = gqa >= 2 and has_mask and not alibi and n_kv % FATTN_KQ_STRIDE == 0
    gqa_opt = gqa_opt and all(_aligned(s) for s in ((q, k, v, t.src[3]) if has_mask else (q, k, v)))
    if not _head_supported(k.ne[0], v.ne[0], gqa, gqa_opt=gqa_opt):
        return None
    if k.type.name not in _FATTN_KV or v.type.name not in _FATTN_KV or (has_mask and t.src[3].ne[2] != 1):
        return None
    head, rows = q.ne[0], q.ne[1]
    quantized = k.type.quantized or v.type.quantized
    can_vec = head <= 256 and head % 64 == 0 and head != 192 and n_kv % FATTN_KQ_STRIDE == 0
    if capability >= (7, 5) and head not in (40, 72):
        if can_vec:
            ada = capability >= (8, 9)
            if quantized:
                if rows <= (2 if ada else 1):
                    return "vec"
            elif ada and rows == 1 and q.ne[3] == 1 and not (gqa > 4 and (head >= 256 or n_kv >= 8192)):
                return "vec"
            if not gqa_opt and rows == 1:
                return "vec"
        return "mma"
    if (7, 0) <= capability < (7, 5) and head not in (40, 72):
        limit = 32 if head == 320 else 16 if head in (576, 192) else 8
        eff = 1
        while gqa % (2 * eff) == 0 and eff < limit:
            eff *= 2
        if can_vec and rows * eff <= 2:
            return "vec"
        return "tile" if rows * eff <= 16 else "mma"
    if can_vec and (rows <= 2 if quantized else rows == 1 and not gqa_opt):
        return "vec"
    return "tile"


def _head_supported(head_k: int, head_v: int, gqa: int, *, gqa_opt: bool) -> bool:
    if head_k in _FATTN_SAME_HEAD:
        return head_v == head_k
    if head_k == 192:
        return head_v == 128 and gqa_opt and gqa % 8 == 0
    if head_k == 320:
        return head_v == 256 and gqa_opt and gqa % 32 == 0
    return gqa_opt and (head_k, head_v) in ((512, 512), (576, 512))


def fattn_extra(t: Tensor, size: int, capability: tuple[int, int]) -> int:
    """Bytes behind the result for f16 copies of K and V.

    Source: ggml-cuda/fattn.cu, `ggml_cuda_flash_attn_ext_get_alloc_size`; fattn-common.cuh, `get_f16_extra_data`.
    """
    k, v = t.src[1], t.src[2]
    if k.type.name == "f16" and v.type.name == "f16":
        return 0
    kernel = fattn_kernel(t, capability)
    if kernel is None:
        return 0
    need_k = need_v = True
    if kernel == "vec":
        compiled = t.src[0].ne[0] in (64, 128, 256) and (k.type.name, v.type.name) in _FATTN_VEC_PAIRS
        need_k = k.type.name == "f32" or not compiled
        need_v = v.type.name == "f32" or not compiled
    end = size
    if need_k and k.type.name != "f16":
        end = (end + 127) // 128 * 128 + 2 * nelements(k)
    root = v.view_src
    v_in_k = root is not None and (root is k or (root is k.view_src and v.view_offs == k.view_offs))
    if need_v and v.type.name != "f16" and not v_in_k:
        end = (end + 127) // 128 * 128 + 2 * nelements(v)
    return end - size
